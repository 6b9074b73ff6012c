//! The loader. As PID 1 it boots: mounts the kernel's file systems, loads the modules on the way to the root, then
//! those of the devices that are there, waits for the root, mounts it and starts the real init. Under the name of a
//! command it is that command.
//!
//! A step that fails is a line on the console, and the boot goes on where it can.

#![cfg_attr(test, allow(dead_code, reason = "tests have an entry of their own"))]

mod rt;
mod log;
mod file;
#[cfg(any(feature = "xz", feature = "zst"))]
mod arena;
#[cfg_attr(
    not(all(feature = "gz", feature = "xz", feature = "zst")),
    allow(dead_code, reason = "a build that leaves decoders out has no use for what they share")
)]
mod codec;
mod room;
mod tree;
mod sys;
mod coldplug;
mod lanes;
mod root;
mod applets;

use crate::bytes::{self, basename};
use crate::cmdline;
use crate::load::Tally;
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
    if called != b"modprobe" && rustix::process::getpid().is_init() {
        boot(room, args, env);
    }
    let command = if called == b"modprobe" { called } else { rest.next().map_or(&b""[..], core::ffi::CStr::to_bytes) };
    match command {
        b"modprobe" => applets::modprobe::main(room, rest, env),
        _ => {
            log::put(
                true,
                &[b"usage: initmod modprobe ...\n       as PID 1, or called as modprobe, it does its work without\n"],
            );
            1
        }
    }
}

/// The boot. It ends in the real init.
fn boot(room: &'static mut Room, args: Args, env: Args) -> ! {
    let start_ms = now_ms();
    mount_kernel_file_systems();
    log::to_kernel();

    let Room { config, load_list, cmdline, plan } = room;
    let cmdline = file::read(CWD, b"/proc/cmdline", cmdline).unwrap_or_default();
    let tree = Tree::open();
    let mut lanes = match &tree {
        Ok(tree) => {
            let resolver = tree.resolver(config, cmdline);
            tree::tell_bad_lines(&resolver.config);
            Some(Lanes::new(tree, resolver, plan, env))
        }
        Err(errno) => {
            tree::tell_no_tree(*errno);
            None
        }
    };
    if let Some(lanes) = &mut lanes {
        tree::read_load_d(load_list);
        lanes.load_list(load_list);
        lanes.coldplug();
    }
    let modules_ms = now_ms().saturating_sub(start_ms);

    let root = match Root::parse(cmdline) {
        Ok(root) => root,
        Err(prose) => hold(cmdline, &[prose]),
    };
    wait_for(&root, &mut lanes, cmdline);
    let fs_type = match root.mount() {
        Ok(fs_type) => fs_type,
        Err(errno) => hold(cmdline, &[b"mounting ", root.device, b" failed: ", root::mount_prose(errno)]),
    };
    let tally = lanes.map_or(Tally::default(), |lanes| lanes.tally);
    tell_summary(&tally, modules_ms, &root, &fs_type, now_ms().saturating_sub(start_ms));
    let errno = root.switch(args, env);
    hold(cmdline, &[b"no init in the root ", root.device, b" could be started: ", log::errno_prose(errno)])
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

/// Waits for the root device, and loads what devices ask for that come up meanwhile.
fn wait_for(root: &Root, lanes: &mut Option<Lanes<'_>>, cmdline: &[u8]) {
    let start_ms = now_ms();
    let mut told = false;
    while !root.is_there() {
        sleep_ms(POLL_MS);
        if root.is_there() {
            return;
        }
        if let Some(lanes) = lanes {
            lanes.coldplug();
        }
        let waited_ms = now_ms().saturating_sub(start_ms);
        if root.patience_ms.is_some_and(|patience_ms| waited_ms >= patience_ms) {
            hold(cmdline, &[root.device, b" did not appear within ", Decimal::new(waited_ms / 1000).text(), b" s"]);
        }
        if !told && waited_ms >= TELL_MS {
            told = true;
            line(Level::Notice, &[b"waiting for the root device ", root.device]);
        }
    }
}

/// How often the root device is looked for, ms.
const POLL_MS: u64 = 20;

/// After how long a wait is told, ms.
const TELL_MS: u64 = 3000;

/// Says in one line what was done and how long it took.
fn tell_summary(tally: &Tally, modules_ms: u64, root: &Root, fs_type: &[u8], total_ms: u64) {
    let [loaded, failed, modules_ms, total_ms] =
        [tally.loaded.into(), tally.failed.into(), modules_ms, total_ms].map(Decimal::new);
    let (failed, failed_word): (&[u8], &[u8]) =
        if tally.failed > 0 { (failed.text(), b" failed, ") } else { (b"", b"") };
    line(
        Level::Notice,
        &[
            loaded.text(),
            b" modules in ",
            modules_ms.text(),
            b" ms, ",
            failed,
            failed_word,
            b"root ",
            root.device,
            b" (",
            fs_type,
            b") after ",
            total_ms.text(),
            b" ms",
        ],
    );
}

/// Says why the boot can't go on, and what is here; then does what panic= asks for: reboots after that many seconds, at
/// once where it is negative, and waits for a person where it is 0 or not given. PID 1 never ends.
fn hold(cmdline: &[u8], why: &[&[u8]]) -> ! {
    line(Level::Error, why);
    root::tell_devices();
    if let Some(panic) = cmdline::value(cmdline, b"panic").filter(|seconds| *seconds != b"0") {
        let seconds = if panic.starts_with(b"-") { 0 } else { bytes::decimal(panic).unwrap_or(0) };
        let in_s = Decimal::new(seconds.into());
        line(Level::Error, &[b"the boot ends here; reboot in ", in_s.text(), b" s, as panic= asks"]);
        sleep_ms(u64::from(seconds).saturating_mul(1000));
        // Fails only without the right to; then wait like without panic=.
        let _ = reboot(RebootCommand::Restart);
    }
    line(Level::Error, &[b"the boot ends here; mend the image or the command line, and reset the machine"]);
    loop {
        sleep_ms(3_600_000);
    }
}

/// Ends a process that met what cannot be: a failed child, or, as PID 1, a kernel panic that names us.
pub fn died() -> ! {
    line(Level::Error, &[b"internal error, please report"]);
    rt::exit(134)
}

fn now_ms() -> u64 {
    let (seconds, nanos) = rt::uptime();
    u64::from(seconds).saturating_mul(1000).saturating_add(u64::from(nanos) / 1_000_000)
}

fn sleep_ms(duration_ms: u64) {
    let (seconds, rest_ms) = ((duration_ms / 1000) as i64, (duration_ms % 1000) as i64);
    // Cut short by a signal: nobody counts on the exact time.
    let _ = nanosleep(&Timespec { tv_sec: seconds, tv_nsec: rest_ms.saturating_mul(1_000_000) as _ });
}
