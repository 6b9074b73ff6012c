//! What is written: whole, or not at all. All goes beside its place first, and is renamed at the end.

use super::cpio::{Archive, Node};
use crate::host::error::{Error, Result};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes `data` beside `output` and renames it: nobody ever sees a part of it.
pub(crate) fn write_file(output: &Path, data: &[u8]) -> Result<()> {
    if fs::metadata(output).is_ok_and(|meta| !meta.is_file()) {
        // A device or pipe takes the bytes as they come; a directory refuses.
        return fs::write(output, data).map_err(Error::io(output));
    }
    let beside = beside(output)?;
    let written = write_whole(&beside, data).and_then(|()| fs::rename(&beside, output));
    written.map_err(|error| {
        // What is left of it, if it was there at all.
        let _ = fs::remove_file(&beside);
        Error::io(output)(error)
    })
}

/// Writes a new file, and waits for the disk to have it: a rename may be there before what was renamed.
fn write_whole(path: &Path, data: &[u8]) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(data)?;
    file.sync_all()
}

/// Writes what an archive has below `lib/` as the directory `output`, which must not be there.
pub(crate) fn write_tree(output: &Path, archive: &Archive) -> Result<()> {
    if fs::symlink_metadata(output).is_ok() {
        return Err(Error::input(output, "is there already; a tree is written to a new directory"));
    }
    let beside = beside(output)?;
    let written = fill(&beside, archive).and_then(|()| fs::rename(&beside, output));
    written.map_err(|error| {
        // What is left of it, if it was there at all.
        let _ = fs::remove_dir_all(&beside);
        Error::io(output)(error)
    })
}

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

fn beside(output: &Path) -> Result<PathBuf> {
    let name = output.file_name().ok_or_else(|| Error::input(output, "is no name of a file"))?;
    Ok(output.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id())))
}
