//! The real root: what the command line says of it, waiting for its device, mounting it, handing over to it.
//!
//! Source: the kernel's init/do_mounts.c for the parameters and their defaults; its
//! Documentation/filesystems/ramfs-rootfs-initramfs.rst for the hand-over.

use super::blockdev;
use super::net::Net;
use crate::device::io::file::{EntryType, Name, Path, each_entry, errno, open, path, read};
use crate::device::io::log::{Level, line};
use crate::device::rt::{Args, Strings, execve};
use crate::loading::run::Errno;
use crate::modules::cmdline;
use crate::root::rootdev::RootDev;
use core::ffi::CStr;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fstat, fstatfs, mkdir, openat, openat2, statat, unlinkat,
};
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::process::{chdir, chroot};

/// Where the real root is mounted before it becomes the root.
pub(crate) const MOUNT_POINT: &CStr = c"/root";

/// Longest wait for the root device, from when all else is done, where rootwait does not say otherwise, ms.
const PATIENCE_MS: u64 = 30_000;

/// What the command line says of the root.
pub(crate) struct Root {
    /// What root= says.
    pub(crate) text: &'static [u8],
    dev: RootDev<'static>,
    /// The network, where the root is there.
    net: Option<Net>,
    /// Where the device is, once it is there: `/dev/mmcblk0p2`
    node: Option<Path>,
    /// Types to try, with commas between; all that the kernel knows where nothing is said.
    types: Option<&'static [u8]>,
    options: &'static [u8],
    read_only: bool,
    init: Option<&'static [u8]>,
    /// How long to wait for the device, ms; `None` for ever.
    pub(crate) patience_ms: Option<u64>,
    /// How long to leave it alone at first, ms.
    pub(crate) delay_ms: u64,
}

