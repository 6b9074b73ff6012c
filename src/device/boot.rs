// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot, as PID 1.

use super::buffers::Buffers;
use super::io::log;
use super::io::log::{Decimal, Level, died, line};
use super::io::path::{Name, errno};
use super::kernel::child;
use super::loading::dispatch::Dispatcher;
use super::modules::tree::{Modules, read_cmdline};
use super::root::mount::Root;
use super::root::{explain, mount};
use super::rt::Args;
use super::rt::clock::{now_ms, sleep_ms};
use crate::loading::options::BootOptions;
use crate::loading::wait::{Action, Left, Limits, Wait, Why};
use rustix::fs::{Mode, mkdir};
use rustix::mount::MountFlags;
use rustix::system::{RebootCommand, reboot};

/// Interval between two looks for the root device, ms.
pub(crate) const POLL_MS: u64 = 20;

/// Boots, up to the real init.
pub(crate) fn boot(buffers: &'static mut Buffers, args: Args, env: Args) -> ! {
    let start_ms = now_ms();
    mount_kernel_file_systems();
    log::lift_limit();

    let Buffers { names, config, cmdline, plan, .. } = buffers;
    let cmdline = read_cmdline(cmdline);
    let options = BootOptions::parse(cmdline);
    let modules = Modules::open(names, config, cmdline);
    let mut dispatcher = modules.as_ref().map(|modules| Dispatcher::new(modules, &options, plan, env));
    if let Some(dispatcher) = &mut dispatcher {
        dispatcher.request_listed(names);
    }
    let mut root = Root::new(&options);
    let fs_type = loop {
        match reach(&mut root, &mut dispatcher, &options, start_ms) {
            Ok(fs_type) => break fs_type,
            Err(why) => {
                report_unreached(&root, why);
                explain::report(modules.as_ref());
                hold(&options, env);
            }
        }
    };
    let total_ms = now_ms().saturating_sub(start_ms);
    let Ok(root) = root else { died() };
    line(Level::Notice, "root % is % (%)", &[root.text, root.node_path(), &fs_type]);
    if options.has_break {
        explain::pause(env);
    }
    report_summary(&dispatcher, start_ms, total_ms);
    child::reap();
    let error = root.switch(args, env);
    line(Level::Error, "cannot start an init in the root %: %", &[root.text, log::errno_prose(error)]);
    loop {
        hold(&options, env);
    }
}

/// Loads modules until the root is mounted and the rest is loaded. Returns the root's file system type.
fn reach(
    root: &mut Result<Root<'_>, &'static [u8]>,
    dispatcher: &mut Option<Dispatcher<'_>>,
    options: &BootOptions<'_>,
    start_ms: u64,
) -> Result<Name, Why> {
    let limits = Limits {
        is_named: root.is_ok(),
        patience_ms: options.patience_ms,
        delay_ms: options.delay_ms,
        ends_at_root: dispatcher.as_ref().is_some_and(Dispatcher::ends_at_root),
    };
    let mut wait = Wait::new(limits, start_ms);
    let (mut action, mut fs_type) = (Action::Load, Name::new());
    loop {
        action = match (action, &mut *root) {
            (Action::Look, Ok(root)) => {
                // Without a module tree nothing reports block devices: look each time.
                wait.looked(root.look(dispatcher.as_mut().is_none_or(Dispatcher::take_block_news)))
            }
            (Action::Mount, Ok(root)) => wait.tried(root.mount().map(|found| fs_type = found)),
            (Action::GiveUp(why), _) => return Err(why),
            (Action::Done, _) => break,
            (action, root) => {
                if let (Action::Report, Ok(root)) = (action, root) {
                    line(Level::Notice, "waiting for the root %", &[root.text]);
                }
                let wait_ms = if wait.is_mounted() { 0 } else { POLL_MS };
                let left = match dispatcher {
                    Some(dispatcher) => dispatcher.turn(wait_ms),
                    None => {
                        sleep_ms(wait_ms);
                        Left::Nothing
                    }
                };
                let is_listed_done = dispatcher.as_ref().is_none_or(Dispatcher::is_listed_done);
                wait.turned(now_ms(), left, is_listed_done)
            }
        };
    }
    if let Some(dispatcher) = dispatcher {
        dispatcher.finish();
    }
    Ok(fs_type)
}

