//! Files as the loader meets them: mapped for ever, read into a buffer, joined from directories of configuration.

use crate::loading::run::Errno;
use crate::modules::config::{MARK, join_lines};
use core::ffi::CStr;
use core::mem::MaybeUninit;
use heapless::VecView;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, SeekFrom, fstat, openat, seek};

/// A file or directory name. Source: NAME_MAX.
pub(crate) type Name = heapless::Vec<u8, 255>;

/// Room for directory entries, bytes: of getdents' records the longest has 280.
pub(crate) const DIR_LEN: usize = 2048;

pub(crate) fn errno(error: rustix::io::Errno) -> Errno {
    Errno(error.raw_os_error())
}

/// A string for the kernel, with its NUL. One size for all, as each would have code of its own.
pub(crate) type Text = heapless::Vec<u8, 8192>;

/// A path with its NUL.
#[derive(Clone)]
pub(crate) struct Path(Text);

impl Path {
    pub(crate) fn as_c_str(&self) -> &CStr {
        c_str(&self.0)
    }

    /// Returns it without its NUL.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        c_str(&self.0).to_bytes()
    }
}

/// Joins the parts of a path as they are.
pub(crate) fn path(parts: &[&[u8]]) -> Result<Path, Errno> {
    let mut path = heapless::Vec::new();
    join(parts, &mut path)?;
    Ok(Path(path))
}

/// Appends the parts and a NUL to `out`, which is empty, for [`c_str`].
///
/// # Errors
/// `EINVAL` where they are too long, or have a NUL in them.
pub(crate) fn join(parts: &[&[u8]], out: &mut VecView<u8>) -> Result<(), Errno> {
    for part in parts {
        out.extend_from_slice(part).map_err(|_| Errno::EINVAL)?;
    }
    let is_text = !out.contains(&0);
    out.push(0).ok().filter(|()| is_text).ok_or(Errno::EINVAL)
}

/// Borrows what [`join`] has made, or the empty string.
pub(crate) fn c_str(text: &[u8]) -> &CStr {
    CStr::from_bytes_until_nul(text).unwrap_or_default()
}

/// Opens a file for reading. `path` is relative to `dir`, or absolute.
pub(crate) fn open(dir: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    open_joined(dir, &[path])
}

/// The same with a path in parts.
pub(crate) fn open_joined(dir: BorrowedFd<'_>, parts: &[&[u8]]) -> Result<OwnedFd, Errno> {
    // Where it is used, as to hand it on is to copy all of it.
    let mut path = Text::new();
    join(parts, &mut path)?;
    openat(dir, c_str(&path), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(errno)
}

/// Maps a whole file; the mapping stays until the process ends.
#[allow(unsafe_code, reason = "mmap")]
pub(crate) fn map(file: &OwnedFd) -> Result<&'static [u8], Errno> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let len = usize::try_from(fstat(file).map_err(errno)?.st_size).map_err(|_| Errno::EFBIG)?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: a new private mapping at a place of the kernel's choice
    let start = unsafe { mmap(core::ptr::null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE, file, 0) };
    let start = start.map_err(errno)?;
    // SAFETY: `len` bytes are mapped there for ever; files of an initramfs are not cut short while the loader runs
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
    let len = usize::try_from(fstat(file).map_err(errno)?.st_size).map_err(|_| Errno::EFBIG)?;
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
#[cfg(feature = "parallel")]
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

/// Reads a file from its start until it ends or `buf` is full, and returns what was read. For files of /proc and /sys,
/// which have no length.
pub(crate) fn read<'buf>(dir: BorrowedFd<'_>, path: &[u8], buf: &'buf mut [u8]) -> Result<&'buf [u8], Errno> {
    read_joined(dir, &[path], buf)
}

/// The same with a path in parts.
pub(crate) fn read_joined<'buf>(
    dir: BorrowedFd<'_>,
    parts: &[&[u8]],
    buf: &'buf mut [u8],
) -> Result<&'buf [u8], Errno> {
    let file = open_joined(dir, parts)?;
    let mut len = 0usize;
    while let Some(rest) = buf.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(&file, rest) {
            Ok(0) => break,
            Ok(more) => len = len.saturating_add(more),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(errno(error)),
        }
    }
    Ok(buf.get(..len).unwrap_or_default())
}

/// Reads where a symbolic link leads.
#[cfg(any(feature = "identify", feature = "explain"))]
pub(crate) fn link(parts: &[&[u8]]) -> Option<Path> {
    let mut buf = [MaybeUninit::uninit(); 1024];
    let (target, _) = rustix::fs::readlinkat_raw(CWD, path(parts).ok()?.as_c_str(), &mut buf).ok()?;
    path(&[target]).ok()
}

