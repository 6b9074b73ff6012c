// SPDX-License-Identifier: MIT OR Apache-2.0
//! The switch to the real root: moves the mounts, frees the initramfs and starts the real init.
//!
//! Source: the kernel's Documentation/filesystems/ramfs-rootfs-initramfs.rst.

use super::explain::report_left_behind;
use super::mount::{MOUNT_POINT, Root};
use crate::device::io::file::{EntryType, each_entry, is_in_memory, open};
use crate::device::io::log::{Level, line};
use crate::device::io::path::{Path, errno, path};
use crate::device::rt::{Args, Strings, execve};
use crate::loading::kernel::Errno;
use core::ffi::CStr;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, fstat, mkdir, openat, openat2, statat, unlinkat};
use rustix::mount::mount_move;
use rustix::process::{chdir, chroot};

impl Root<'_> {
    /// Switches to the mounted root and starts its init. Returns only if no init can be started.
    pub(crate) fn switch(&self, args: Args, env: Args) -> Errno {
        let Some(init) = self.find_init() else { return Errno::ENOENT };
        for place in [c"/dev", c"/proc", c"/sys", c"/run"] {
            self.move_mount(place);
        }
        free_initramfs();
        let switched = chdir(MOUNT_POINT)
            .and_then(|()| mount_move(c".", c"/"))
            .and_then(|()| chroot(c"."))
            .and_then(|()| chdir(c"/"));
        if let Err(error) = switched {
            return errno(error);
        }
        let argv = Strings::new(core::iter::once(init.as_c_str()).chain(args.skip(1).map(|arg| arg as &CStr)));
        Errno(execve(init.as_c_str(), &argv, &Strings::new(env)))
    }

    /// Moves a mount into the root, in which it creates the directory if it is missing.
    fn move_mount(&self, place: &CStr) {
        let Ok(to) = path("%%", &[MOUNT_POINT.to_bytes(), place.to_bytes()]) else { return };
        // It may exist. Otherwise this failure is why the move fails.
        let made = mkdir(to.as_c_str(), Mode::from_raw_mode(0o755));
        let Err(error) = mount_move(place, to.as_c_str()) else { return };
        let missing = made.err().filter(|error| *error != rustix::io::Errno::EXIST);
        report_left_behind(place.to_bytes(), self, errno(missing.unwrap_or(error)), missing.is_none());
        // No mount of the image may stay under the new root.
        let _ = rustix::mount::unmount(place, rustix::mount::UnmountFlags::DETACH);
    }

    /// Finds the init in the mounted root: that of `init=`, or else the first of the kernel's usual ones.
    fn find_init(&self) -> Option<Path> {
        let root = openat(CWD, MOUNT_POINT, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let found = match self.options.init {
            // The kernel starts no other init either.
            Some(init) => {
                if !exists(&root, init) {
                    line(Level::Error, "init=%: no such file in the root %", &[init, self.text]);
                    return None;
                }
                init
            }
            None => {
                let mut usual = [&b"/sbin/init"[..], b"/etc/init", b"/bin/init", b"/bin/sh"].into_iter();
                usual.find(|path| exists(&root, path))?
            }
        };
        path("%", &[found]).ok()
    }
}

/// Whether `wanted` is in `root`, with symbolic links resolved inside `root`.
fn exists(root: &OwnedFd, wanted: &[u8]) -> bool {
    let relative = wanted.strip_prefix(b"/").unwrap_or(wanted);
    let Ok(relative) = path("%", &[relative]) else { return false };
    match openat2(root, relative.as_c_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT) {
        // openat2 is missing before Linux 5.6: check for the name, without following links.
        Err(rustix::io::Errno::NOSYS) => statat(root, relative.as_c_str(), AtFlags::SYMLINK_NOFOLLOW).is_ok(),
        other => other.is_ok(),
    }
}

/// Most levels of directories that are deleted.
const DEPTH: u8 = 32;

/// Deletes the files of the initramfs, whose memory would be lost. Other file systems are not entered. If the root is not
/// in memory (a disk booted with the loader as its init), nothing is deleted.
fn free_initramfs() {
    if let Ok(root) = open(CWD, b"/")
        && is_in_memory(root.as_fd())
        && let Ok(stat) = fstat(&root)
    {
        empty(&root, stat.st_dev, DEPTH);
    }
}

fn empty(dir: &OwnedFd, device: u64, depth: u8) {
    let Some(depth) = depth.checked_sub(1) else { return };
    each_entry(dir.as_fd(), b".", &mut |name, entry_type| {
        let mut how = AtFlags::empty();
        if entry_type == EntryType::Directory {
            let Ok(child) = open(dir.as_fd(), name) else { return };
            if !fstat(&child).is_ok_and(|stat| stat.st_dev == device) {
                return;
            }
            empty(&child, device, depth);
            how = AtFlags::REMOVEDIR;
        }
        // A file that stays costs memory only.
        if let Ok(name) = path("%", &[name]) {
            let _ = unlinkat(dir, name.as_c_str(), how);
        }
    });
}
