//! Replacing the index set, all of it or nothing, at whatever moment the run is killed.
//!
//! A file system renames one file at a time, and a set has eleven. So one rename has to change them all: the new set and
//! links to the old one are put into a directory beside them, the stage, and each file gives way to a symbolic link
//! through `now`, which leads to the old set. Renaming another `now` over it is the change. Then the new files take the places of the links.
//!
//! ```text
//! .depmod.4711/old/modules.dep      what was there
//! .depmod.4711/new/modules.dep      what shall be there
//! .depmod.4711/now                  -> old, then -> new
//! modules.dep                       a file, then -> .depmod.4711/now/modules.dep, then a file
//! ```
//!
//! No step but the change of `now` alters what a reader of any of the files gets. A run that was killed leaves links
//! behind, with all of the old set or all of the new behind them; the next one settles them.

use super::emit::IndexFile;
use crate::host::error::{Error, Result};
use rustix::fs::{AtFlags, CWD, FlockOperation, flock, linkat};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The stages' names: this and the process' number.
const STAGE: &str = ".depmod.";

/// Puts `files` into `dir`, which is made if need be, in place of what is there of these names.
///
/// # Errors
/// The system's, and where a directory has the name of a file. The old set is there then, unless the error came after
/// the change: then the new one is.
pub(super) fn replace(dir: &Path, files: &[IndexFile]) -> Result<()> {
    fs::create_dir_all(dir).map_err(Error::io(dir))?;
    if let Some((name, _)) = files.iter().find(|(name, _)| dir.join(name).is_dir()) {
        return Err(Error::input(dir.join(name), "a directory where an index file belongs"));
    }
    let handle = File::open(dir).map_err(Error::io(dir))?;
    // One run at a time, where the file system has locks.
    _ = flock(&handle, FlockOperation::LockExclusive);
    settle(dir)?;
    let stage = Stage::new(dir);
    let result = stage.fill(files).and_then(|()| stage.change(&handle, files));
    let settled = settle(dir);
    result.and(settled)
}

/// Gives every link into a stage what it leads to, and takes the stages away.
fn settle(dir: &Path) -> Result<()> {
    let entries =
        fs::read_dir(dir).and_then(|entries| entries.collect::<io::Result<Vec<_>>>()).map_err(Error::io(dir))?;
    let is_stage = |name: &OsStr| name.as_encoded_bytes().starts_with(STAGE.as_bytes());
    for path in entries.iter().map(fs::DirEntry::path) {
        let target = fs::read_link(&path).unwrap_or_default();
        if target.iter().next().is_some_and(is_stage) {
            put(&dir.join(target), &path).map_err(Error::io(path))?;
        }
    }
    let stages = entries.iter().filter(|entry| is_stage(&entry.file_name())).map(fs::DirEntry::path);
    stages.into_iter().try_for_each(|stage| fs::remove_dir_all(&stage).map_err(Error::io(stage)))
}

/// Renames `from` to `to`; where there is no `from`, removes `to`.
fn put(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => fs::remove_file(to),
        result => result,
    }
}

struct Stage<'a> {
    dir: &'a Path,
    /// Relative to `dir`, as links in it must be.
    name: String,
    path: PathBuf,
}

impl<'a> Stage<'a> {
    fn new(dir: &'a Path) -> Self {
        let name = format!("{STAGE}{}", std::process::id());
        let path = dir.join(&name);
        Stage { dir, name, path }
    }

    /// Makes the new set and links to the old one, and brings both to the disk.
    fn fill(&self, files: &[IndexFile]) -> Result<()> {
        for set in ["", "old", "new"] {
            let path = self.path.join(set);
            fs::create_dir(&path).map_err(Error::io(path))?;
        }
        for (name, bytes) in files {
            let (was, old, new) =
                (self.dir.join(name), self.path.join("old").join(name), self.path.join("new").join(name));
            keep(&was, &old).map_err(Error::io(was))?;
            let written = File::create_new(&new).and_then(|mut file| file.write_all(bytes));
            written.map_err(Error::io(new))?;
        }
        let now = self.path.join("now");
        symlink("old", &now).map_err(Error::io(now))?;
        self.sync(files)
    }

    /// All at once, since the file system makes one commit of the requests that wait for it.
    fn sync(&self, files: &[IndexFile]) -> Result<()> {
        let new = files.iter().map(|(name, _)| self.path.join("new").join(name));
        let dirs = ["old", "new", ""].map(|set| self.path.join(set));
        let paths: Vec<PathBuf> = new.chain(dirs).collect();
        std::thread::scope(|scope| {
            let sync = |path: &PathBuf| File::open(path).and_then(|file| file.sync_all()).map_err(Error::io(path));
            let syncs: Vec<_> = paths.iter().map(|path| scope.spawn(move || sync(path))).collect();
            syncs.into_iter().try_for_each(|sync| sync.join().expect("it does not panic"))
        })
    }

    /// Puts the links in place of the files and turns them to the new set.
    fn change(&self, dir: &File, files: &[IndexFile]) -> Result<()> {
        let link = self.path.join("link");
        for (name, _) in files {
            let path = self.dir.join(name);
            symlink(format!("{}/now/{name}", self.name), &link).map_err(Error::io(&link))?;
            fs::rename(&link, &path).map_err(Error::io(path))?;
        }
        symlink("new", &link).map_err(Error::io(&link))?;
        dir.sync_all().map_err(Error::io(self.dir))?;
        let now = self.path.join("now");
        fs::rename(&link, &now).map_err(Error::io(now))
    }
}

/// Keeps a second name for what is at `was`, if anything is.
fn keep(was: &Path, old: &Path) -> io::Result<()> {
    match linkat(CWD, was, CWD, old, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => Ok(()),
        // A link into another file system, or a file system without hard links: a copy does as well.
        Err(_) => match fs::copy(was, old) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            copied => copied.and_then(|_| File::open(old)?.sync_all()),
        },
    }
}
