//! The boot, as PID 1.

use super::buffers::Room;
use super::io::log::{Decimal, Level, died, line};
use super::io::path::Name;
use super::io::{file, log};
use super::kernel::child;
use super::loading::dispatch::Lanes;
use super::modules::tree;
use super::modules::tree::Tree;
use super::root::mount::Root;
use super::root::{explain, mount};
use super::rt::Args;
use super::rt::clock::{now_ms, sleep_ms};
use crate::loading::options::BootOptions;
use crate::loading::wait::{Action, Wait, Why};
use rustix::fs::{CWD, Mode, mkdir};
use rustix::mount::MountFlags;
use rustix::system::{RebootCommand, reboot};

/// The boot. It ends in the real init.
pub(crate) fn boot(room: &'static mut Room, args: Args, env: Args) -> ! {
    let start_ms = now_ms();
    mount_kernel_file_systems();
    log::to_kernel();

    let Room { config, cmdline, plan, .. } = room;
    let cmdline = file::read(CWD, b"/proc/cmdline", cmdline).unwrap_or_default();
    let tree = Tree::open();
    let options = BootOptions::parse(cmdline);
    let mut known = None;
    let mut lanes = match &tree {
        Ok(tree) => {
            let resolver = tree.resolver(config, cmdline);
            tree::tell_bad_lines(&resolver.config);
            known = Some((tree, resolver));
            Some(Lanes::new(tree, resolver, &options, plan, env))
        }
        Err(errno) => {
            tree::tell_no_tree(*errno);
            None
        }
    };
    if let Some(lanes) = &mut lanes {
        lanes.ask_first();
    }
    let scene = || known.as_ref().map(|(tree, resolver)| explain::Scene { tree, resolver });
    let mut root = Root::new(&options);
    let fs_type = loop {
        match reach(&mut root, &mut lanes, start_ms) {
            Ok(fs_type) => break fs_type,
            Err(why) => {
                tell_unreached(&root, why);
                explain::tell(scene());
                hold(&options, env);
            }
        }
    };
    let total_ms = now_ms().saturating_sub(start_ms);
    let Ok(root) = root else { died() };
    line(Level::Notice, &[b"root ", root.text, b" is ", root.node_path(), b" (", &fs_type, b")"]);
    if options.has_break {
        explain::pause(env);
    }
    tell_summary(&lanes, start_ms, total_ms);
    child::reap();
    let errno = root.switch(args, env);
    line(Level::Error, &[b"no init in the root ", root.text, b" could be started: ", log::errno_prose(errno)]);
    loop {
        hold(&options, env);
    }
}

/// Loads modules until the root is mounted and the rest is loaded. Returns the root's file system type.
#[inline(never)] // smaller so
fn reach(
    root: &mut Result<Root<'_>, &'static [u8]>,
    lanes: &mut Option<Lanes<'_>>,
    start_ms: u64,
) -> Result<Name, Why> {
    let ends_at_root = lanes.as_ref().is_some_and(Lanes::ends_at_root);
    let mut wait = Wait::new(root.as_ref().ok().map(|root| root.limits(ends_at_root)), start_ms);
    let (mut action, mut fs_type) = (Action::Load, Name::new());
    loop {
        action = match (action, &mut *root) {
            (Action::Look, Ok(root)) => {
                // Without a load loop nothing reports block devices: look each time.
                wait.looked(root.is_there(lanes.as_mut().is_none_or(Lanes::block_news)))
            }
            (Action::Mount, Ok(root)) => wait.tried(root.mount().map(|found| fs_type = found)),
            (Action::GiveUp(why), _) => return Err(why),
            (Action::Done, _) => break,
            (action, root) => {
                if let (Action::Report, Ok(root)) = (action, root) {
                    line(Level::Notice, &[b"waiting for the root ", root.text]);
                }
                let wait_ms = if wait.is_mounted() { 0 } else { POLL_MS };
                let is_idle = match lanes {
                    Some(lanes) => lanes.turn(wait_ms),
                    None => {
                        sleep_ms(wait_ms);
                        true
                    }
                };
                wait.turned(now_ms(), is_idle, lanes.as_ref().is_none_or(Lanes::first_lane_is_done))
            }
        };
    }
    if let Some(lanes) = lanes {
        lanes.finish();
    }
    Ok(fs_type)
}

