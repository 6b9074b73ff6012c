// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes output files and directories: complete before they get their name, below a directory that is open.
//!
//! * A reader gets the old file or the new one: the new file is renamed over the old.
//! * A planted link is not followed and an existing file is not written to. A file is created by `O_TMPFILE`, or by
//!   `O_EXCL` if the file system has no `O_TMPFILE`.
//! * Signals are deferred while a temporary name exists. SIGKILL at that moment leaves `.NAME.PID` behind.
//!
//! Sources: open(2), linkat(2).

use super::error::{Error, Result};
use super::signals;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Temporary names to try: all but the first have 64 random bits.
const NAMES_MAX: usize = 16;

/// An open directory. Entries are created, renamed and removed relative to its descriptor.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Dir {
    /// Opens the directory at `path`; an empty path is the working directory. Links are followed.
    pub(crate) fn open(path: &Path) -> io::Result<Dir> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let fd = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Dir { fd })
    }

    /// Opens the subdirectory `name`; a link is an error.
    pub(crate) fn subdir(&self, name: impl rustix::path::Arg) -> io::Result<Dir> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Dir { fd: rustix::fs::openat(self, name, flags, Mode::empty())? })
    }

    /// Creates the subdirectory `name` and opens it.
    pub(crate) fn create_dir(&self, name: &OsStr, mode: u32) -> io::Result<Dir> {
        rustix::fs::mkdirat(self, name, Mode::from_raw_mode(mode))?;
        let dir = self.subdir(name)?;
        // Another user who can write to this directory may have replaced the new one.
        if self.is_own(&dir)? { Ok(dir) } else { Err(Errno::PERM.into()) }
    }

    /// Whether the subdirectory `dir` belongs to the process' user or to the owner of this directory. The latter can change
    /// everything here anyway, and owns every new file of a file system without owners, like FAT.
    pub(crate) fn is_own(&self, dir: &Dir) -> io::Result<bool> {
        let owner = rustix::fs::fstat(dir)?.st_uid;
        Ok(owner == rustix::process::geteuid().as_raw() || owner == rustix::fs::fstat(self)?.st_uid)
    }

    /// Opens the directory `path` below this one and creates missing directories on the way. A link on the way is an error.
    /// `path` has neither `.` nor `..`.
    pub(crate) fn create_dir_all(&self, path: &Path) -> io::Result<Dir> {
        let mut dir = Dir { fd: self.fd.try_clone()? };
        for name in path {
            match rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                // A read-only file system reports ROFS before EXIST.
                Err(Errno::ROFS | Errno::ACCESS | Errno::PERM) if dir.subdir(name).is_ok() => {}
                Err(errno) => return Err(errno.into()),
            }
            dir = dir.subdir(name)?;
        }
        Ok(dir)
    }

    /// Creates the file `name`, which must not exist, and opens it for writing.
    pub(crate) fn create_file(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(self, name, flags, Mode::from_raw_mode(mode))?.into())
    }

    /// Returns the file type of `name`, a link's own type for a link; `None` if it is missing.
    pub(crate) fn file_type(&self, name: &OsStr) -> io::Result<Option<FileType>> {
        match rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Returns the sorted names of all entries.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(self)? {
            let name = entry?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name.to_bytes()).to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Removes the file or link `name`.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self, name, AtFlags::empty())?)
    }

    /// Removes the empty directory `name`.
    pub(crate) fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self, name, AtFlags::REMOVEDIR)?)
    }

    /// Removes the directory `name` and its content, at most `depth` levels of directories.
    pub(crate) fn remove_tree(&self, name: &OsStr, depth: usize) -> io::Result<()> {
        let dir = self.subdir(name)?;
        for entry in dir.names()? {
            match dir.file_type(&entry)? {
                Some(FileType::Directory) if depth > 0 => dir.remove_tree(&entry, depth - 1)?,
                Some(FileType::Directory) => dir.remove_dir(&entry)?,
                _ => dir.remove(&entry)?,
            }
        }
        self.remove_dir(name)
    }

    /// Replaces the file or link `name` by a new file with permissions `mode` and content `data`.
    pub(crate) fn replace_file(&self, name: &OsStr, mode: u32, data: &[u8]) -> io::Result<()> {
        self.stage(name, mode, data)?.put()
    }

    /// Writes a new file for `name`, which stays as it is until [`Staged::put`].
    fn stage<'a>(&'a self, name: &'a OsStr, mode: u32, data: &[u8]) -> io::Result<Staged<'a>> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let nameless = rustix::fs::openat(self, ".", flags, Mode::from_raw_mode(mode)).map(File::from);
        // A nameless file gets its name by /proc, which may not be mounted.
        if let Ok(mut file) = nameless
            && fs::exists(nameless_path(&file)).unwrap_or(false)
        {
            write_whole(&mut file, data)?;
            return Ok(Staged { dir: self, name, temporary: Some(Temporary::Nameless(file)) });
        }
        self.stage_named(name, mode, data)
    }

    /// Writes a new file like [`Dir::stage`], without `O_TMPFILE` and /proc.
    fn stage_named<'a>(&'a self, name: &'a OsStr, mode: u32, data: &[u8]) -> io::Result<Staged<'a>> {
        let hold = signals::hold();
        let (temporary, mut file) = self.temporary(name, |temporary| self.create_file(temporary, mode))?;
        let staged = Staged { dir: self, name, temporary: Some(Temporary::Named(temporary, hold)) };
        write_whole(&mut file, data)?;
        Ok(staged)
    }

    /// Calls `create` with temporary names for `name` until one is free: `.NAME.PID`, then others.
    ///
    /// # Errors
    /// Those of `create`, and a link has the first name: somebody planted it, or another process did not clean up.
    fn temporary<T>(&self, name: &OsStr, mut create: impl FnMut(&OsStr) -> io::Result<T>) -> io::Result<(OsString, T)> {
        let mut first = OsString::from(".");
        first.push(name);
        first.push(format!(".{}", std::process::id()));
        let (mut temporary, mut names) = (first.clone(), 1);
        loop {
            match create(&temporary) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && names < NAMES_MAX => {
                    if self.file_type(&temporary)? == Some(FileType::Symlink) {
                        let what = format!("a link at {}, the temporary name; remove it", temporary.display());
                        return Err(io::Error::other(what));
                    }
                    temporary.clone_from(&first);
                    temporary.push(format!(".{:016x}", RandomState::new().build_hasher().finish()));
                    names += 1;
                }
                created => return created.map(|created| (temporary, created)),
            }
        }
    }

    fn rename_over(&self, temporary: &OsStr, name: &OsStr) -> io::Result<()> {
        let renamed = rustix::fs::renameat(self, temporary, self, name);
        renamed.map_err(|errno| {
            _ = self.remove(temporary);
            errno.into()
        })
    }

    /// Creates the directory `name`, which must not exist, with the content that `fill` gives it.
    pub(crate) fn create_dir_with(
        &self,
        name: &OsStr,
        fill: impl FnOnce(&Dir, &signals::Hold) -> io::Result<()>,
    ) -> io::Result<()> {
        let hold = signals::hold();
        // Other users cannot enter it before it is complete.
        let (stage_name, stage) = self.temporary(name, |temporary| self.create_dir(temporary, 0o700))?;
        let new = OsStr::new("new");
        let filled = stage.create_dir(new, 0o777).and_then(|dir| fill(&dir, &hold)).and_then(|()| {
            match rustix::fs::renameat_with(&stage, new, self, name, RenameFlags::NOREPLACE) {
                // The file system lacks it. A plain rename over a file or a directory with entries fails as well.
                Err(Errno::INVAL | Errno::NOSYS) => Ok(rustix::fs::renameat(&stage, new, self, name)?),
                renamed => Ok(renamed?),
            }
        });
        let removed = self.remove_tree(&stage_name, usize::MAX);
        filled.and(removed)
    }
}

