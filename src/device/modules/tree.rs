// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module tree of the running kernel with depmod's indexes, and modprobe.d: what a [`Resolver`] needs.

use super::board;
use crate::device::io::config_dirs::{Names, append_config, each_config};
use crate::device::io::file::{each_entry, open, read};
use crate::device::io::log::{Decimal, FAILED, Level, errno_prose, line};
use crate::device::io::mmap::map;
use crate::loading::kernel::Errno;
use crate::modules::config::{Config, LOAD_DIRS, MODPROBE_DIRS};
use crate::modules::index::{Index, Near};
use crate::modules::resolve::{Failure, IndexFile, Indexes, Resolver};
use core::sync::atomic::Ordering;
use heapless::{Vec, VecView};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::CWD;

/// The directory of the module trees, one for each kernel version.
pub(crate) const MODULES: &[u8] = b"/lib/modules/";

/// The module tree of the running kernel.
pub(crate) struct Tree {
    /// Its path, with a `/` at the end: /lib/modules/KVER/
    pub(crate) path: Vec<u8, 512>,
    pub(crate) dir: OwnedFd,
    /// Whether few names are looked up, as by a command.
    #[cfg_attr(not(feature = "tools"), allow(dead_code, reason = "of the tools"))]
    is_for_one: bool,
}

impl Tree {
    /// Opens the tree of the running kernel.
    ///
    /// # Errors
    /// The errno of open(2) on /lib/modules/KVER.
    pub(crate) fn open() -> Result<Tree, Errno> {
        Tree::at(b"", None, false)
    }

    /// Opens the tree of `kver`, by default the running kernel's, under the directory `root`, for a command. If it is
    /// missing, so are its indexes, and only modprobe.d and paths resolve.
    ///
    /// # Errors
    /// The errno of open(2), or [`Errno::ENAMETOOLONG`].
    #[cfg_attr(not(feature = "tools"), allow(dead_code, reason = "of the tools"))]
    pub(crate) fn open_at(root: &[u8], kver: Option<&[u8]>) -> Result<Tree, Errno> {
        Tree::at(root, kver, true)
    }

    fn at(root: &[u8], kver: Option<&[u8]>, is_for_one: bool) -> Result<Tree, Errno> {
        let path = path(root, kver)?;
        let dir = match open(CWD, &path) {
            // A directory without indexes, as a descriptor is needed.
            Err(Errno::ENOENT) if is_for_one => open(CWD, b"/"),
            dir => dir,
        };
        Ok(Tree { dir: dir?, path, is_for_one })
    }

    /// Maps the indexes. A missing one counts as empty; a damaged or unreadable one too, and is reported.
    pub(crate) fn indexes(&self) -> Indexes<'static> {
        Indexes(IndexFile::ALL.map(|file| {
            let mut header = [0; 12];
            let name = file.file_name().as_bytes();
            let data = open(self.dir.as_fd(), name).and_then(|file| {
                // If this fails or is short, the index is damaged.
                let _ = rustix::io::pread(&file, &mut header, 0);
                map(&file)
            });
            // Many look-ups touch most pages.
            #[cfg(feature = "tools")]
            let near: Near = if self.is_for_one { crate::device::io::mmap::map_less } else { |_| {} };
            #[cfg(not(feature = "tools"))]
            let near: Near = |_| {};
            match data {
                Ok(data) => match file.open(data, header.get(..data.len()).unwrap_or(&header), near) {
                    Ok(index) => return index,
                    Err(fault) => report_failure(&self.path, b"", Failure::Index(file, fault)),
                },
                Err(Errno::ENOENT) => {}
                Err(errno) => report_unread(&self.path, name, errno, true),
            }
            Index::EMPTY
        }))
    }

    /// Reads modprobe.d from `places` (directories or files), and the tree's softdeps, into `text`; maps the indexes.
    /// Reports lines that are not understood.
    pub(crate) fn with_config(
        &self,
        places: &[&'static [u8]],
        names: &mut Names,
        text: &'static mut VecView<u8>,
        cmdline: &'static [u8],
    ) -> Resolver<'static> {
        read_modprobe_d(self, places, names, text);
        let resolver = Resolver { indexes: self.indexes(), config: Config::new(text, cmdline) };
        for bad in resolver.config.bad_lines() {
            let number = Decimal::new(bad.number.into());
            line(Level::Error, "%:%: not understood: %", &[bad.file, number.text(), bad.text]);
        }
        resolver
    }
}

/// The modules of the running kernel, and their configuration.
pub(crate) struct Modules {
    pub(crate) tree: Tree,
    pub(crate) resolver: Resolver<'static>,
}

impl Modules {
    /// Opens the tree with modprobe.d, like [`Tree::with_config`]. If there is none, reports that, and for which kernels
    /// the image has modules.
    #[inline(never)] // one copy for the boot and its steps as commands
    pub(crate) fn open(names: &mut Names, text: &'static mut VecView<u8>, cmdline: &'static [u8]) -> Option<Modules> {
        match Tree::open() {
            Ok(tree) => Some(Modules { resolver: tree.with_config(MODPROBE_DIRS, names, text, cmdline), tree }),
            Err(errno) => {
                report_no_tree(errno);
                None
            }
        }
    }
}

