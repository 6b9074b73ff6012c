//! Atomic output: a temporary file or directory beside the target, then rename.

use super::cpio::{Archive, Node};
use crate::host::error::{Error, Result};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes `data` to a temporary file beside `output`, then renames it: `output` is never partial. The temporary file is new:
/// a file or link of its name is an error.
pub(crate) fn write_file(output: &Path, data: &[u8]) -> Result<()> {
    if fs::metadata(output).is_ok_and(|meta| !meta.is_file()) {
        // A device or a pipe is written directly; for a directory, the write fails.
        return fs::write(output, data).map_err(Error::io(output));
    }
    let beside = beside(output)?;
    let mut file = fs::File::create_new(&beside).map_err(Error::io(&beside))?;
    let written = write_whole(&mut file, data).and_then(|()| fs::rename(&beside, output));
    written.map_err(|error| {
        let _ = fs::remove_file(&beside);
        Error::io(output)(error)
    })
}

/// Writes and syncs a new file: after a crash, a rename could otherwise name an empty file.
fn write_whole(file: &mut fs::File, data: &[u8]) -> std::io::Result<()> {
    file.write_all(data)?;
    file.sync_all()
}

/// Writes the entries of `archive` below `lib/` to a new directory `output`.
pub(crate) fn write_tree(output: &Path, archive: &Archive) -> Result<()> {
    if fs::symlink_metadata(output).is_ok() {
        return Err(Error::input(output, "already exists; give --tree a new directory"));
    }
    let beside = beside(output)?;
    // A file or link of that name is not ours: nothing is written through it.
    fs::create_dir(&beside).map_err(Error::io(&beside))?;
    let written = fill(&beside, archive).and_then(|()| fs::rename(&beside, output));
    written.map_err(|error| {
        let _ = fs::remove_dir_all(&beside);
        Error::io(output)(error)
    })
}

/// Writes the entries of `archive` below `lib/` into `dir`.
fn fill(dir: &Path, archive: &Archive) -> std::io::Result<()> {
    for (path, node) in archive.nodes().filter(|(path, _)| path.starts_with("lib/")) {
        let path = dir.join(path);
        match node {
            Node::Dir => fs::create_dir_all(&path)?,
            Node::File { data, .. } => fs::write(&path, data)?,
            Node::Symlink(to) => std::os::unix::fs::symlink(to, &path)?,
            Node::Char { .. } => {}
        }
    }
    Ok(())
}

/// Returns the path of the temporary file for `output`.
fn beside(output: &Path) -> Result<PathBuf> {
    let name = output.file_name().ok_or_else(|| Error::input(output, "not a file name"))?;
    Ok(output.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id())))
}
