//! Replaces a set of index files as a whole: a reader gets all of the old set or all of the new, even if the run is
//! killed.
//!
//! A file system renames one file at a time, and a set has eleven files. So a single rename has to change them all:
//! 1. The stage, a directory beside the files, gets the new set and hard links to the old one.
//! 2. Each file is replaced by a symbolic link through `now`, which points to the old set.
//! 3. Another `now`, which points to the new set, is renamed over it. This is the change.
//! 4. The new files are renamed over the links.
//!
//! ```text
//! .depmod.4711/old/modules.dep      the old file
//! .depmod.4711/new/modules.dep      the new file
//! .depmod.4711/now                  -> old, then -> new
//! modules.dep                       a file, then -> .depmod.4711/now/modules.dep, then a file
//! ```
//!
//! No step but the third changes the content of any file. A run that was killed leaves links behind, all to the old set
//! or all to the new one; the next run turns them into files.

use super::emit::IndexFile;
use crate::host::error::{Error, Result};
use rustix::fs::{AtFlags, CWD, FlockOperation, flock, linkat};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// Start of a stage's name; the process id follows.
const STAGE: &str = ".depmod.";

/// Replaces the files of these names in `dir`, which is created if it is missing.
///
/// # Errors
/// A system call failed, or a directory has the name of a file. The old set is then in place; the new one, if the error
/// came after the change.
pub(super) fn replace(dir: &Path, files: &[IndexFile]) -> Result<()> {
    fs::create_dir_all(dir).map_err(Error::io(dir))?;
    if let Some((name, _)) = files.iter().find(|(name, _)| dir.join(name).is_dir()) {
        return Err(Error::input(dir.join(name), "a directory is in the place of the index file; remove it"));
    }
    let handle = File::open(dir).map_err(Error::io(dir))?;
    // One run at a time, if the file system has locks.
    _ = flock(&handle, FlockOperation::LockExclusive);
    finish_stages(dir, files)?;
    let stage = Stage::new(dir);
    let result = stage.fill(files).and_then(|()| stage.change(&handle, files));
    let finished = finish_stages(dir, files);
    result.and(finished)
}

/// Replaces every link into a stage with the file behind it, and removes the stages. A run that was killed leaves them.
///
/// # Errors
/// A link or a stage has not the form that [`Stage`] gives it: somebody else put it there, and what it leads to is not ours
/// to move. Nothing is changed then.
fn finish_stages(dir: &Path, files: &[IndexFile]) -> Result<()> {
    let entries =
        fs::read_dir(dir).and_then(|entries| entries.collect::<io::Result<Vec<_>>>()).map_err(Error::io(dir))?;
    let is_stage = |name: &OsStr| name.as_encoded_bytes().starts_with(STAGE.as_bytes());
    let (mut stages, mut renames) = (Vec::new(), Vec::new());
    for path in entries.iter().map(fs::DirEntry::path) {
        if path.file_name().is_some_and(is_stage) {
            if !is_own_stage(dir, &path) {
                return Err(Error::input(path, "not a directory of depmod's; remove it"));
            }
            stages.push(path);
            continue;
        }
        let target = fs::read_link(&path).unwrap_or_default();
        if target.iter().next().is_some_and(is_stage) {
            let is_set = |name: &OsStr| files.iter().any(|(known, _)| name == OsStr::new(known));
            let from = path.file_name().filter(|name| is_set(name)).and_then(|name| behind_link(dir, &target, name));
            let Some(from) = from else {
                return Err(Error::input(path, format!("link to {}: not of depmod; remove it", target.display())));
            };
            renames.push((from, path));
        }
    }
    renames.iter().try_for_each(|(from, path)| rename_or_remove(from, path).map_err(Error::io(path)))?;
    stages.into_iter().try_for_each(|stage| fs::remove_dir_all(&stage).map_err(Error::io(stage)))
}

