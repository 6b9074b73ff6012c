//! The module tree of the running kernel, as depmod left it, and what is configured: all that a [`Resolver`] needs.

use super::board;
use crate::device::io::config_dirs::{append_config, each_config};
use crate::device::io::file::open;
use crate::device::io::log::{Decimal, Level, errno_prose, line};
use crate::device::io::mmap::map;
use crate::loading::kernel::Errno;
use crate::modules::config::{Config, LOAD_DIRS, MODPROBE_DIRS};
use crate::modules::index::{Index, Near};
use crate::modules::resolve::{Failure, IndexFile, Indexes, Resolver};
use core::sync::atomic::{AtomicBool, Ordering};
use heapless::VecView;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::CWD;

/// Where modules are, without the kernel's version.
pub(crate) const MODULES: &[u8] = b"/lib/modules/";

/// The module tree of the running kernel.
pub(crate) struct Tree {
    /// /lib/modules/KVER, ends in `/`.
    pub(crate) path: heapless::Vec<u8, 512>,
    pub(crate) dir: OwnedFd,
    /// For a command, which looks up one name.
    #[cfg_attr(not(feature = "tools"), allow(dead_code, reason = "of the tools"))]
    is_for_one: bool,
}

impl Tree {
    /// Opens the tree of the running kernel.
    ///
    /// # Errors
    /// Why /lib/modules/KVER can't be opened.
    pub(crate) fn open() -> Result<Tree, Errno> {
        Tree::at(b"", None, false)
    }

    /// Opens the tree under `root`, of the running kernel unless `kver` says otherwise, for a command: where there is none,
    /// all indexes are missing, and only configuration and paths lead anywhere.
    ///
    /// # Errors
    /// Why that can't be.
    #[cfg_attr(not(feature = "tools"), allow(dead_code, reason = "of the tools"))]
    pub(crate) fn open_at(root: &[u8], kver: Option<&[u8]>) -> Result<Tree, Errno> {
        Tree::at(root, kver, true)
    }

    fn at(root: &[u8], kver: Option<&[u8]>, is_for_one: bool) -> Result<Tree, Errno> {
        let path = path(root, kver)?;
        let dir = match open(CWD, &path) {
            // A directory that has no indexes, as a descriptor is needed.
            Err(_) if is_for_one => open(CWD, b"/"),
            dir => dir,
        };
        Ok(Tree { dir: dir?, path, is_for_one })
    }

    /// Maps the indexes. One that is missing counts as empty, a damaged one too, but is told.
    pub(crate) fn indexes(&self) -> Indexes<'static> {
        Indexes(IndexFile::ALL.map(|file| {
            let mut header = [0; 12];
            let data = open(self.dir.as_fd(), file.file_name().as_bytes()).and_then(|file| {
                // Fails or is short: so is the index.
                let _ = rustix::io::pread(&file, &mut header, 0);
                map(&file)
            });
            let data = data.unwrap_or_default();
            // Who looks up much comes by nearly all.
            #[cfg(feature = "tools")]
            let near: Near = if self.is_for_one { crate::device::io::mmap::map_less } else { |_| {} };
            #[cfg(not(feature = "tools"))]
            let near: Near = |_| {};
            let header = header.get(..data.len()).unwrap_or(&header);
            Index::with_header(data, header, near).unwrap_or_else(|fault| {
                tell_failure(&self.path, b"", Failure::Index(file, fault));
                Index::EMPTY
            })
        }))
    }

    /// Maps the indexes and reads modprobe.d and the tree's softdeps into `text`.
    pub(crate) fn resolver(&self, text: &'static mut VecView<u8>, cmdline: &'static [u8]) -> Resolver<'static> {
        self.resolver_with(MODPROBE_DIRS, text, cmdline)
    }

    /// The same, with other directories, or files, than modprobe.d's.
    pub(crate) fn resolver_with(
        &self,
        places: &[&'static [u8]],
        text: &'static mut VecView<u8>,
        cmdline: &'static [u8],
    ) -> Resolver<'static> {
        read_modprobe_d(self, places, text);
        Resolver { indexes: self.indexes(), config: Config::new(text, cmdline) }
    }
}