/// Appends a configuration file to `text`, behind a line that names it, its continued lines joined.
pub(crate) fn append_config(file: &[u8], shown_as: &[&[u8]], text: &mut VecView<u8>) -> Result<(), Errno> {
    let full = |_| Errno::EFBIG;
    text.push(MARK).map_err(|_| Errno::EFBIG)?;
    for part in shown_as {
        text.extend_from_slice(part).map_err(full)?;
    }
    text.push(b'\n').map_err(|_| Errno::EFBIG)?;
    let start = text.len();
    text.extend_from_slice(file).map_err(full)?;
    let len = text.get_mut(start..).map_or(0, join_lines);
    text.truncate(start.saturating_add(len));
    text.push(b'\n').map_err(|_| Errno::EFBIG)
}

/// Most places that configuration is read from.
pub(crate) const PLACE_COUNT: usize = 16;

/// What hears of a configuration file: the directory it is in, and its own name.
type EachConfig<'a> = dyn FnMut(Option<&'static [u8]>, &[u8]) + 'a;

/// A place that configuration is read from: a directory, open and by name, and of it one file or all.
struct Place {
    dir: OwnedFd,
    path: &'static [u8],
    file: Option<&'static [u8]>,
}

/// Calls `each` with the files `*.conf` of several directories, in the order of their names, and with the directory
/// they are in; of one name only the first directory's. A place may also be a file, of whatever name. Also calls it with
/// the `extra` names, at their places in that order and without a directory. Source: modprobe.d(5), and kmod's
/// libkmod-config.c.
///
/// The next name is looked for in all directories each time: no room is needed for any number of files.
pub(crate) fn each_config(places: &[&'static [u8]], extra: &[&[u8]], each: &mut EachConfig<'_>) {
    let mut here = heapless::Vec::<Place, PLACE_COUNT>::new();
    for path in places {
        if let Some(place) = place(path) {
            // There are no more places than room for them.
            let _ = here.push(place);
        }
    }
    let mut last: Option<Name> = None;
    loop {
        let mut next: Option<(Name, Option<&Place>)> = None;
        let mut offer = |name: &[u8], place: Option<_>| {
            let behind_last = last.as_ref().is_none_or(|last| name > last.as_slice());
            if behind_last
                && next.as_ref().is_none_or(|(best, _)| name < best.as_slice())
                && let Ok(name) = Name::from_slice(name)
            {
                next = Some((name, place));
            }
        };
        extra.iter().for_each(|name| offer(name, None));
        for place in &here {
            if let Some(name) = place.file {
                offer(name, Some(place));
                continue;
            }
            // Can't fail where the directory could be opened.
            let _ = seek(&place.dir, SeekFrom::Start(0));
            each_entry_of(&place.dir, &mut |name, _| {
                if name.ends_with(b".conf") && !name.starts_with(b".") {
                    offer(name, Some(place));
                }
            });
        }
        let Some((name, place)) = next else { return };
        each(place.map(|place| place.path), &name);
        last = Some(name);
    }
}

/// Opens a place; of a regular file its directory.
fn place(path: &'static [u8]) -> Option<Place> {
    let dir = open(CWD, path).ok()?;
    let is_file = || FileType::from_raw_mode(fstat(&dir).map_or(0, |stat| stat.st_mode)).is_file();
    // Without the tools nobody can name a file.
    if !cfg!(feature = "tools") || !is_file() {
        return Some(Place { dir, path, file: None });
    }
    let name = crate::bytes::basename(path);
    let path = path.strip_suffix(name).filter(|dir| !dir.is_empty()).unwrap_or(b"./");
    Some(Place { dir: open(CWD, path).ok()?, path, file: Some(name) })
}

/// What a directory entry is, as far as getdents tells.
pub(crate) type EntryType = FileType;

/// Calls `each` with the name and type of every entry of a directory but `.` and `..`; with none where it can't be
/// opened or is no directory.
pub(crate) fn each_entry(dir: BorrowedFd<'_>, path: &[u8], each: &mut dyn FnMut(&[u8], EntryType)) {
    if let Ok(dir) = open(dir, path) {
        each_entry_of(&dir, each);
    }
}

/// The same with an open directory that was not read yet.
pub(crate) fn each_entry_of(dir: &OwnedFd, each: &mut dyn FnMut(&[u8], EntryType)) {
    let mut buf = [MaybeUninit::uninit(); DIR_LEN];
    let mut entries = RawDir::new(dir, &mut buf);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            each(name, entry.file_type());
        }
    }
}
