// SPDX-License-Identifier: MIT OR Apache-2.0
//! The archive of an initramfs: newc cpio, deterministic.
//!
//! Entries are sorted by path, so that a directory precedes its files. The owner is root, inode numbers count up, and all
//! entries have one mtime. Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.

use ::cpio::newc::{self, ModeFileType};
use std::collections::BTreeMap;
use std::io::Write;

/// Length of the header before an entry's name, bytes.
const HEADER_LEN: usize = 110;

/// A file, directory, link or device in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Dir,
    /// A file.
    File {
        /// Permissions.
        mode: u32,
        /// Content.
        data: Vec<u8>,
    },
    /// A symbolic link, with its target.
    Symlink(String),
    /// A character device.
    Char {
        /// Permissions.
        mode: u32,
        /// Major device number.
        major: u32,
        /// Minor device number.
        minor: u32,
    },
}

/// The entries of an archive.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    /// By path, without a leading `/`.
    nodes: BTreeMap<String, Node>,
}

/// Reason why an entry cannot be added.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Another entry has the path.
    #[error("the image already has /{0}")]
    Taken(String),
    /// A parent of the path is not a directory.
    #[error("/{0} is not a directory: no file can be added below it")]
    NoDir(String),
    /// A part of the path is empty, `.` or `..`, or the path has a NUL.
    #[error("`{0}` is not a path in an image: write names separated by single slashes, without `.` and `..`")]
    Odd(String),
    /// The file's length does not fit the 32 bits of the size field.
    #[error("/{0} is larger than 4 GiB, the limit of a cpio archive")]
    TooLarge(String),
}

impl Archive {
    /// Makes an empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `node` at `path` (with or without a leading `/`), and the directories above it that are missing. Adding a
    /// directory again is allowed.
    ///
    /// # Errors
    /// [`PathError`] if the path is malformed, has an entry already, or is below an entry that is not a directory.
    pub fn add(&mut self, path: &str, node: Node) -> Result<(), PathError> {
        let path = path.strip_prefix('/').unwrap_or(path);
        if path.contains('\0') || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(PathError::Odd(path.into()));
        }
        if matches!(&node, Node::File { data, .. } if u32::try_from(data.len()).is_err()) {
            return Err(PathError::TooLarge(path.into()));
        }
        for (slash, _) in path.match_indices('/') {
            let parent = &path[..slash];
            match self.nodes.get(parent) {
                None => drop(self.nodes.insert(parent.into(), Node::Dir)),
                Some(Node::Dir) => {}
                Some(_) => return Err(PathError::NoDir(parent.into())),
            }
        }
        match self.nodes.get(path) {
            Some(Node::Dir) if node == Node::Dir => {}
            Some(_) => return Err(PathError::Taken(path.into())),
            None => drop(self.nodes.insert(path.into(), node)),
        }
        Ok(())
    }

    /// Yields the entries, sorted by path.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Removes the entries of directories for which `is_known` is true; their files stay.
    pub fn leave_out(&mut self, is_known: impl Fn(&str) -> bool) {
        self.nodes.retain(|path, node| *node != Node::Dir || !is_known(path));
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Emits the archive with its trailer. Each entry's mtime is `mtime`, in seconds since 1970.
    pub fn emit(&self, mtime: u32) -> Vec<u8> {
        self.emit_aligned(mtime, 1)
    }

    /// Like [`Archive::emit`], with the content of each file aligned to `align` bytes: the kernel uses the content of an
    /// early archive in place. NULs after the name pad it, as iucode-tool does.
    pub fn emit_aligned(&self, mtime: u32, align: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for ((path, node), ino) in self.nodes.iter().zip(1..) {
            let mut name = path.clone();
            let data_off = |name: &str| (out.len() + HEADER_LEN + name.len() + 1).next_multiple_of(4);
            while matches!(node, Node::File { .. }) && !data_off(&name).is_multiple_of(align) {
                name.push('\0');
            }
            let entry = newc::Builder::new(&name).ino(ino).mtime(mtime);
            let (entry, data) = match node {
                Node::Dir => (entry.mode(0o755).nlink(2).set_mode_file_type(ModeFileType::Directory), &[][..]),
                Node::File { mode, data } => (entry.mode(*mode).set_mode_file_type(ModeFileType::Regular), &data[..]),
                Node::Symlink(to) => (entry.mode(0o777).set_mode_file_type(ModeFileType::Symlink), to.as_bytes()),
                Node::Char { mode, major, minor } => {
                    let entry = entry.mode(*mode).set_mode_file_type(ModeFileType::Char);
                    (entry.rdev_major(*major).rdev_minor(*minor), &[][..])
                }
            };
            let data_len = u32::try_from(data.len()).expect("add() refuses larger files");
            let mut writer = entry.write(&mut out, data_len);
            writer.write_all(data).and_then(|()| writer.finish()).expect("writing to memory cannot fail");
        }
        newc::trailer(out).expect("writing to memory cannot fail")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Node {
        Node::File { mode: 0o644, data: text.into() }
    }

    fn read_back(mut bytes: &[u8]) -> Vec<(String, u32, u32)> {
        let mut entries = Vec::new();
        loop {
            let reader = newc::Reader::new(bytes).unwrap();
            let entry = reader.entry().clone();
            if entry.is_trailer() {
                return entries;
            }
            assert_eq!((entry.uid(), entry.gid(), entry.mtime(), entry.ino()), (0, 0, 7, entries.len() as u32 + 1));
            entries.push((entry.name().into(), entry.mode(), entry.rdev_minor()));
            bytes = reader.finish().unwrap();
        }
    }

    #[test]
    fn the_order_of_adding_does_not_matter() {
        let mut archive = Archive::new();
        archive.add("/lib/b", file("b")).unwrap();
        archive.add("init", Node::File { mode: 0o755, data: vec![] }).unwrap();
        archive.add("lib-x", Node::Symlink("/init".into())).unwrap();
        archive.add("dev/console", Node::Char { mode: 0o600, major: 5, minor: 1 }).unwrap();
        archive.add("lib", Node::Dir).unwrap();
        let want = [
            ("dev", 0o40755, 0),
            ("dev/console", 0o20600, 1),
            ("init", 0o100_755, 0),
            ("lib", 0o40755, 0),
            ("lib-x", 0o120_777, 0),
            ("lib/b", 0o100_644, 0),
        ];
        assert_eq!(read_back(&archive.emit(7)), want.map(|(path, mode, minor)| (path.to_owned(), mode, minor)));
    }

    #[test]
    fn a_path_has_one_entry() {
        let mut archive = Archive::new();
        archive.add("a", file("")).unwrap();
        assert_eq!(archive.add("/a", file("")), Err(PathError::Taken("a".into())));
        assert_eq!(archive.add("a/b", file("")), Err(PathError::NoDir("a".into())));
        for odd in ["", "/", "a//b", "../x", "a/.", "x/"] {
            assert!(matches!(archive.add(odd, file("")), Err(PathError::Odd(_))), "{odd}");
        }
    }
}
