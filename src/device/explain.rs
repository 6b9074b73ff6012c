//! The post-mortem: why the root is not there, and what could help.

use super::blockdev;
use super::file::{Name, read};
use super::log::{Level, line};
use super::root::{MOUNT_POINT, Root, mount_prose};
use super::rt::{Args, Strings, execve};
use crate::load::Errno;
use rustix::fs::{AtFlags, CWD, statat};

/// Says why the root can't be mounted, and what could help.
pub(super) fn tell_unmountable(root: &Root, errno: Errno) {
    let mut found = Name::new();
    root.fs_type(&mut found);
    let mut known = [0; 4096];
    let known = read(CWD, b"/proc/filesystems", &mut known).unwrap_or_default();
    let is_known = known.split(|&byte| byte == b'\n').any(|line| line.strip_prefix(b"\t") == Some(&found));
    let node = root.node_path();
    if found.is_empty() || is_known {
        let (found, is): (&[u8], &[u8]) = if found.is_empty() { (b"", b"") } else { (&found, b", which holds ") };
        return line(Level::Error, &[b"mounting ", node, is, found, b", failed: ", mount_prose(errno)]);
    }
    let fix = b", which this kernel does not know: its module is not in this image, or failed; rebuild with it";
    line(Level::Error, &[b"mounting ", node, b" failed: it holds ", &found, fix]);
}

/// Tells which block devices are there, for whoever has to find out why the root is not.
pub(super) fn tell_devices() {
    let mut is_any = false;
    blockdev::describe(&mut |parts| {
        is_any = true;
        let mut all = heapless::Vec::<&[u8], 8>::from_array([&b"block device "[..]]);
        let _ = all.extend_from_slice(parts);
        line(Level::Error, &all);
    });
    if !is_any {
        line(Level::Error, &[b"there are no block devices here: the driver of the disk or of its bus is missing"]);
    }
}

/// With rd.break on the command line: a shell before the root is switched to.
pub(super) fn pause(cmdline: &[u8], env: Args) {
    if crate::cmdline::has(cmdline, b"rd.break") {
        line(Level::Notice, &[b"rd.break: the root is mounted on ", MOUNT_POINT.to_bytes()]);
        shell(env);
    }
}

/// Runs the image's shell on the console until it ends; says whether there is one.
pub(super) fn shell(env: Args) -> bool {
    if statat(CWD, c"/bin/sh", AtFlags::empty()).is_err() {
        return false;
    }
    line(Level::Notice, &[b"starting /bin/sh; when it ends, the boot goes on"]);
    let status = super::sys::in_child(|| {
        let argv = Strings::new([c"sh"].into_iter());
        execve(c"/bin/sh", &argv, &Strings::new(env.map(|var| var as &core::ffi::CStr)));
        NOT_STARTED
    });
    status != Ok(NOT_STARTED)
}

/// What a child ends with that could not become a shell.
const NOT_STARTED: i32 = 126;