/// A new file, complete but for its name. Unless it is put in place, it is removed.
struct Staged<'a> {
    dir: &'a Dir,
    name: &'a OsStr,
    /// `None` once it is in place.
    temporary: Option<Temporary>,
}

enum Temporary {
    Nameless(File),
    /// Its temporary name, for a file system without `O_TMPFILE`.
    Named(OsString, signals::Hold),
}

impl Staged<'_> {
    /// Renames the file over the old one.
    fn put(mut self) -> io::Result<()> {
        match self.temporary.take() {
            Some(Temporary::Nameless(file)) => {
                let _hold = signals::hold();
                let link = |temporary: &OsStr| {
                    rustix::fs::linkat(CWD, nameless_path(&file), self.dir, temporary, AtFlags::SYMLINK_FOLLOW)
                };
                let (temporary, ()) = self.dir.temporary(self.name, |temporary| Ok(link(temporary)?))?;
                self.dir.rename_over(&temporary, self.name)
            }
            Some(Temporary::Named(temporary, _hold)) => self.dir.rename_over(&temporary, self.name),
            None => Ok(()),
        }
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if let Some(Temporary::Named(temporary, _)) = &self.temporary {
            _ = self.dir.remove(temporary);
        }
    }
}

/// Returns the path by which the kernel links a file without a name. Source: open(2), `O_TMPFILE`.
fn nameless_path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Writes and syncs a new file: after a crash, a rename could otherwise name an empty file.
fn write_whole(file: &mut File, data: &[u8]) -> io::Result<()> {
    file.write_all(data)?;
    file.sync_all()
}