#[inline(never)] // smaller so
fn tell_unreached(root: &Result<Root<'_>, &'static [u8]>, why: Why) {
    match (root, why) {
        (Err(prose), _) => line(Level::Error, &[*prose]),
        (Ok(root), Why::Unmountable(errno)) => explain::tell_unmountable(root, errno),
        (Ok(root), Why::Absent(waited_ms)) => {
            root.tell_net();
            let waited = Decimal::new(waited_ms / 1000);
            line(
                Level::Error,
                &[root.text, b" did not appear within ", waited.text(), explain::seconds_and_advice(root)],
            );
        }
        (Ok(_), Why::Unnamed) => {}
    }
}

/// Mounts /proc, /sys, /dev and /run. What is mounted already stays.
fn mount_kernel_file_systems() {
    let noexec = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let dev = MountFlags::NOSUID;
    let (run, plain) = (MountFlags::NOSUID | MountFlags::NODEV, c"");
    for (fs_type, place, flags, options) in [
        (c"proc", c"/proc", noexec, plain),
        (c"sysfs", c"/sys", noexec, plain),
        (c"devtmpfs", c"/dev", dev, c"mode=0755"),
        (c"tmpfs", c"/run", run, c"mode=0755"),
    ] {
        // Exists: fine. Fails otherwise: so does the mount, and what needs it says so.
        let _ = mkdir(place, Mode::from_raw_mode(0o755));
        let _ = rustix::mount::mount(fs_type, place, fs_type, flags, options);
    }
    let _ = mkdir(mount::MOUNT_POINT, Mode::from_raw_mode(0o755));
}

/// How often the root device is looked for, ms.
pub(crate) const POLL_MS: u64 = 20;

/// Says in one line what was done and how long it took. Its form is fixed: scripts read it.
#[inline(never)] // smaller so
fn tell_summary(lanes: &Option<Lanes<'_>>, start_ms: u64, total_ms: u64) {
    let summary = lanes.as_ref().map(|lanes| lanes.asks.sum_up(start_ms, Some(total_ms)));
    let [loaded, modules_ms, kernel_ms] = summary.map_or([0; 3], |all| [all.modules, all.modules_ms, all.kernel_ms]);
    let [loaded, modules_ms, kernel_ms, total_ms] = [loaded, modules_ms, kernel_ms, total_ms].map(Decimal::new);
    let parts = [
        loaded.text(),
        b" modules in ",
        modules_ms.text(),
        b" ms (kernel ",
        kernel_ms.text(),
        b" ms), root after ",
        total_ms.text(),
        b" ms",
    ];
    line(Level::Notice, &parts);
}

/// Says what is here where the boot can't go on; then reboots, as panic= asks: after that many seconds, at once where it
/// is negative. Without it a shell is started where the image has one, and the boot tries again when that ends; or a
/// person is waited for. PID 1 never ends.
fn hold(options: &BootOptions<'_>, env: Args) {
    explain::tell_devices();
    if let Some(seconds) = options.reboot_after_s {
        let in_s = Decimal::new(seconds.into());
        line(Level::Error, &[b"the boot ends here; reboot in ", in_s.text(), b" s, as panic= asks"]);
        sleep_ms(u64::from(seconds).saturating_mul(1000));
        // Fails only without the right to; then wait like without panic=.
        let _ = reboot(RebootCommand::Restart);
    }
    line(Level::Error, &[b"the boot ends here; mend image or command line, and reset"]);
    if !explain::shell(env) {
        loop {
            sleep_ms(3_600_000);
        }
    }
}
