//! Configuration directories: their files in order of name, each name from the first directory that has it.

use super::file::{each_entry_of, open};
use super::path::Name;
use crate::loading::kernel::Errno;
use crate::modules::config::{MARK, join_lines};
use heapless::VecView;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, SeekFrom, fstat, seek};

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

/// Callback for each configuration file: its directory, and its own name.
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
/// All directories are read again for each next name, so any number of files takes the same memory.
pub(crate) fn each_config(places: &[&'static [u8]], extra: &[&[u8]], each: &mut EachConfig<'_>) {
    let mut here = heapless::Vec::<Place, PLACE_COUNT>::new();
    for path in places {
        if let Some(place) = place(path) {
            // `here` can hold PLACE_COUNT places, and no caller has more.
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
    // Only the tools have an option (-C) that names a file.
    if !cfg!(feature = "tools") || !is_file() {
        return Some(Place { dir, path, file: None });
    }
    let name = crate::bytes::basename(path);
    let path = path.strip_suffix(name).filter(|dir| !dir.is_empty()).unwrap_or(b"./");
    Some(Place { dir: open(CWD, path).ok()?, path, file: Some(name) })
}
