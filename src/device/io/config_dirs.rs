// SPDX-License-Identifier: MIT OR Apache-2.0
//! Configuration directories: their files in order of name, each name from the first directory that has it.

use super::file::{each_entry_of, open};
use super::mmap::{S_IFMT, S_IFREG};
use crate::bytes::{basename, split_once};
use crate::loading::kernel::Errno;
use crate::modules::config::{MARK, join_lines};
use heapless::VecView;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, fstat};

/// Appends a configuration file to `text`, behind a line that names it, its continued lines joined.
///
/// # Errors
/// `ENOBUFS` where it does not fit.
pub(crate) fn append_config(file: &[u8], shown_as: &[&[u8]], text: &mut VecView<u8>) -> Result<(), Errno> {
    let full = |_| Errno::ENOBUFS;
    text.push(MARK).map_err(|_| Errno::ENOBUFS)?;
    for part in shown_as {
        text.extend_from_slice(part).map_err(full)?;
    }
    text.push(b'\n').map_err(|_| Errno::ENOBUFS)?;
    let start = text.len();
    text.extend_from_slice(file).map_err(full)?;
    let len = text.get_mut(start..).map_or(0, join_lines);
    text.truncate(start.saturating_add(len));
    text.push(b'\n').map_err(|_| Errno::ENOBUFS)
}

/// Callback for each configuration file: its directory, and its own name.
type EachConfig<'a> = dyn FnMut(Option<&'static [u8]>, &[u8]) + 'a;

/// A file's name, a NUL and the number of its place: in the order of the files, by name and of one name the first place's.
pub(crate) type Entry = heapless::Vec<u8, 257>;

/// Number of the place of an extra name.
const NO_PLACE: u8 = u8::MAX;

/// Bit in the number of a place that is a file.
const IS_FILE: u8 = 0x80;

/// Buffer for the names of all files, 16,384 at most: more than any machine has, and no memory is used that is not needed.
pub(crate) type Names = heapless::Vec<Entry, 0x4000>;