/// Opens the directory of an output, and returns it with the name in it.
pub(crate) fn parent(output: &Path) -> Result<(Dir, &OsStr)> {
    let name = output.file_name().ok_or_else(|| Error::input(output, "not a file name"))?;
    let dir = Dir::open(output.parent().unwrap_or(Path::new(""))).map_err(Error::io(output))?;
    Ok((dir, name))
}

/// Replaces the files of `outputs`, each a path and its content, all or none: each is complete before the first gets its
/// name. A device, a pipe or a descriptor of this process is written directly. A link is replaced, except one in /dev that
/// leads to a device.
///
/// # Errors
/// A system call failed, or an output is a directory.
pub(crate) fn write_files(outputs: &[(&Path, Vec<u8>)]) -> Result<()> {
    let named = |output| if is_stdout(output) { Path::new("/dev/stdout") } else { output };
    let outputs: Vec<(&Path, &Vec<u8>)> = outputs.iter().map(|(output, data)| (named(*output), data)).collect();
    let (streams, files): (Vec<_>, Vec<_>) = outputs.iter().partition(|(output, _)| is_stream(output));
    let places = files.iter().map(|(output, _)| parent(output)).collect::<Result<Vec<_>>>()?;
    let mut staged = Vec::new();
    for ((output, data), (dir, name)) in files.iter().zip(&places) {
        if dir.file_type(name).map_err(Error::io(output))? == Some(FileType::Directory) {
            return Err(Error::io(output)(Errno::ISDIR.into()));
        }
        staged.push((output, dir.stage(name, 0o666, data).map_err(Error::io(output))?));
    }
    for (output, data) in streams {
        write_stream(output, data).map_err(Error::io(output))?;
    }
    staged.into_iter().try_for_each(|(output, staged)| staged.put().map_err(Error::io(output)))
}

/// Whether `output` is written directly: nothing else could take its place.
fn is_stream(output: &Path) -> bool {
    if is_descriptor(output) {
        return true;
    }
    let meta = if output.starts_with("/dev") { fs::metadata(output) } else { fs::symlink_metadata(output) };
    meta.is_ok_and(|meta| !meta.is_file() && !meta.is_dir() && !meta.is_symlink())
}

/// Whether `output` is the name of standard output: `-`, as an option has it.
pub(crate) fn is_stdout(output: &Path) -> bool {
    output == Path::new("-") || output == Path::new("/dev/stdout")
}

/// Whether `output` is the name of a descriptor of this process, of any file type.
fn is_descriptor(output: &Path) -> bool {
    let names = ["/dev/stdout", "/dev/stderr"];
    let dirs = ["/dev/fd", "/proc/self/fd"];
    names.iter().any(|name| output == Path::new(name)) || dirs.iter().any(|dir| output.starts_with(dir))
}