/// Returns the file that the link `name` in `dir` leads to, through `now` of a stage, or `None` if `target` is not exactly
/// such a link, or anything on the way is not as depmod made it.
fn behind_link(dir: &Path, target: &Path, name: &OsStr) -> Option<PathBuf> {
    let stage = target.iter().next()?;
    let digits = stage.to_str()?.strip_prefix(STAGE)?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || target.as_os_str() != Path::new(stage).join("now").join(name).as_os_str() {
        return None;
    }
    let stage = dir.join(stage);
    let set = fs::read_link(stage.join("now")).ok()?;
    let is_set = [OsStr::new("old"), OsStr::new("new")].contains(&set.as_os_str());
    let set = stage.join(set);
    if !is_set || !is_own_stage(dir, &stage) || !is_own_stage(dir, &set) {
        return None;
    }
    // A file that is missing is an index that the set does not have.
    let from = set.join(name);
    fs::symlink_metadata(&from).map_or(true, |meta| meta.is_file()).then_some(from)
}

/// Whether `path` is a directory, not a link to one, of this process' user or of the owner of `dir`.
fn is_own_stage(dir: &Path, path: &Path) -> bool {
    let owner = fs::symlink_metadata(dir).map(|meta| meta.uid()).ok();
    let user = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && (meta.uid() == user || Some(meta.uid()) == owner))
}

/// Renames `from` to `to`; if `from` is missing, removes `to`.
fn rename_or_remove(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => fs::remove_file(to),
        result => result,
    }
}

/// A directory in which a new set waits for the change.
struct Stage<'a> {
    dir: &'a Path,
    /// Relative to `dir`, as links beside it need it.
    name: String,
    path: PathBuf,
}

impl<'a> Stage<'a> {
    fn new(dir: &'a Path) -> Self {
        let name = format!("{STAGE}{}", std::process::id());
        let path = dir.join(&name);
        Stage { dir, name, path }
    }

    /// Writes the new set, links the old one, and syncs both to the disk.
    fn fill(&self, files: &[IndexFile]) -> Result<()> {
        for set in ["", "old", "new"] {
            let path = self.path.join(set);
            fs::create_dir(&path).map_err(Error::io(path))?;
        }
        for (name, bytes) in files {
            let (was, old, new) =
                (self.dir.join(name), self.path.join("old").join(name), self.path.join("new").join(name));
            link_or_copy(&was, &old).map_err(Error::io(was))?;
            let written = File::create_new(&new).and_then(|mut file| file.write_all(bytes));
            written.map_err(Error::io(new))?;
        }
        let now = self.path.join("now");
        symlink("old", &now).map_err(Error::io(now))?;
        self.sync(files)
    }

    /// Syncs all files at once: the file system makes one commit of concurrent requests.
    fn sync(&self, files: &[IndexFile]) -> Result<()> {
        let new = files.iter().map(|(name, _)| self.path.join("new").join(name));
        let dirs = ["old", "new", ""].map(|set| self.path.join(set));
        let paths: Vec<PathBuf> = new.chain(dirs).collect();
        std::thread::scope(|scope| {
            let sync = |path: &PathBuf| File::open(path).and_then(|file| file.sync_all()).map_err(Error::io(path));
            let syncs: Vec<_> = paths.iter().map(|path| scope.spawn(move || sync(path))).collect();
            syncs.into_iter().try_for_each(|sync| sync.join().expect("syncing does not panic"))
        })
    }

    /// Replaces the files with links, and turns these to the new set.
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

/// Makes a hard link `old` to the file at `was`, if it exists.
fn link_or_copy(was: &Path, old: &Path) -> io::Result<()> {
    match linkat(CWD, was, CWD, old, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => Ok(()),
        // A symbolic link into another file system, or a file system without hard links: a copy serves as well.
        Err(_) => match fs::copy(was, old) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            copied => copied.and_then(|_| File::open(old)?.sync_all()),
        },
    }
}