impl Root {
    /// Reads root=, ip=, nfsroot=, rootfstype=, rootflags=, ro, rw, rootwait, rootwait=, rootdelay=, init=.
    ///
    /// # Errors
    /// What is missing or not understood.
    #[inline(never)] // smaller so
    pub(crate) fn parse(text: &'static [u8]) -> Result<Root, &'static [u8]> {
        let root = cmdline::value(text, b"root").ok_or(&b"no root= on the kernel command line"[..])?;
        let dev = blockdev::parse(root).ok_or(blockdev::NOT_UNDERSTOOD)?;
        let last_of_two =
            cmdline::params(text).map(|param| param.key).filter(|key| matches!(*key, b"ro" | b"rw")).last();
        let ms =
            |key| cmdline::value(text, key).and_then(crate::bytes::decimal).map(|s| u64::from(s).saturating_mul(1000));
        let patience_ms = match ms(b"rootwait") {
            None if cmdline::has(text, b"rootwait") => None,
            said => Some(said.unwrap_or(PATIENCE_MS)),
        };
        Ok(Root {
            text: root,
            dev,
            net: Net::of(root, text)?,
            node: None,
            types: cmdline::value(text, b"rootfstype"),
            options: cmdline::value(text, b"rootflags").unwrap_or_default(),
            read_only: last_of_two != Some(b"rw"),
            init: cmdline::value(text, b"init"),
            patience_ms,
            delay_ms: ms(b"rootdelay").unwrap_or(0),
        })
    }

    /// Says whether the device is there. One that is named by what is on it is looked for only where `block_news` says
    /// that block devices have changed.
    pub(crate) fn is_there(&mut self, block_news: bool) -> bool {
        if let Some(net) = &mut self.net {
            if self.node.is_none() && net.turn() {
                self.node = net.source();
            }
        } else if block_news || matches!(self.dev, RootDev::Path(_) | RootDev::Number(..)) {
            self.node = blockdev::find(&self.dev);
        }
        self.node.is_some()
    }

    /// Mounts the root and returns its type.
    ///
    /// # Errors
    /// The errno of the type that came furthest: one that fits, but fails, over those that do not fit.
    #[inline(never)] // smaller so
    pub(crate) fn mount(&self) -> Result<Name, Errno> {
        let node = self.node.as_ref().ok_or(Errno::ENODEV)?;
        if let Some(net) = &self.net {
            let mut options = heapless::Vec::new();
            net.options(self.options, &mut options);
            return self.mount_as(node, b"nfs", &options).map(|()| Name::from_slice(b"nfs").unwrap_or_default());
        }
        let mut known = [0; 4096];
        let known = read(CWD, b"/proc/filesystems", &mut known).unwrap_or_default();
        // A type of a device stands behind a tab; one that needs none behind `nodev` and a tab.
        let known = known.split(|&byte| byte == b'\n').filter_map(|line| line.strip_prefix(b"\t"));
        let wanted = self.types.unwrap_or_default().split(|&byte| byte == b',').filter(|word| !word.is_empty());
        // ext4's driver mounts ext2 and ext3 as well, and asking for them first is two refusals on the console.
        let has_ext4 = known.clone().any(|fs_type| fs_type == b"ext4");
        let is_ext = |fs_type: &[u8]| matches!(fs_type, b"ext2" | b"ext3");
        // What is on it first: mount(2) has the kernel ask for its module, where it is not in yet.
        let mut found = Name::new();
        if self.types.is_none() {
            self.fs_type(&mut found);
            if has_ext4 && is_ext(&found) {
                found.clear();
            }
        }
        let known = known.filter(|fs_type| self.types.is_none() && !(has_ext4 && is_ext(fs_type)) && *fs_type != found);
        let mut best = Errno::EINVAL;
        for fs_type in Some(found.as_slice()).filter(|found| !found.is_empty()).into_iter().chain(wanted).chain(known) {
            match self.mount_as(node, fs_type, self.options) {
                Ok(()) => return Name::from_slice(fs_type).map_err(|_| Errno::EINVAL),
                Err(Errno::EINVAL) => {}
                Err(error) => best = error,
            }
        }
        Err(best)
    }

    /// Says what is wrong with the network, where the root is there.
    pub(crate) fn tell_net(&self) {
        if let Some(net) = &self.net {
            net.tell();
        }
    }

    /// Writes the type of the file system on it into `out`; leaves it empty where that can't be told.
    pub(crate) fn fs_type(&self, out: &mut Name) {
        if let Some(node) = &self.node {
            blockdev::fs_type(node, out);
        }
    }

    /// Returns the device's path, or what root= says while there is none.
    pub(crate) fn node_path(&self) -> &[u8] {
        self.node.as_ref().map_or(self.text, |node| node.as_bytes())
    }

    #[inline(never)] // smaller so
    fn mount_as(&self, node: &Path, fs_type: &[u8], options: &[u8]) -> Result<(), Errno> {
        let mut flags = MountFlags::empty();
        flags.set(MountFlags::RDONLY, self.read_only);
        let mut data = heapless::Vec::<u8, 1024>::new();
        for option in options.split(|&byte| byte == b',').filter(|option| !option.is_empty()) {
            if let Some((_, flag)) = FLAGS.iter().find(|(word, _)| *word == option) {
                flags |= *flag;
            } else {
                let comma: &[u8] = if data.is_empty() { b"" } else { b"," };
                data.extend_from_slice(comma)
                    .and_then(|()| data.extend_from_slice(option))
                    .map_err(|_| Errno::EINVAL)?;
            }
        }
        let (fs_type, data) = (path(&[fs_type])?, path(&[&data])?);
        mount(node.as_c_str(), MOUNT_POINT, fs_type.as_c_str(), flags, data.as_c_str()).map_err(errno)
    }

    /// Makes the mounted root the root and starts its init; returns only where no init can be started.
    #[inline(never)] // smaller so
    pub(crate) fn switch(&self, args: Args, env: Args) -> Errno {
        let Some(init) = self.find_init() else { return Errno::ENOENT };
        for place in [c"/dev", c"/proc", c"/sys", c"/run"] {
            self.take_along(place);
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

    /// Moves a mount into the root, and makes a directory for it there where there is none.
    fn take_along(&self, place: &CStr) {
        let moved = path(&[MOUNT_POINT.to_bytes(), place.to_bytes()]).and_then(|to| {
            // Exists: fine. Fails otherwise: that is why nothing can be mounted there.
            let made = mkdir(to.as_c_str(), Mode::from_raw_mode(0o755)).map_err(errno);
            mount_move(place, to.as_c_str()).map_err(|error| made.err().unwrap_or(errno(error)))
        });
        let Err(error) = moved else { return };
        super::explain::tell_left_behind(place.to_bytes(), self, error);
        // Nothing of the image may stay mounted under it.
        let _ = rustix::mount::unmount(place, rustix::mount::UnmountFlags::DETACH);
    }

    #[inline(never)] // smaller so
    /// Finds the init in the mounted root: the command line's, or the first of those that the kernel tries.
    fn find_init(&self) -> Option<Path> {
        let root = openat(CWD, MOUNT_POINT, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let usual = [&b"/sbin/init"[..], b"/etc/init", b"/bin/init", b"/bin/sh"];
        let said = self.init.into_iter().filter(|path| {
            let there = exists(&root, path);
            if !there {
                line(Level::Error, &[b"init=", path, b": not in the root ", self.text]);
            }
            there
        });
        path(&[said.chain(usual.into_iter().filter(|path| exists(&root, path))).next()?]).ok()
    }
}

/// Says whether `wanted` is in `root`, with links followed as a process in that root would.
fn exists(root: &OwnedFd, wanted: &[u8]) -> bool {
    let relative = wanted.strip_prefix(b"/").unwrap_or(wanted);
    let Ok(relative) = path(&[relative]) else { return false };
    match openat2(root, relative.as_c_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT) {
        // Before 5.6: see at least whether there is something of that name.
        Err(rustix::io::Errno::NOSYS) => statat(root, relative.as_c_str(), AtFlags::SYMLINK_NOFOLLOW).is_ok(),
        other => other.is_ok(),
    }
}

/// Says what mount(2) means by an errno.
pub(crate) fn mount_prose(error: Errno) -> &'static [u8] {
    match error {
        // Of those that the kernel knows none fits, or it does not know the one that is named.
        Errno::EINVAL | Errno::ENODEV => b"the kernel knows no such file system; is its module in the image?",
        other => crate::device::io::log::errno_prose(other),
    }
}

/// Returns the path of a block device that is there.
pub(crate) fn block_node(node: &[u8]) -> Option<Path> {
    let node = path(&[node]).ok()?;
    let stat = statat(CWD, node.as_c_str(), AtFlags::empty()).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice).then_some(node)
}

/// The options of rootflags= that are flags of mount(2), not text for the file system.
const FLAGS: [(&[u8], MountFlags); 13] = [
    (b"ro", MountFlags::RDONLY),
    (b"rw", MountFlags::empty()),
    (b"defaults", MountFlags::empty()),
    (b"noatime", MountFlags::NOATIME),
    (b"nodiratime", MountFlags::NODIRATIME),
    (b"relatime", MountFlags::RELATIME),
    (b"strictatime", MountFlags::STRICTATIME),
    (b"nosuid", MountFlags::NOSUID),
    (b"nodev", MountFlags::NODEV),
    (b"noexec", MountFlags::NOEXEC),
    (b"sync", MountFlags::SYNCHRONOUS),
    (b"dirsync", MountFlags::DIRSYNC),
    (b"lazytime", MountFlags::LAZYTIME),
];

/// Deepest directory of the image that is emptied.
const DEPTH: u8 = 32;

/// Types of the file system that the kernel unpacks an initramfs into. Source: include/uapi/linux/magic.h.
const RAMFS_MAGIC: u32 = 0x8584_58f6;
const TMPFS_MAGIC: u32 = 0x0102_1994;

/// Deletes what the kernel unpacked: its memory is lost otherwise. Other file systems are not entered, and where this one
/// is no initramfs, as when somebody boots a disk with us as init, nothing is touched.
fn free_initramfs() {
    if let Ok(root) = open(CWD, b"/")
        && is_in_memory(root.as_fd())
        && let Ok(stat) = fstat(&root)
    {
        empty(&root, stat.st_dev, DEPTH);
    }
}

/// Says whether a file system is one that an initramfs is unpacked into.
pub(crate) fn is_in_memory(dir: BorrowedFd<'_>) -> bool {
    fstatfs(dir).is_ok_and(|fs| matches!(fs.f_type as u32, RAMFS_MAGIC | TMPFS_MAGIC))
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
        // What stays, stays: it costs memory and nothing else.
        if let Ok(name) = path(&[name]) {
            let _ = unlinkat(dir, name.as_c_str(), how);
        }
    });
}