fn write_stream(output: &Path, data: &[u8]) -> io::Result<()> {
    let nofollow =
        if output.starts_with("/dev") || output.starts_with("/proc") { OFlags::empty() } else { OFlags::NOFOLLOW };
    let mut file: File =
        rustix::fs::open(output, OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC | nofollow, Mode::empty())?.into();
    if file.metadata()?.is_file() && !is_descriptor(output) {
        return Err(io::Error::other("a regular file took the place of the device or pipe; try again"));
    }
    file.write_all(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn a_link_in_the_place_of_an_output_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, output) = (dir.path().join("victim"), dir.path().join("out"));
        fs::write(&victim, "mine").unwrap();
        for _ in 0..2 {
            symlink(&victim, &output).unwrap();
            write_files(&[(&output, b"new".to_vec())]).unwrap();
            assert_eq!(fs::read(&victim).unwrap(), b"mine");
            assert!(fs::symlink_metadata(&output).unwrap().is_file());
            fs::remove_file(&output).unwrap();
        }
        symlink("/dev/full", &output).unwrap();
        write_files(&[(&output, b"new".to_vec())]).unwrap();
        assert_eq!(fs::read(&output).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_link_at_the_temporary_name_is_named_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, output) = (dir.path().join("victim"), dir.path().join("out"));
        fs::write(&victim, "mine").unwrap();
        let temporary = format!(".out.{}", std::process::id());
        symlink(&victim, dir.path().join(&temporary)).unwrap();
        let open = Dir::open(dir.path()).unwrap();
        let named = open.stage_named(OsStr::new("out"), 0o600, b"new").map(drop).unwrap_err().to_string();
        let nameless = write_files(&[(&output, b"new".to_vec())]).unwrap_err().to_string();
        for error in [named, nameless] {
            assert!(error.contains(&format!("a link at {temporary}")), "{error}");
        }
        assert_eq!((fs::read(&victim).unwrap(), output.exists()), (b"mine".to_vec(), false));
    }

    #[test]
    fn a_file_is_replaced_without_o_tmpfile_too() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, output) = (dir.path().join("victim"), dir.path().join("out"));
        fs::write(&victim, "mine").unwrap();
        symlink(&victim, &output).unwrap();
        let open = Dir::open(dir.path()).unwrap();
        open.stage_named(OsStr::new("out"), 0o600, b"new").and_then(Staged::put).unwrap();
        assert_eq!((fs::read(&victim).unwrap(), fs::read(&output).unwrap()), (b"mine".to_vec(), b"new".to_vec()));
        assert_eq!(fs::metadata(&output).unwrap().mode() & 0o777, 0o600);
        assert_eq!(open.names().unwrap(), ["out", "victim"]);
        fs::create_dir(dir.path().join("dir")).unwrap();
        assert!(open.stage_named(OsStr::new("dir"), 0o600, b"new").and_then(Staged::put).is_err());
        assert!(open.replace_file(OsStr::new("dir"), 0o600, b"new").is_err());
        assert_eq!(open.names().unwrap(), ["dir", "out", "victim"]);
    }

    #[test]
    fn a_directory_is_new_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = Dir::open(dir.path()).unwrap();
        let fill = |new: &Dir, _: &signals::Hold| new.create_file(OsStr::new("f"), 0o644).map(drop);
        open.create_dir_with(OsStr::new("d"), fill).unwrap();
        assert!(dir.path().join("d/f").is_file());
        assert!(open.create_dir_with(OsStr::new("d"), fill).is_err());
        symlink("elsewhere", dir.path().join("l")).unwrap();
        assert!(open.create_dir_with(OsStr::new("l"), fill).is_err());
        assert_eq!(open.names().unwrap(), ["d", "l"]);
    }

    #[test]
    fn a_directory_is_not_made_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), dir.path().join("lib")).unwrap();
        let open = Dir::open(dir.path()).unwrap();
        assert!(open.create_dir_all(Path::new("lib/modules")).is_err());
        open.create_dir_all(Path::new("usr/lib/modules")).unwrap();
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
