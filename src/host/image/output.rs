// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes the modules of an archive as a directory.

use super::cpio::{Archive, Node};
use crate::host::error::{Error, Result};
use crate::host::output::{self, Dir};
use std::io::{self, Write};
use std::path::Path;

/// Writes the entries of `archive` below `lib/` to a new directory `output`.
///
/// # Errors
/// A system call failed, or `output` exists.
pub(crate) fn write_tree(output: &Path, archive: &Archive) -> Result<()> {
    let taken = || Error::input(output, "already exists; give --tree a new directory");
    if std::fs::symlink_metadata(output).is_ok() {
        return Err(taken());
    }
    let (dir, name) = output::parent(output)?;
    let written = dir.create_dir_with(name, |dir, hold| {
        for (path, node) in archive.nodes().filter(|(path, _)| path.starts_with("lib/")) {
            if hold.is_ending() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            write_entry(dir, Path::new(path), node)?;
        }
        Ok(())
    });
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(),
        _ => Error::io(output)(error),
    })
}

/// Writes an entry below `dir`. `path` has neither `.` nor `..`, as [`Archive`] refuses them.
fn write_entry(dir: &Dir, path: &Path, node: &Node) -> io::Result<()> {
    let parent = dir.create_dir_all(path.parent().unwrap_or(Path::new("")))?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    match node {
        Node::Dir => parent.create_dir_all(Path::new(name)).map(drop),
        Node::File { data, .. } => parent.create_file(name, 0o666)?.write_all(data),
        Node::Symlink(to) => Ok(rustix::fs::symlinkat(to, &parent, name)?),
        Node::Char { .. } => Ok(()),
    }
}
