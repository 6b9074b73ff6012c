//! The archive of an initramfs: newc cpio, the same bytes from the same content.
//!
//! Entries are sorted by path, so that a directory precedes what is in it; owner is root, inode numbers count up, all
//! times are one. Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.

use ::cpio::newc::{self, ModeFileType};
use std::collections::BTreeMap;
use std::io::Write;

/// Bytes of an entry before its name.
const HEADER_LEN: usize = 110;

/// What stands at one path.
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
    /// A symbolic link and what it points to.
    Symlink(String),
    /// A character device.
    Char {
        /// Permissions.
        mode: u32,
        /// Device number's driver half.
        major: u32,
        /// Device number's device half.
        minor: u32,
    },
}

/// A file system in the making.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    /// By path, without a `/` in front.
    nodes: BTreeMap<String, Node>,
}

/// Why a path can't be taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Two things want the same place.
    #[error("/{0} is there already")]
    Taken(String),
    /// A parent of the path is something else.
    #[error("/{0} is no directory, but something is to go into it")]
    NoDir(String),
    /// `.`, `..` and empty parts have no place in an archive.
    #[error("`{0}` is no path in an image: plain names, separated by single slashes, are")]
    Odd(String),
    /// A size field has 32 bits.
    #[error("/{0} is larger than 4 GiB, more than a cpio archive can hold")]
    TooLarge(String),
}

impl Archive {
    /// Makes an empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `node` at `path` (with or without a `/` in front), and directories above it where they are missing. A
    /// directory that is there already is no error.
    ///
    /// # Errors
    /// [`PathError`] where the path is odd, taken, or below something that is no directory.
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

    /// Yields what is in it, by path.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Takes the directories out that `is_known`; what is in them stays.
    pub fn leave_out(&mut self, is_known: impl Fn(&str) -> bool) {
        self.nodes.retain(|path, node| *node != Node::Dir || !is_known(path));
    }

    /// There is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Emits the archive, all times set to `mtime` (seconds since 1970), up to and with its trailer.
    pub fn emit(&self, mtime: u32) -> Vec<u8> {
        self.emit_aligned(mtime, 1)
    }

    /// As [`Archive::emit`], the content of each file at a multiple of `align` bytes: the kernel uses that of an early
    /// archive in place. NULs behind the name make it so, as iucode-tool has them.
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
            let data_len = u32::try_from(data.len()).expect("add() refuses what is larger");
            let mut writer = entry.write(&mut out, data_len);
            writer.write_all(data).and_then(|()| writer.finish()).expect("memory takes it");
        }
        newc::trailer(out).expect("memory takes it")
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
    fn the_order_of_adding_leaves_no_trace() {
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
    fn a_place_is_taken_once() {
        let mut archive = Archive::new();
        archive.add("a", file("")).unwrap();
        assert_eq!(archive.add("/a", file("")), Err(PathError::Taken("a".into())));
        assert_eq!(archive.add("a/b", file("")), Err(PathError::NoDir("a".into())));
        for odd in ["", "/", "a//b", "../x", "a/.", "x/"] {
            assert!(matches!(archive.add(odd, file("")), Err(PathError::Odd(_))), "{odd}");
        }
    }
}
