// SPDX-License-Identifier: MIT OR Apache-2.0
//! A root file system in memory, filled from an image as the kernel fills it: entries one after the other, through the
//! links that are there, a file written into the file of that name. Source: the kernel's init/initramfs.c.

use initmod::host::image::unpack::each_entry;
use std::collections::{BTreeMap, HashMap};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Dir(u32),
    /// The place of its content.
    File(u32, usize),
    Symlink(String),
    Other,
}

/// What the kernel makes of an image.
#[derive(Debug, Default)]
pub struct Rootfs {
    nodes: BTreeMap<String, Node>,
    contents: Vec<Vec<u8>>,
}

impl Rootfs {
    /// Unpacks an image.
    pub fn unpack(image: &[u8]) -> Rootfs {
        let mut root = Rootfs::default();
        let mut inodes = HashMap::new();
        each_entry(image, &|_, _| true, &mut |entry| match entry {
            None => inodes.clear(),
            Some(entry) => {
                let Some(path) = root.real(entry.path, false) else { panic!("{} leads nowhere", entry.path) };
                if path.is_empty() {
                    return;
                }
                let parent = path.rsplit_once('/').map(|(parent, _)| parent);
                assert!(parent.is_none_or(|parent| matches!(root.nodes.get(parent), Some(Node::Dir(_)))), "{path}");
                let mode = entry.mode & 0o7777;
                let node = match entry.mode & 0o170_000 {
                    0o040_000 => Node::Dir(mode),
                    0o100_000 => {
                        let known = entry.shared.and_then(|inode| inodes.get(&inode).copied());
                        // Without another name to link to: into the file that is there, or a new one.
                        let there = match root.nodes.get(&path) {
                            Some(Node::File(_, at)) => Some(*at),
                            _ => None,
                        };
                        let at = known.or(there).unwrap_or_else(|| {
                            root.contents.push(Vec::new());
                            root.contents.len() - 1
                        });
                        entry.shared.map(|inode| inodes.insert(inode, at));
                        if !entry.data.is_empty() || known.is_none() {
                            root.contents[at] = entry.data.to_vec();
                        }
                        Node::File(mode, at)
                    }
                    0o120_000 => Node::Symlink(String::from_utf8(entry.data.to_vec()).unwrap()),
                    _ => Node::Other,
                };
                root.nodes.insert(path, node);
            }
        })
        .unwrap_or_else(|damage| panic!("{damage:?}"));
        root
    }

    fn real(&self, path: &str, to_end: bool) -> Option<String> {
        let mut path = path.trim_start_matches("./").trim_matches('/').to_owned();
        if path == "." {
            return Some(String::new());
        }
        'again: for _ in 0..40 {
            for (end, _) in path.match_indices('/').chain(to_end.then_some((path.len(), ""))) {
                if let Some(Node::Symlink(to)) = self.nodes.get(&path[..end]) {
                    let dir = path[..end].rsplit_once('/').map_or("", |(dir, _)| dir);
                    let base = if to.starts_with('/') { "" } else { dir };
                    let mut parts: Vec<&str> = Vec::new();
                    for part in base.split('/').chain(to.split('/')).chain(path[end..].split('/')) {
                        match part {
                            "" | "." => {}
                            ".." => _ = parts.pop(),
                            part => parts.push(part),
                        }
                    }
                    path = parts.join("/");
                    continue 'again;
                }
            }
            return Some(path);
        }
        None
    }

    /// Reads a file, links followed.
    pub fn read(&self, path: &str) -> Option<&[u8]> {
        match self.nodes.get(&self.real(path, true)?)? {
            Node::File(_, at) => Some(&self.contents[*at]),
            _ => None,
        }
    }

    /// Returns where a link leads, or the permissions of what is there.
    pub fn shape(&self, path: &str) -> String {
        match self.real(path, false).and_then(|path| self.nodes.get(&path)) {
            Some(Node::Dir(mode)) => format!("dir {mode:o}"),
            Some(Node::File(mode, _)) => format!("file {mode:o}"),
            Some(Node::Symlink(to)) => format!("-> {to}"),
            Some(Node::Other) => "other".into(),
            None => "none".into(),
        }
    }

    /// Yields the paths of all files.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter(|(_, node)| matches!(node, Node::File(..))).map(|(path, _)| path.as_str())
    }
}
