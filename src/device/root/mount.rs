//! The real root: what the command line says of it, waiting for its device, mounting it, handing over to it.
//!
//! Source: the kernel's init/do_mounts.c for the parameters and their defaults; its
//! Documentation/filesystems/ramfs-rootfs-initramfs.rst for the hand-over.

use super::blockdev;
use super::net::Net;
use crate::device::io::file::read;
use crate::device::io::path::{Name, Path, errno, path};
use crate::loading::kernel::Errno;
use crate::loading::options::BootOptions;
use crate::loading::wait::Limits;
use crate::root::rootdev::RootDev;
use core::ffi::CStr;
use rustix::fs::CWD;
use rustix::mount::{MountFlags, mount};

/// Where the real root is mounted before it becomes the root.
pub(crate) const MOUNT_POINT: &CStr = c"/root";

/// The root that the command line names.
pub(crate) struct Root<'a> {
    /// The value of `root=`.
    pub(crate) text: &'static [u8],
    pub(crate) options: &'a BootOptions<'static>,
    dev: RootDev<'static>,
    /// The network, if the root is on NFS.
    net: Option<Net>,
    /// The device's path, once it is there: `/dev/mmcblk0p2`
    node: Option<Path>,
}

impl<'a> Root<'a> {
    /// Finds the root that the options name.
    ///
    /// # Errors
    /// The message for an option that is missing or not understood.
    #[inline(never)] // smaller so
    pub(crate) fn new(options: &'a BootOptions<'static>) -> Result<Root<'a>, &'static [u8]> {
        let text = options.root.ok_or(&b"no root= on the kernel command line"[..])?;
        let dev = blockdev::parse(text).ok_or(blockdev::NOT_UNDERSTOOD)?;
        Ok(Root { text, options, dev, net: Net::of(options)?, node: None })
    }

    /// Returns the limits of the wait for it.
    pub(crate) fn limits(&self, ends_at_root: bool) -> Limits {
        Limits { patience_ms: self.options.patience_ms, delay_ms: self.options.delay_ms, ends_at_root }
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
            net.options(self.options.root_flags, &mut options);
            return self.mount_as(node, b"nfs", &options).map(|()| Name::from_slice(b"nfs").unwrap_or_default());
        }
        let mut known = [0; 4096];
        let known = read(CWD, b"/proc/filesystems", &mut known).unwrap_or_default();
        // A type of a device stands behind a tab; one that needs none behind `nodev` and a tab.
        let known = known.split(|&byte| byte == b'\n').filter_map(|line| line.strip_prefix(b"\t"));
        let wanted =
            self.options.root_types.unwrap_or_default().split(|&byte| byte == b',').filter(|word| !word.is_empty());
        // ext4's driver mounts ext2 and ext3 as well, and asking for them first is two refusals on the console.
        let has_ext4 = known.clone().any(|fs_type| fs_type == b"ext4");
        let is_ext = |fs_type: &[u8]| matches!(fs_type, b"ext2" | b"ext3");
        // What is on it first: mount(2) has the kernel ask for its module, where it is not in yet.
        let mut found = Name::new();
        if self.options.root_types.is_none() {
            self.fs_type(&mut found);
            if has_ext4 && is_ext(&found) {
                found.clear();
            }
        }
        let known = known
            .filter(|fs_type| self.options.root_types.is_none() && !(has_ext4 && is_ext(fs_type)) && *fs_type != found);
        let mut best = Errno::EINVAL;
        for fs_type in Some(found.as_slice()).filter(|found| !found.is_empty()).into_iter().chain(wanted).chain(known) {
            match self.mount_as(node, fs_type, self.options.root_flags) {
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
        flags.set(MountFlags::RDONLY, self.options.is_read_only);
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
}

/// Says what mount(2) means by an errno.
pub(crate) fn mount_prose(error: Errno) -> &'static [u8] {
    match error {
        // Of those that the kernel knows none fits, or it does not know the one that is named.
        Errno::EINVAL | Errno::ENODEV => b"the kernel knows no such file system; is its module in the image?",
        other => crate::device::io::log::errno_prose(other),
    }
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
