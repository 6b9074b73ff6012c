//! The loader. As PID 1 it boots: mounts the kernel's file systems, loads the modules on the way to the root, then
//! those of the devices that are there, waits for the root, mounts it and starts the real init. Under the name of a
//! command it is that command.
//!
//! A step that fails is a line on the console, and the boot goes on where it can.

#![cfg_attr(test, allow(dead_code, reason = "tests have an entry of their own"))]

mod rt;
mod log;
mod file;
#[cfg(feature = "xz")]
mod arena;
#[cfg_attr(
    not(all(feature = "gz", feature = "xz", feature = "zst")),
    allow(dead_code, reason = "a build that leaves decoders out has no use for what they share")
)]
mod codec;
mod room;
#[cfg_attr(not(feature = "boards"), path = "no_boards.rs")]
mod boards;
mod tree;
#[cfg_attr(not(feature = "record"), path = "no_lap.rs")]
mod lap;
mod sys;
#[cfg(feature = "parallel")]
mod pool;
#[cfg(feature = "parallel")]
mod uevents;
mod coldplug;
#[cfg_attr(not(feature = "record"), path = "no_record.rs")]
mod record;
mod asks;
#[cfg_attr(not(feature = "parallel"), path = "serial_lanes.rs")]
mod lanes;
#[cfg_attr(not(feature = "identify"), path = "no_blockdev.rs")]
mod blockdev;
#[cfg_attr(not(feature = "nfs"), path = "no_net.rs")]
mod net;
mod root;
#[cfg(feature = "explain")]
mod phandle;
#[cfg_attr(not(feature = "explain"), path = "no_explain.rs")]
mod explain;
mod applets;

use crate::bytes::{self, basename};
use crate::cmdline;
use crate::load::Errno;
use file::Name;
use lanes::Lanes;
use log::{Decimal, Level, line};
use room::Room;
use root::Root;
use rt::Args;
use rustix::fs::{CWD, Mode, mkdir};
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};
use rustix::thread::{Timespec, nanosleep};
use tree::Tree;

/// Does what the name asks for that the loader is called by; returns the exit status.
fn main(args: Args, env: Args) -> i32 {
    let Some(room) = room::take() else { return 1 };
    let mut rest = args;
    let called = rest.next().map_or(&b""[..], |arg| basename(arg.to_bytes()));
    let mut command = applets::find(called);
    if command.is_none() && rustix::process::getpid().is_init() {
        boot(room, args, env);
    }
    if command.is_none() {
        command = rest.next().and_then(|name| applets::find(name.to_bytes()));
    }
    match command {
        Some(command) => command.run(room, rest, env),
        None => applets::usage(),
    }
}

/// The boot. It ends in the real init.
fn boot(room: &'static mut Room, args: Args, env: Args) -> ! {
    let start_ms = now_ms();
    mount_kernel_file_systems();
    log::to_kernel();

    let Room { config, cmdline, plan, .. } = room;
    let cmdline = file::read(CWD, b"/proc/cmdline", cmdline).unwrap_or_default();
    let tree = Tree::open();
    let mut known = None;
    let mut lanes = match &tree {
        Ok(tree) => {
            let resolver = tree.resolver(config, cmdline);
            tree::tell_bad_lines(&resolver.config);
            known = Some((tree, resolver));
            Some(Lanes::new(tree, resolver, plan, env))
        }
        Err(errno) => {
            tree::tell_no_tree(*errno);
            None
        }
    };
    if let Some(lanes) = &mut lanes {
        lanes.kernel.frees = cfg!(feature = "free") && cmdline::value(cmdline, b"initmod.free") == Some(b"1");
        lanes.ask_first();
    }
    let scene = || known.as_ref().map(|(tree, resolver)| explain::Scene { tree, resolver });
    let mut root = Root::parse(cmdline);
    let fs_type = loop {
        match reach(&mut root, &mut lanes, start_ms) {
            Ok(fs_type) => break fs_type,
            Err(why) => {
                tell_unreached(&root, why);
                explain::tell(scene());
                hold(cmdline, env);
            }
        }
    };
    let total_ms = now_ms().saturating_sub(start_ms);
    let Ok(root) = root else { died() };
    line(Level::Notice, &[b"root ", root.text, b" is ", root.node_path(), b" (", &fs_type, b")"]);
    explain::pause(cmdline, env);
    tell_summary(&lanes, start_ms, total_ms);
    sys::reap();
    let errno = root.switch(args, env);
    line(Level::Error, &[b"no init in the root ", root.text, b" could be started: ", log::errno_prose(errno)]);
    loop {
        hold(cmdline, env);
    }
}

/// Why the root is not mounted.
#[derive(Clone, Copy)]
enum Unreached {
    /// The command line does not say which it is.
    NotSaid,
    /// Its device is not here, after so many ms.
    Absent(u64),
    /// It can't be mounted.
    Unmountable(Errno),
}

