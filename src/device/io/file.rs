// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens and reads files and directories.

#[cfg(feature = "boot")]
use super::path::{Path, path};
use super::path::{PathText, c_str, errno, join};
use crate::loading::kernel::Errno;
use core::mem::MaybeUninit;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, RawDir, fstatfs, openat};

/// Buffer of directory entries, bytes: the longest record of getdents has 280.
pub(crate) const DIR_LEN: usize = 2048;

/// Opens a file for reading, without waiting for another side where it is a FIFO. `path` is relative to `dir`, or absolute.
pub(crate) fn open(dir: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    open_joined(dir, "%", &[path])
}

/// Like [`open`], with the path as a template, in which each `%` stands for the next of `args`.
pub(crate) fn open_joined(dir: BorrowedFd<'_>, template: &'static str, args: &[&[u8]]) -> Result<OwnedFd, Errno> {
    // Where it is used, as to hand it on is to copy all of it.
    let mut path = PathText::new();
    join(template, args, &mut path)?;
    // A FIFO in the place of a file must not block, a drive not close its tray.
    openat(dir, c_str(&path), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).map_err(errno)
}

/// Reads a file from its start until it ends or `buf` is full, and returns what was read; `None` where that fails. For
/// files of /proc and /sys, which have no length.
pub(crate) fn read<'buf>(dir: BorrowedFd<'_>, path: &[u8], buf: &'buf mut [u8]) -> Option<&'buf [u8]> {
    read_joined(dir, "%", &[path], buf)
}

/// Like [`read`], with the path as a template, in which each `%` stands for the next of `args`.
pub(crate) fn read_joined<'buf>(
    dir: BorrowedFd<'_>,
    template: &'static str,
    args: &[&[u8]],
    buf: &'buf mut [u8],
) -> Option<&'buf [u8]> {
    read_whole(&open_joined(dir, template, args).ok()?, buf)
}

/// Like [`read`], with an open file.
pub(crate) fn read_whole<'buf>(file: &OwnedFd, buf: &'buf mut [u8]) -> Option<&'buf [u8]> {
    let mut len = 0usize;
    while let Some(rest) = buf.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(file, rest) {
            Ok(0) => break,
            Ok(more) => len = len.saturating_add(more),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    buf.get(..len)
}

/// Reads where a symbolic link leads. Each `%` of its path stands for the next of `args`.
#[cfg(feature = "boot")]
pub(crate) fn link(template: &'static str, args: &[&[u8]]) -> Option<Path> {
    let mut buf = [MaybeUninit::uninit(); 1024];
    let (target, _) =
        rustix::fs::readlinkat_raw(rustix::fs::CWD, path(template, args).ok()?.as_c_str(), &mut buf).ok()?;
    path("%", &[target]).ok()
}

/// The type of a directory entry; unknown on file systems that do not give it to getdents.
pub(crate) type EntryType = FileType;

/// Calls `each` with the name and type of every entry of a directory but `.` and `..`; with none where it can't be
/// opened or is no directory. Of one that cannot be read to its end, with those that can.
pub(crate) fn each_entry(dir: BorrowedFd<'_>, path: &[u8], each: &mut dyn FnMut(&[u8], EntryType)) {
    if let Ok(dir) = open(dir, path) {
        let _ = each_entry_of(&dir, each);
    }
}

/// Like [`each_entry`], with an open directory that was not read yet.
///
/// # Errors
/// It cannot be read to its end.
pub(crate) fn each_entry_of(dir: &OwnedFd, each: &mut dyn FnMut(&[u8], EntryType)) -> Result<(), Errno> {
    let mut buf = [MaybeUninit::uninit(); DIR_LEN];
    let mut entries = RawDir::new(dir, &mut buf);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(errno)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            each(name, entry.file_type());
        }
    }
    Ok(())
}

/// Types of the file system that the kernel unpacks an initramfs into. Source: include/uapi/linux/magic.h.
pub(crate) const RAMFS_MAGIC: u32 = 0x8584_58f6;

pub(crate) const TMPFS_MAGIC: u32 = 0x0102_1994;

/// Whether a directory is on a file system that the kernel unpacks an initramfs into.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the magic is 32 bits in a word of either sign"
)]
pub(crate) fn is_in_memory(dir: BorrowedFd<'_>) -> bool {
    fstatfs(dir).is_ok_and(|fs| matches!(fs.f_type as u32, RAMFS_MAGIC | TMPFS_MAGIC))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::CWD;

    #[test]
    fn a_directory_that_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let open = open(CWD, dir.path().as_os_str().as_encoded_bytes()).unwrap();
        let mut names = Vec::new();
        assert_eq!(each_entry_of(&open, &mut |name, _| names.push(name.to_vec())), Ok(()));
        assert_eq!(names, [b"file"]);
        dir.close().unwrap();
        assert_eq!(each_entry_of(&open, &mut |_, _| {}), Err(Errno::ENOENT));
    }
}
