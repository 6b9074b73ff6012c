// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory maps of files, and the page that workers share.

use super::path::errno;
use crate::loading::kernel::Errno;
use rustix::fd::OwnedFd;
use rustix::fs::fstat;

/// The type of a file in its mode. Source: inode(7).
pub(crate) const S_IFMT: u32 = 0o170_000;
pub(crate) const S_IFREG: u32 = 0o100_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFDIR: u32 = 0o040_000;

/// Returns the length of a regular file, bytes; 0 for /dev/null, which disables a configuration file.
///
/// # Errors
/// `EISDIR` for a directory, `ESPIPE` for other kinds of files; `EFBIG` for a file longer than the address space.
fn file_len(file: &OwnedFd) -> Result<usize, Errno> {
    let stat = fstat(file).map_err(errno)?;
    match stat.st_mode & S_IFMT {
        S_IFREG | S_IFCHR => usize::try_from(stat.st_size).map_err(|_| Errno::EFBIG),
        S_IFDIR => Err(Errno::EISDIR),
        _ => Err(Errno::ESPIPE),
    }
}

/// Maps a whole regular file; the mapping stays until the process ends.
#[allow(unsafe_code, reason = "mmap")]
pub(crate) fn map(file: &OwnedFd) -> Result<&'static [u8], Errno> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let len = file_len(file)?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: a new private mapping at a place of the kernel's choice
    let start = unsafe { mmap(core::ptr::null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE, file, 0) };
    let start = start.map_err(errno)?;
    // SAFETY: `len` bytes are mapped there for ever; where the file is cut short, zeros take their place
    Ok(unsafe { core::slice::from_raw_parts(start.cast(), len) })
}

/// Has the kernel map less around bytes of a mapped file that are about to be read, 8 kB where 64 are usual: for one look-up
/// in a file of which some pages in a hundred are wanted. It stops where a mapping ends, and advice that differs ends one.
#[cfg(feature = "tools")]
#[allow(unsafe_code, reason = "madvise")]
pub(crate) fn map_less(bytes: &[u8]) {
    use core::sync::atomic::{AtomicUsize, Ordering};
    use rustix::mm::{Advice, madvise};
    /// Where this was done last: most nodes lie near the one before.
    static LAST: AtomicUsize = AtomicUsize::new(0);
    let away = bytes.as_ptr().addr() % NEAR_LEN;
    let start = bytes.as_ptr().wrapping_sub(away);
    // No swap: on aarch64 that is a function with a choice made at start, and nothing may run before the loader.
    if LAST.load(Ordering::Relaxed) != start.addr() {
        LAST.store(start.addr(), Ordering::Relaxed);
        // Not the same for neighbours, which would be one.
        let advice = if start.addr() & NEAR_LEN == 0 { Advice::Random } else { Advice::Sequential };
        // SAFETY: the advice changes nothing of what is mapped there. Without it more is mapped.
        let _ = unsafe { madvise(start.cast_mut().cast(), NEAR_LEN, advice) };
    }
}

#[cfg(feature = "tools")]
const NEAR_LEN: usize = 0x2000;

/// Maps a whole file so that its bytes can be changed here, not in the file.
#[cfg(any(feature = "gz", feature = "xz", feature = "zst"))]
#[allow(unsafe_code, reason = "mmap")]
pub(crate) fn map_to_edit(file: &OwnedFd) -> Result<&'static mut [u8], Errno> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let len = file_len(file)?;
    if len == 0 {
        return Ok(&mut []);
    }
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new private mapping at a place of the kernel's choice
    let start = unsafe { mmap(core::ptr::null_mut(), len, protection, MapFlags::PRIVATE, file, 0) }.map_err(errno)?;
    // SAFETY: `len` bytes are mapped there for ever, for this reference alone
    Ok(unsafe { core::slice::from_raw_parts_mut(start.cast(), len) })
}

/// Makes words that this process and its children have in common, all 0.
#[cfg(feature = "boot")]
#[allow(unsafe_code, reason = "mmap")]
pub(crate) fn share() -> Option<&'static [core::sync::atomic::AtomicU32]> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    const COUNT: usize = 1024; // a page
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at a place of the kernel's choice
    let start = unsafe { mmap_anonymous(core::ptr::null_mut(), 4 * COUNT, protection, MapFlags::SHARED) }.ok()?;
    // SAFETY: so many words are mapped there for ever, aligned and 0, and only ever used as atomics
    Some(unsafe { core::slice::from_raw_parts(start.cast(), COUNT) })
}