/// Loads modules until the root is there and mounted, and what else there is to load is done. Returns its type.
#[inline(never)] // smaller so
fn reach(
    root: &mut Result<Root, &'static [u8]>,
    lanes: &mut Option<Lanes<'_>>,
    start_ms: u64,
) -> Result<Name, Unreached> {
    let mut mounted = None;
    let mut idle_since_ms = None;
    let (mut is_tried, mut is_told, mut refusal) = (false, false, None);
    loop {
        let wait_ms = if mounted.is_some() { 0 } else { POLL_MS };
        let is_idle = match lanes {
            Some(lanes) => lanes.turn(wait_ms),
            None => {
                sleep_ms(wait_ms);
                true
            }
        };
        let now_ms = now_ms();
        let idle_ms = if is_idle { now_ms.saturating_sub(*idle_since_ms.get_or_insert(now_ms)) } else { 0 };
        if !is_idle {
            idle_since_ms = None;
        }
        let Ok(root) = root else {
            if is_idle {
                return Err(Unreached::NotSaid);
            }
            continue;
        };
        if let Some(fs_type) = mounted.take() {
            if lanes.as_ref().is_none_or(|lanes| lanes.is_finished(is_idle)) {
                if let Some(lanes) = lanes {
                    lanes.finish();
                }
                return Ok(fs_type);
            }
            mounted = Some(fs_type);
            continue;
        }
        let is_open = lanes.as_ref().is_none_or(Lanes::first_lane_is_done);
        // Without workers and indexes nothing tells of block devices: look each time.
        let mut block_news = || lanes.as_mut().is_none_or(Lanes::block_news);
        if is_open && root.is_there(block_news()) && now_ms.saturating_sub(start_ms) >= root.delay_ms {
            // Once at once, and once more when all that could help is loaded.
            if !is_tried || is_idle {
                is_tried = true;
                refusal = match root.mount() {
                    Ok(fs_type) => {
                        mounted = Some(fs_type);
                        continue;
                    }
                    // It has a name, but is no disk yet, or has no medium yet: the wait goes on.
                    Err(errno @ (Errno::ENXIO | Errno::ENOMEDIUM)) => Some(errno),
                    Err(errno) if is_idle => return Err(Unreached::Unmountable(errno)),
                    Err(_) => continue,
                };
            }
        }
        if is_idle && root.patience_ms.is_some_and(|patience_ms| idle_ms >= patience_ms.max(root.delay_ms)) {
            let absent = Unreached::Absent(now_ms.saturating_sub(start_ms));
            return Err(refusal.map_or(absent, Unreached::Unmountable));
        }
        if !is_told && idle_ms >= TELL_MS {
            is_told = true;
            line(Level::Notice, &[b"waiting for the root ", root.text]);
        }
    }
}

#[inline(never)] // smaller so
fn tell_unreached(root: &Result<Root, &'static [u8]>, why: Unreached) {
    match (root, why) {
        (Err(prose), _) => line(Level::Error, &[*prose]),
        (Ok(root), Unreached::Unmountable(errno)) => explain::tell_unmountable(root, errno),
        (Ok(root), Unreached::Absent(waited_ms)) => {
            root.tell_net();
            let waited = Decimal::new(waited_ms / 1000);
            line(
                Level::Error,
                &[root.text, b" did not appear within ", waited.text(), explain::seconds_and_advice(root)],
            );
        }
        (Ok(_), Unreached::NotSaid) => {}
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
        let _ = mount(fs_type, place, fs_type, flags, options);
    }
    let _ = mkdir(root::MOUNT_POINT, Mode::from_raw_mode(0o755));
}

/// How often the root device is looked for, ms.
const POLL_MS: u64 = 20;

/// After how long a wait is told, ms.
const TELL_MS: u64 = 3000;

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
fn hold(cmdline: &[u8], env: Args) {
    explain::tell_devices();
    if let Some(panic) = cmdline::value(cmdline, b"panic").filter(|seconds| *seconds != b"0") {
        let seconds = if panic.starts_with(b"-") { 0 } else { bytes::decimal(panic).unwrap_or(0) };
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

/// Ends a process that met what cannot be: a failed child, or, as PID 1, a kernel panic that names us.
pub fn died() -> ! {
    line(Level::Error, &[b"internal error, please report"]);
    rt::exit(134)
}

fn now_us() -> u64 {
    let (seconds, nanos) = rt::uptime();
    u64::from(seconds).saturating_mul(1_000_000).saturating_add(u64::from(nanos) / 1000)
}

fn now_ms() -> u64 {
    now_us() / 1000
}

fn sleep_ms(duration_ms: u64) {
    let (seconds, rest_ms) = ((duration_ms / 1000) as i64, (duration_ms % 1000) as i64);
    // Cut short by a signal: nobody counts on the exact time.
    let _ = nanosleep(&Timespec { tv_sec: seconds, tv_nsec: rest_ms.saturating_mul(1_000_000) as _ });
}