/// Calls `each` with the files `*.conf` of several directories, in the order of their names, and with the directory
/// they are in; of one name only the first directory's. A place may also be a file, of whatever name. Also calls it with
/// the `extra` names, at their places in that order and without a directory, and with the empty name for a place that
/// can't be opened. Source: modprobe.d(5), and kmod's libkmod-config.c.
///
/// # Errors
/// `EOVERFLOW` where `names` can't hold the names of all files: those that do not fit are left out. The error and the place of
/// a directory that can't be read to its end.
pub(crate) fn each_config(
    places: &[&'static [u8]],
    extra: &[&[u8]],
    names: &mut VecView<Entry>,
    each: &mut EachConfig<'_>,
) -> Result<(), (&'static [u8], Errno)> {
    names.clear();
    let (mut all_fit, mut all) = (true, Ok(()));
    let mut offer = |name: &[u8], place: u8| {
        let mut entry = Entry::new();
        let made = [name, &[0], &[place]].iter().all(|part| entry.extend_from_slice(part).is_ok());
        all_fit &= made && names.push(entry).is_ok();
    };
    extra.iter().for_each(|name| offer(name, NO_PLACE));
    for (path, number) in places.iter().zip(0..IS_FILE) {
        match open(CWD, path) {
            Ok(file) if cfg!(feature = "tools") && is_file(&file) => offer(basename(path), number | IS_FILE),
            Ok(dir) => {
                let read = each_entry_of(&dir, &mut |name, _| {
                    if name.ends_with(b".conf") && !name.starts_with(b".") {
                        offer(name, number);
                    }
                });
                // /dev/null is a place without files.
                if let Err(errno) = read
                    && errno != Errno::ENOTDIR
                {
                    all = Err((*path, errno));
                }
            }
            Err(Errno::ENOENT) => {}
            Err(_) => offer(b"", number),
        }
    }
    sort(names);
    let mut last: &[u8] = b"/"; // not a name
    for entry in &*names {
        let Some((name, &[number])) = split_once(entry, 0) else { continue };
        if name == last && !name.is_empty() {
            continue;
        }
        last = name;
        let place = places.get(usize::from(number & !IS_FILE)).filter(|_| number != NO_PLACE);
        each(place.map(|path| if number & IS_FILE == 0 { path } else { dir_of(path) }), name);
    }
    if all_fit { all } else { Err((places.first().copied().unwrap_or_default(), Errno::EOVERFLOW)) }
}

/// Sorts in place, in O(n log n) without recursion: a heap sort.
fn sort(entries: &mut [Entry]) {
    let len = entries.len();
    (0..len / 2).rev().for_each(|place| sift(entries, place));
    for len in (1..len).rev() {
        entries.swap(0, len);
        sift(entries.get_mut(..len).unwrap_or_default(), 0);
    }
}

/// Moves an entry down to where its two children, at `2 * place + 1` and `+ 2`, come before it.
#[inline(never)] // one copy for its callers
fn sift(heap: &mut [Entry], mut at: usize) {
    loop {
        let (mut last, child) = (at, at.saturating_mul(2).saturating_add(1));
        for child in [child, child.saturating_add(1)] {
            if heap.get(child).is_some_and(|entry| heap.get(last).is_some_and(|best| entry > best)) {
                last = child;
            }
        }
        if last == at {
            return;
        }
        heap.swap(at, last);
        at = last;
    }
}

fn is_file(file: &OwnedFd) -> bool {
    fstat(file).is_ok_and(|stat| stat.st_mode & S_IFMT == S_IFREG)
}

/// Returns the directory of a file.
fn dir_of(path: &'static [u8]) -> &'static [u8] {
    path.strip_suffix(basename(path)).filter(|dir| !dir.is_empty()).unwrap_or(b"./")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Returns what is read from two directories.
    fn read(files: &[&[&str]; 2]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let places = [0, 1].map(|number| {
            let dir = root.path().join(number.to_string());
            fs::create_dir(&dir).unwrap();
            files[number].iter().for_each(|file| fs::write(dir.join(file), "").unwrap());
            &*dir.to_str().unwrap().to_owned().leak().as_bytes()
        });
        let mut names = Vec::new();
        each_config(&places, &[b"c-extra"], &mut heapless::Vec::<Entry, 12>::new(), &mut |place, name| {
            let place = place.map_or("", |place| if place == places[0] { "0/" } else { "1/" });
            names.push(format!("{place}{}", String::from_utf8_lossy(name)));
        })
        .unwrap();
        names
    }

    #[test]
    fn files_come_in_order_of_their_names_from_the_first_place() {
        assert_eq!(read(&[&[], &[]]), ["c-extra"]);
        assert_eq!(read(&[&["b.conf", "x", ".h.conf"], &["a.conf", "b.conf"]]), ["1/a.conf", "0/b.conf", "c-extra"]);
        let all = ["9.conf", "a.conf", "b.conf", "c.conf", "d.conf", "e.conf", "f.conf", "g.conf"];
        let both = read(&[&["e.conf", "g.conf", "a.conf"], &all]);
        let want =
            ["1/9.conf", "0/a.conf", "1/b.conf", "c-extra", "1/c.conf", "1/d.conf", "0/e.conf", "1/f.conf", "0/g.conf"];
        assert_eq!(both, want);
    }

    #[test]
    fn a_place_may_be_a_file_or_not_open() {
        let root = tempfile::tempdir().unwrap();
        let leak = |name: &str| &*root.path().join(name).to_str().unwrap().to_owned().leak().as_bytes();
        fs::write(root.path().join("file"), "").unwrap();
        let (bad, file, dir) = (leak("file/dir"), leak("file"), leak(""));
        let mut calls = Vec::new();
        let mut names = heapless::Vec::<Entry, 3>::new();
        let done = each_config(&[bad, file, b"/no/such", bad], &[], &mut names, &mut |place, name| {
            calls.push((place.unwrap(), name.to_vec()));
        });
        assert_eq!((done, calls), (Ok(()), vec![(bad, vec![]), (bad, vec![]), (dir, b"file".to_vec())]));
    }

    #[test]
    fn more_names_than_fit_are_an_error() {
        let mut names = heapless::Vec::<Entry, 2>::new();
        let mut count = 0;
        let done = each_config(&[], &[b"a", b"b", b"c"], &mut names, &mut |_, _| count += 1);
        assert_eq!((done, count), (Err((&b""[..], Errno::EOVERFLOW)), 2));
    }
}
