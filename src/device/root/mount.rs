// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real root: found by the command line's options, mounted on [`MOUNT_POINT`].
//!
//! Source: the kernel's init/do_mounts.c for the options and their defaults.

use super::blockdev;
use super::net::Net;
use super::wanted::Wanted;
use crate::bytes::split;
use crate::device::io::file::read;
use crate::device::io::log::errno_prose;
use crate::device::io::path::{Name, Path, errno, path};
use crate::device::kernel::child;
use crate::device::rt::clock::sleep_ms;
use crate::loading::kernel::Errno;
use crate::loading::options::BootOptions;
use core::ffi::CStr;
use rustix::fs::CWD;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, WaitOptions, waitpid};

/// Where the real root is mounted before the switch to it.
pub(crate) const MOUNT_POINT: &CStr = c"/root";

/// The root that the command line names.
pub(crate) struct Root<'a> {
    /// The value of `root=`.
    pub(crate) text: &'static [u8],
    pub(crate) options: &'a BootOptions<'static>,
    device: Wanted,
    /// The network, if the root is on NFS. It supplies the device's path: `SERVER:PATH`.
    net: Option<Net>,
    /// Whether a mount was put off for want of devices of the same file system.
    is_put_off: bool,
    /// The process that mounts a root on NFS: the kernel waits for minutes for a server that does not answer.
    mounting: Option<Pid>,
}

impl<'a> Root<'a> {
    /// Finds the root that the options name.
    ///
    /// # Errors
    /// The message for an option that is missing or not understood.
    #[inline(never)]
    pub(crate) fn new(options: &'a BootOptions<'static>) -> Result<Root<'a>, &'static [u8]> {
        let text = options.root.ok_or(&b"/proc/cmdline has no root="[..])?;
        let (device, net) = (Wanted::parse(text)?, Net::of(options)?);
        Ok(Root { text, options, device, net, is_put_off: false, mounting: None })
    }

    /// Whether the device is there, or the network for a root on NFS is up. `block_news`: block devices have changed.
    pub(crate) fn look(&mut self, block_news: bool) -> bool {
        match &mut self.net {
            None => self.device.look(block_news),
            Some(net) => {
                if self.device.node.is_none() && net.turn() {
                    self.device.node = net.source();
                }
            }
        }
        self.device.node.is_some()
    }

    /// Mounts the root and returns its type.
    ///
    /// # Errors
    /// The errno of the last type that did not give EINVAL, or EINVAL. `ENXIO` if devices of the file system are missing,
    /// `ETIMEDOUT` as long as the server of a root on NFS does not answer.
    #[inline(never)]
    pub(crate) fn mount(&mut self) -> Result<Name, Errno> {
        let node = self.device.node.as_ref().ok_or(Errno::ENODEV)?;
        if let Some(net) = &self.net {
            if self.mounting.is_none() {
                self.mounting = child::start(|| {
                    let mut options = heapless::Vec::new();
                    net.options(self.options.root_flags, &mut options);
                    let Err(error) = self.mount_as(node, b"nfs", &options) else { return 0 };
                    sleep_ms(1000); // before the next try
                    error.0
                })?;
            }
            let status = match waitpid(self.mounting, WaitOptions::NOHANG) {
                Ok(None) => return Err(Errno::ETIMEDOUT),
                Ok(Some((_, status))) => status.exit_status().unwrap_or(Errno::EIO.0),
                Err(error) => error.raw_os_error(),
            };
            self.mounting = None;
            return if status == 0 { Ok(Name::from_slice(b"nfs").unwrap_or_default()) } else { Err(Errno(status)) };
        }
        let mut found = Name::new();
        let missing_count = blockdev::fs_type(node, &mut found);
        // `rootflags=degraded` mounts without them: the first time they are waited for.
        if missing_count > 0 && !core::mem::replace(&mut self.is_put_off, true) {
            return Err(Errno::ENXIO);
        }
        let mut known = [0; 4096];
        let known = read(CWD, b"/proc/filesystems", &mut known).unwrap_or_default();
        // Types that need no device have `nodev` before the tab.
        let known = split(known, b'\n').filter_map(|line| line.strip_prefix(b"\t"));
        let types = self.options.root_types;
        let wanted = split(types.unwrap_or_default(), b',').filter(|word| !word.is_empty());
        // The ext4 driver also mounts ext2 and ext3; trying these names first puts two refusals on the console.
        let has_ext4 = known.clone().any(|fs_type| fs_type == b"ext4");
        let is_ext = |fs_type: &[u8]| matches!(fs_type, b"ext2" | b"ext3");
        // The type on the device comes first: mount(2) makes the kernel request its module.
        if types.is_some() || has_ext4 && is_ext(&found) {
            found.clear();
        }
        let known = known.filter(|fs_type| types.is_none() && !(has_ext4 && is_ext(fs_type)) && *fs_type != found);
        let mut best = Errno::EINVAL;
        for fs_type in Some(found.as_slice()).filter(|found| !found.is_empty()).into_iter().chain(wanted).chain(known) {
            match self.mount_as(node, fs_type, self.options.root_flags) {
                Ok(()) => return Name::from_slice(fs_type).map_err(|_| Errno::EINVAL),
                Err(Errno::EINVAL) => {}
                Err(error) => best = error,
            }
        }
        Err(if missing_count > 0 { Errno::ENXIO } else { best })
    }

    /// Reports what the network lacks, for a root on NFS.
    pub(crate) fn report_net(&self) {
        if let Some(net) = &self.net {
            net.report();
        }
    }

    /// Returns the device's path, if it is there.
    pub(crate) fn node(&self) -> Option<&Path> {
        self.device.node.as_ref()
    }

    /// Returns the device's path, or the value of `root=` as long as there is no device.
    pub(crate) fn node_path(&self) -> &[u8] {
        self.node().map_or(self.text, |node| node.as_bytes())
    }

    #[inline(never)]
    fn mount_as(&self, node: &Path, fs_type: &[u8], options: &[u8]) -> Result<(), Errno> {
        let mut flags = MountFlags::empty();
        flags.set(MountFlags::RDONLY, self.options.is_read_only);
        let mut data = heapless::Vec::<u8, 1024>::new();
        for option in split(options, b',').filter(|option| !option.is_empty()) {
            if let Some((_, flag)) = FLAGS.iter().find(|(word, _)| *word == option) {
                flags |= *flag;
            } else {
                let comma: &[u8] = if data.is_empty() { b"" } else { b"," };
                data.extend_from_slice(comma)
                    .and_then(|()| data.extend_from_slice(option))
                    .map_err(|_| Errno::EINVAL)?;
            }
        }
        let (fs_type, data) = (path("%", &[fs_type])?, path("%", &[&data])?);
        mount(node.as_c_str(), MOUNT_POINT, fs_type.as_c_str(), flags, data.as_c_str()).map_err(errno)
    }
}

/// Returns the message for an errno of mount(2). `has_type`: the device holds a file system that the loader knows.
pub(crate) fn mount_prose(error: Errno, has_type: bool) -> &'static [u8] {
    match error {
        Errno::EINVAL if has_type => b"it is damaged, or rootflags= or rootfstype= is wrong for it",
        // No type of the kernel fits, or it lacks the type of rootfstype=.
        Errno::EINVAL | Errno::ENODEV => b"the kernel knows no such file system; is its module in the image?",
        other => errno_prose(other),
    }
}

/// The words of `rootflags=` that are flags of mount(2); the others go to the file system as text.
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