fn path(root: &[u8], kver: Option<&[u8]>) -> Result<heapless::Vec<u8, 512>, Errno> {
    let mut path = heapless::Vec::new();
    let uname = if kver.is_none() { Some(rustix::system::uname()) } else { None };
    let running = uname.as_ref().map_or(&b""[..], |uname| uname.release().to_bytes());
    for part in [root, MODULES, kver.unwrap_or(running), b"/"] {
        path.extend_from_slice(part).map_err(|_| Errno::EFBIG)?;
    }
    Ok(path)
}

/// It was told that a look-up failed.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Returns the exit status of a command that would end with `status`: a damaged index counts even where the answer is in
/// another.
pub(crate) fn or_failed(status: i32) -> i32 {
    status.max(FAILED.load(Ordering::Relaxed).into())
}

/// Says why a name can't be looked up in the tree at `dir`; where an index is damaged, with its file and offset.
pub(crate) fn tell_failure(dir: &[u8], name: &[u8], failure: Failure) {
    FAILED.store(true, Ordering::Relaxed);
    match failure {
        Failure::Index(file, fault) => {
            let off = Decimal::new(fault.off.into());
            let (file, prose) = (file.file_name().as_bytes(), fault.error.prose().as_bytes());
            line(Level::Error, &[dir, file, b": node at ", off.text(), b" ", prose]);
        }
        Failure::Name(error) => line(Level::Error, &[name, b" ", error.prose().as_bytes()]),
    }
}

/// Says which lines of modprobe.d are not understood.
pub(crate) fn tell_bad_lines(config: &Config<'_>) {
    for bad in config.bad_lines() {
        let number = Decimal::new(bad.number.into());
        line(Level::Error, &[bad.file, b":", number.text(), b": not understood: ", bad.text]);
    }
}

/// Says that the image has no modules for this kernel, and for which it has.
pub(crate) fn tell_no_tree(errno: Errno) {
    let uname = rustix::system::uname();
    line(
        Level::Error,
        &[b"no modules for this kernel: ", MODULES, uname.release().to_bytes(), b": ", errno_prose(errno)],
    );
    crate::device::io::file::each_entry(CWD, MODULES, &mut |kver, _| {
        line(Level::Error, &[b"this image was built for ", kver]);
    });
}

fn read_modprobe_d(tree: &Tree, places: &[&'static [u8]], text: &mut VecView<u8>) {
    each_config(places, &[b"modules.softdep", b"modules.weakdep"], &mut |place, name| {
        let done = match place {
            Some(place) => with_config(place, name, &mut |path, file| append_config(file, &[path], text)),
            None => match open(tree.dir.as_fd(), name).and_then(|file| map(&file)) {
                Ok(file) => append_config(file, &[&tree.path, name], text),
                Err(Errno::ENOENT) => Ok(()), // a tree without softdeps
                Err(errno) => Err(errno),
            },
        };
        tell_unread(place.unwrap_or(&tree.path), name, done);
    });
}

/// Uses the path and text of a configuration file.
type Use<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), Errno> + 'a;

/// Calls `each` with every file of modules-load.d. They are mapped, and not copied: a list may name any number of modules.
pub(crate) fn each_load_d(each: &mut Use<'_>) {
    each_config(LOAD_DIRS, &[], &mut |place, name| {
        if let Some(place) = place {
            tell_unread(place, name, with_config(place, name, each));
        }
    });
}

/// Calls `each` with a configuration file, or with what stands in for it.
fn with_config(place: &[u8], name: &[u8], each: &mut Use<'_>) -> Result<(), Errno> {
    let mut path = heapless::Vec::<u8, 1024>::new();
    board::locate(place, name, &mut path)?;
    path.pop(); // the NUL
    each(&path, map(&open(CWD, &path)?)?)
}

fn tell_unread(dir: &[u8], name: &[u8], done: Result<(), Errno>) {
    if let Err(errno) = done {
        line(Level::Error, &[dir, b"/", name, b": ", errno_prose(errno)]);
    }
}
