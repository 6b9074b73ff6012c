// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads input files. Only a regular file is read, as a FIFO or a device could block forever. /dev/null is an empty file:
//! a link to it disables a file of a configuration directory.

use super::error::{Error, Result};
use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, major, minor};
use std::ffi::OsString;
use std::fs::{DirEntry, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

/// Opens the regular file at `path` for reading.
///
/// # Errors
/// It cannot be opened, or is not a regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = open_nonblock(path)?;
    match kind(&file)? {
        None => Ok(file),
        Some(kind) => Err(not_regular(kind)),
    }
}

/// Reads the regular file at `path`.
///
/// # Errors
/// Those of [`open`], and it cannot be read.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    open(path).and_then(read_to_end).map_err(Error::io(path))
}

/// Returns the metadata of what `path` leads to; `None` if nothing is there.
///
/// # Errors
/// It may be there and cannot be reached: a directory that cannot be searched, a loop of links.
pub(crate) fn metadata(path: &Path) -> Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) => absent(error).map(|()| None).map_err(Error::io(path)),
    }
}

/// Returns the names in the directory at `path`, sorted; none if there is no directory.
///
/// # Errors
/// It is there and cannot be read to its end.
pub(crate) fn names(path: &Path) -> Result<Vec<OsString>> {
    let entries: io::Result<Vec<DirEntry>> = std::fs::read_dir(path).and_then(Iterator::collect);
    let entries = entries.or_else(|error| absent(error).map(|()| Vec::new())).map_err(Error::io(path))?;
    let mut names: Vec<OsString> = entries.iter().map(DirEntry::file_name).collect();
    names.sort();
    Ok(names)
}

/// Returns `Ok` for the error of a missing file or directory.
fn absent(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(()),
        _ => Err(error),
    }
}

/// Reads the file at `path` that the user named: a regular file, or a pipe up to its end, like `<(COMMAND)` of a shell.
///
/// # Errors
/// It cannot be read, is of another kind, or is a FIFO without a writer.
pub(crate) fn read_named(path: &Path) -> Result<Vec<u8>> {
    let read = || {
        let file = open_nonblock(path)?;
        match kind(&file)? {
            None => read_to_end(file),
            Some("FIFO") => {
                fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
                let data = read_to_end(file)?;
                if data.is_empty() {
                    Err(io::Error::other("a FIFO without a writer, not a regular file"))
                } else {
                    Ok(data)
                }
            }
            Some(kind) => Err(not_regular(kind)),
        }
    };
    read().map_err(Error::io(path))
}

/// Reads the text file at `path` that the user named, like [`read_named`].
///
/// # Errors
/// Those of [`read_named`], and it is not UTF-8.
pub(crate) fn read_named_text(path: &Path) -> Result<String> {
    String::from_utf8(read_named(path)?).map_err(|_| Error::input(path, "not UTF-8 text"))
}

/// Opens `path`; does not wait for a FIFO's writer, and takes no controlling terminal.
fn open_nonblock(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map(File::from).map_err(|errno| match errno {
        rustix::io::Errno::NXIO => not_regular("socket or a device without a driver"),
        errno => errno.into(),
    })
}

/// Returns the kind of `file`; `None` for a regular file and /dev/null.
fn kind(file: &File) -> io::Result<Option<&'static str>> {
    let stat = fstat(file)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::CharacterDevice if (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3) => None,
        FileType::Directory => Some("directory"),
        FileType::Fifo => Some("FIFO"),
        FileType::Socket => Some("socket"),
        _ => Some("device"),
    })
}

fn read_to_end(mut file: File) -> io::Result<Vec<u8>> {
    let len = file.metadata()?.len();
    let mut data = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    file.read_to_end(&mut data)?;
    Ok(data)
}

fn not_regular(kind: &str) -> io::Error {
    io::Error::other(format!("a {kind}, not a regular file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_kind_is_an_error_that_names_the_kind() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, what) in [
            (fifo.as_path(), "a FIFO, not a regular file"),
            (&socket, "a socket or a device without a driver, not a regular file"),
            (dir.path(), "a directory, not a regular file"),
            (Path::new("/dev/zero"), "a device, not a regular file"),
        ] {
            assert_eq!(read(path).unwrap_err().to_string(), format!("{}: {what}", path.display()));
        }
        assert!(read_named(&fifo).unwrap_err().to_string().contains("a FIFO without a writer"));
        assert_eq!(read(Path::new("/dev/null")).unwrap(), b"");
    }

    #[test]
    fn only_absence_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("b"), "").unwrap();
        std::fs::write(dir.path().join("a"), "").unwrap();
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
        assert_eq!(names(dir.path()).unwrap(), ["a", "b", "loop"]);
        for gone in ["no", "a/no"] {
            assert_eq!(names(&dir.path().join(gone)).unwrap(), [""; 0], "{gone}");
            assert!(metadata(&dir.path().join(gone)).unwrap().is_none(), "{gone}");
        }
        assert!(names(&dir.path().join("loop")).is_err() && metadata(&dir.path().join("loop")).is_err());
    }

    #[test]
    fn a_named_pipe_is_read_to_its_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        let writes = std::thread::spawn(move || io::Write::write_all(&mut writer, &[7; 200_000]).unwrap());
        assert_eq!(read_named(Path::new(&path)).unwrap().len(), 200_000);
        writes.join().unwrap();
    }
}
