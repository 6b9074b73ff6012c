//! Replacing the index set, all of it or nothing.
//!
//! All files are written to a directory beside the old ones and brought to the disk before the first is renamed into
//! place. Until then, whatever happens (full disk, a kill, power loss), the old set stands as it was; what is left
//! lying about is taken away by a later run. The renames themselves exchange old and new, so that a rename that the
//! system refuses is answered by exchanging back. Of the set as a whole the file system knows nothing: a kill between
//! the first and the last of a dozen renames, some tens of microseconds, is the one moment that is not covered.

use super::emit::IndexFile;
use crate::host::error::{Error, Result};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The directories in which sets are made, this and the process' number.
const STAGE: &str = ".depmod.";

/// A stage that is older was left behind by a run that was killed.
const STALE: Duration = Duration::from_secs(3600);

/// Puts `files` into `dir`, which is made if need be, in place of what is there of these names.
///
/// # Errors
/// The system's; the old set is still there then.
pub fn replace(dir: &Path, files: &[IndexFile]) -> Result<()> {
    fs::create_dir_all(dir).map_err(Error::io(dir))?;
    remove_stale(dir);
    let stage = dir.join(format!("{STAGE}{}", std::process::id()));
    _ = fs::remove_dir_all(&stage);
    fs::create_dir(&stage).map_err(Error::io(&stage))?;
    let result = fill(&stage, files).and_then(|()| put_in_place(&stage, dir, files));
    _ = fs::remove_dir_all(&stage);
    result
}

fn fill(stage: &Path, files: &[IndexFile]) -> Result<()> {
    for (name, bytes) in files {
        let path = stage.join(name);
        let written = fs::File::create_new(&path).and_then(|mut file| file.write_all(bytes));
        written.map_err(Error::io(path))?;
    }
    // All at once, since the file system makes one commit of the requests that wait for it.
    std::thread::scope(|scope| {
        let syncs: Vec<_> = files
            .iter()
            .map(|(name, _)| {
                let path = stage.join(name);
                scope.spawn(|| fs::File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io(path)))
            })
            .collect();
        syncs.into_iter().try_for_each(|sync| sync.join().expect("it does not panic"))
    })
}

fn put_in_place(stage: &Path, dir: &Path, files: &[IndexFile]) -> Result<()> {
    let paths: Vec<(PathBuf, PathBuf)> = files.iter().map(|(name, _)| (stage.join(name), dir.join(name))).collect();
    if let Some((_, path)) = paths.iter().find(|(_, path)| path.is_dir()) {
        return Err(Error::input(path, "a directory where an index file belongs"));
    }
    let mut done: Vec<(&PathBuf, &PathBuf, bool)> = Vec::new();
    for (from, to) in &paths {
        match swap(from, to) {
            Ok(exchanged) => done.push((from, to, exchanged)),
            Err(error) => {
                for (from, to, exchanged) in done.into_iter().rev() {
                    _ = if exchanged { fs::rename(from, to) } else { fs::remove_file(to) };
                }
                return Err(Error::io(to)(error));
            }
        }
    }
    Ok(())
}

/// Renames `from` to `to`, and says whether the file that was there is now `from`.
fn swap(from: &Path, to: &Path) -> std::io::Result<bool> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        // nothing there, or a file system that can't exchange
        Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS) => fs::rename(from, to).map(|()| false),
        Err(error) => Err(error.into()),
    }
}

fn remove_stale(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_stage = entry.file_name().to_string_lossy().starts_with(STAGE);
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if is_stage && age().is_some_and(|age| age > STALE) {
            _ = fs::remove_dir_all(entry.path());
        }
    }
}