#[inline(never)]
fn report_unreached(root: &Result<Root<'_>, &'static [u8]>, why: Why) {
    match (root, why) {
        (Err(prose), _) => line(Level::Error, "%", &[*prose]),
        (Ok(root), Why::Unmountable(errno)) => explain::report_unmountable(root, errno),
        (Ok(root), Why::Absent(waited_ms)) => {
            root.report_net();
            let waited = Decimal::new(waited_ms / 1000);
            line(
                Level::Error,
                "% did not appear within %%",
                &[root.text, waited.text(), explain::seconds_and_advice(root)],
            );
        }
        (Ok(_), Why::Unnamed) => {}
    }
}

/// Mounts /dev, /proc, /sys and /run, as far as they are not mounted yet, and opens the kernel's log.
fn mount_kernel_file_systems() {
    let noexec = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let dev = MountFlags::NOSUID;
    let (run, plain) = (MountFlags::NOSUID | MountFlags::NODEV, c"");
    for (fs_type, place, flags, options) in [
        (c"devtmpfs", c"/dev", dev, c"mode=0755"),
        (c"proc", c"/proc", noexec, plain),
        (c"sysfs", c"/sys", noexec, plain),
        (c"tmpfs", c"/run", run, c"mode=0755"),
    ] {
        // The directory may exist. If it cannot be made, the mount fails.
        let _ = mkdir(place, Mode::from_raw_mode(0o755));
        let mounted = rustix::mount::mount(fs_type, place, fs_type, flags, options);
        if place == c"/dev" {
            log::to_kmsg();
        }
        if let Err(error) = mounted
            && error != rustix::io::Errno::BUSY
        {
            line(Level::Error, "cannot mount %: %", &[place.to_bytes(), log::errno_prose(errno(error))]);
        }
    }
    let _ = mkdir(mount::MOUNT_POINT, Mode::from_raw_mode(0o755));
}

/// Prints the summary line. Its form is fixed: scripts read it.
#[inline(never)]
fn report_summary(dispatcher: &Option<Dispatcher<'_>>, start_ms: u64, total_ms: u64) {
    let summary = dispatcher.as_ref().map(|dispatcher| dispatcher.requests.sum_up(start_ms, Some(total_ms)));
    let [loaded, modules_ms, kernel_ms] = summary.map_or([0; 3], |all| [all.modules, all.modules_ms, all.kernel_ms]);
    let [loaded, modules_ms, kernel_ms, total_ms] = [loaded, modules_ms, kernel_ms, total_ms].map(Decimal::new);
    let args = [loaded.text(), modules_ms.text(), kernel_ms.text(), total_ms.text()];
    line(Level::Notice, "% modules in % ms (kernel % ms), root after % ms", &args);
}

/// Reports the block devices and stops the boot: reboots after the seconds of `panic=`, or runs the image's shell, after which the boot
/// is tried again, or waits for ever, as PID 1 must not end.
fn hold(options: &BootOptions<'_>, env: Args) {
    explain::report_devices();
    if let Some(seconds) = options.reboot_after_s {
        let in_s = Decimal::new(seconds.into());
        line(Level::Error, "cannot continue booting; reboot in % s, as panic= requests", &[in_s.text()]);
        sleep_ms(u64::from(seconds).saturating_mul(1000));
        // Fails only without CAP_SYS_BOOT.
        let _ = reboot(RebootCommand::Restart);
    }
    line(Level::Error, "cannot continue booting; fix the image or the command line and reset", &[]);
    if !explain::shell(env) {
        loop {
            sleep_ms(3_600_000);
        }
    }
}