/// Reads the kernel command line; empty without /proc.
#[inline(never)] // one copy for its callers
pub(crate) fn read_cmdline(buf: &mut [u8]) -> &[u8] {
    read(CWD, b"/proc/cmdline", buf).unwrap_or_default()
}

fn path(root: &[u8], kver: Option<&[u8]>) -> Result<Vec<u8, 512>, Errno> {
    let mut path = Vec::new();
    let uname = if kver.is_none() { Some(rustix::system::uname()) } else { None };
    let running = uname.as_ref().map_or(&b""[..], |uname| uname.release().to_bytes());
    for part in [root, MODULES, kver.unwrap_or(running), b"/"] {
        path.extend_from_slice(part).map_err(|_| Errno::ENAMETOOLONG)?;
    }
    Ok(path)
}

/// Returns the exit status of a command: `status`, or 1 after a failed look-up. A damaged index counts as a failure even if
/// another index had the answer.
pub(crate) fn or_failed(status: i32) -> i32 {
    status.max(FAILED.load(Ordering::Relaxed).into())
}

/// Reports why a name cannot be looked up in the tree at `dir`; for a damaged index with file and offset.
pub(crate) fn report_failure(dir: &[u8], name: &[u8], failure: Failure) {
    FAILED.store(true, Ordering::Relaxed);
    match failure {
        Failure::Index(file, fault) => {
            let off = Decimal::new(fault.off.into());
            let (file, prose) = (file.file_name().as_bytes(), fault.error.prose().as_bytes());
            line(Level::Error, "%%: node at % %", &[dir, file, off.text(), prose]);
        }
        Failure::Name(error) => line(Level::Error, "% %", &[name, error.prose().as_bytes()]),
    }
}

/// Reports that the image has no modules for this kernel, and which kernels it has modules for.
fn report_no_tree(errno: Errno) {
    let uname = rustix::system::uname();
    line(Level::Error, "no modules for this kernel: %%: %", &[MODULES, uname.release().to_bytes(), errno_prose(errno)]);
    each_entry(CWD, MODULES, &mut |kver, _| {
        line(Level::Error, "this image was built for %", &[kver]);
    });
}

fn read_modprobe_d(tree: &Tree, places: &[&'static [u8]], names: &mut Names, text: &mut VecView<u8>) {
    let all = each_config(places, &[b"modules.softdep", b"modules.weakdep"], names, &mut |place, name| {
        let done = match place {
            Some(place) => with_config(place, name, &mut |path, file| append_config(file, &[path], text)),
            None => match open(tree.dir.as_fd(), name).and_then(|file| map(&file)) {
                Ok(file) => append_config(file, &[&tree.path, name], text),
                Err(Errno::ENOENT) => Ok(()), // the tree has no softdeps
                Err(errno) => Err(errno),
            },
        };
        if let Err(errno) = done {
            // Nothing is lost with a directory, or a link that leads nowhere.
            report_unread(place.unwrap_or(&tree.path), name, errno, !matches!(errno, Errno::ENOENT | Errno::EISDIR));
        }
    });
    report_rest(all);
}

/// Callback with the path and the text of a configuration file.
type Use<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), Errno> + 'a;

/// Calls `each` with every file of modules-load.d. The files are mapped, so they may have any length.
pub(crate) fn each_load_d(names: &mut Names, each: &mut Use<'_>) {
    let all = each_config(LOAD_DIRS, &[], names, &mut |place, name| {
        if let Some(place) = place
            && let Err(errno) = with_config(place, name, each)
        {
            report_unread(place, name, errno, true);
        }
    });
    report_rest(all);
}

/// Reports files that were left out, as there are too many, or their directory can't be read.
fn report_rest(all: Result<(), (&'static [u8], Errno)>) {
    if let Err((place, errno)) = all {
        report_unread(place, b"", errno, true);
    }
}

/// Calls `each` with a configuration file, or with the board's file in its place.
fn with_config(place: &[u8], name: &[u8], each: &mut Use<'_>) -> Result<(), Errno> {
    let mut path = Vec::<u8, 1024>::new();
    board::locate(place, name, &mut path)?;
    path.pop(); // the NUL
    each(&path, map(&open(CWD, &path)?)?)
}

/// Reports why a file can't be read. Without it the command fails if something `is_lost`.
fn report_unread(dir: &[u8], name: &[u8], errno: Errno, is_lost: bool) {
    if is_lost {
        FAILED.store(true, Ordering::Relaxed);
    }
    let dir = dir.strip_suffix(b"/").unwrap_or(dir);
    line(Level::Error, "%/%: %", &[dir, name, errno_prose(errno)]);
}
