// SPDX-License-Identifier: MIT OR Apache-2.0
//! The contents of an existing image as the kernel unpacks it, and the paths at which appended entries arrive.
//!
//! Paths follow the image's symbolic links, as in the kernel: if it has `lib -> usr/lib`, an appended directory entry
//! `lib` would replace the link and hide all files behind it.

use super::cpio::{Archive, Node, PathError};
use super::unpack;
use super::unpack::{DIR, Entry, FILE, SYMLINK, TYPE};
use crate::host::codec;
use crate::host::codec::Damage;
use crate::host::error::Error;
use crate::host::modules::file::{is_module, modname};
use crate::host::modules::module::Module;
use std::collections::{BTreeMap, HashMap};

/// Symbolic links that a path may follow, as in the kernel. Source: include/linux/namei.h, `MAXSYMLINKS`.
const LINKS_MAX: usize = 40;

/// The entries of an image.
#[derive(Debug, Default)]
pub struct Contents {
    /// By path, without a leading `/` and with all symbolic links resolved.
    nodes: BTreeMap<String, Found>,
}

/// Type of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Dir,
    File {
        /// The file has several hard links.
        is_shared: bool,
        /// The module that it is, or the reason why it cannot be read; `None` for a file that is not wanted.
        module: Option<Box<Result<Module, String>>>,
    },
    Symlink(String),
    Other,
}

impl Contents {
    /// Reads an image: the paths of its entries, its links, and its modules for the kernel `kver`.
    ///
    /// # Errors
    /// [`Damage`] with the offset, if it is not an initramfs.
    pub fn read(image: &[u8], kver: &str) -> Result<Contents, Damage> {
        let is_wanted = |path: &str, mode: u32| match mode & TYPE {
            SYMLINK => true,
            FILE => is_module(path) && !is_of_other_kernel(path, kver),
            _ => false,
        };
        let mut contents = Contents::default();
        // Paths of each inode's hard links. Each archive has its own inode numbers.
        let mut shared = HashMap::new();
        unpack::each_entry(image, &is_wanted, &mut |entry| match entry {
            None => shared.clear(),
            Some(entry) => contents.insert(&entry, is_wanted(entry.path, entry.mode), &mut shared),
        })?;
        if contents.nodes.is_empty() {
            return Err(Damage { off: 0, what: "not an initramfs: the archive has no entries".into() });
        }
        Ok(contents)
    }

    fn insert(&mut self, entry: &Entry<'_>, is_wanted: bool, shared: &mut HashMap<(u32, u32, u32), Vec<String>>) {
        // The kernel cannot create an entry at an unresolvable path either.
        let Some(path) = self.follow(entry.path, false).filter(|path| !path.is_empty()) else { return };
        let found = match entry.mode & TYPE {
            DIR => Found::Dir,
            SYMLINK => Found::Symlink(String::from_utf8_lossy(entry.data).trim_end_matches('\0').into()),
            FILE => {
                let module = is_wanted.then(|| Box::new(module(entry.data)));
                let found = Found::File { is_shared: entry.shared.is_some(), module };
                if let Some(inode) = entry.shared {
                    let names = shared.entry(inode).or_default();
                    names.push(path.clone());
                    // In cpio, the last hard link carries the content of all.
                    self.nodes.extend(names.iter().map(|name| (name.clone(), found.clone())));
                }
                found
            }
            _ => Found::Other,
        };
        self.nodes.insert(path, found);
    }

    /// Resolves the symbolic links of a path. Returns `None` if they form a loop, or if a parent is not a directory.
    fn follow(&self, path: &str, is_last_followed: bool) -> Option<String> {
        let mut place: Vec<String> = Vec::new();
        let mut rest: Vec<String> = parts(path).rev().map(str::to_owned).collect();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == ".." {
                place.pop();
                continue;
            }
            place.push(part);
            match self.nodes.get(&place.join("/")) {
                Some(Found::Symlink(to)) if is_last_followed || !rest.is_empty() => {
                    links += 1;
                    place.pop();
                    if to.starts_with('/') {
                        place.clear();
                    }
                    rest.extend(parts(to).rev().map(str::to_owned));
                    if links > LINKS_MAX {
                        return None;
                    }
                }
                Some(Found::File { .. } | Found::Other) if !rest.is_empty() => return None,
                _ => {}
            }
        }
        Some(place.join("/"))
    }

    /// Resolves the symbolic links of a path, except in its last part.
    pub fn resolve_parent(&self, path: &str) -> Option<String> {
        self.follow(path, false)
    }

    /// Whether the path exists, with all symbolic links followed.
    pub fn has(&self, path: &str) -> bool {
        self.follow(path, true).is_some_and(|place| self.nodes.contains_key(&place))
    }

    /// Yields the modules below a directory: path relative to it, and the module, or the reason why it cannot be read.
    pub fn modules(&self, dir: &str) -> impl Iterator<Item = (&str, Result<Module, &str>)> {
        let dir = self.follow(dir, true).unwrap_or_default() + "/";
        let below = self.nodes.range(dir.clone()..).take_while({
            let dir = dir.clone();
            move |(path, _)| path.starts_with(&dir)
        });
        below.filter_map(move |(path, found)| {
            let Found::File { module: Some(module), .. } = found else { return None };
            let path = &path[dir.len()..];
            let module = module.as_ref().as_ref().map_err(String::as_str);
            Some((path, module.map(|module| Module { path: path.into(), modname: modname(path), ..module.clone() })))
        })
    }

    /// Yields the names of the entries of a directory.
    pub fn names(&self, dir: &str) -> impl Iterator<Item = &str> {
        let dir = self.follow(dir, true).unwrap_or_default() + "/";
        self.nodes.keys().filter_map(move |path| path.strip_prefix(&dir).filter(|name| !name.contains('/')))
    }

    /// Resolves the paths of an archive's entries in the image, and removes directories that the image has. Returns the
    /// archive, and another to put before it.
    ///
    /// The kernel writes a file's content into an existing file of that path, and so into all its hard links: busybox may
    /// have one for each command. A symbolic link in the archive before it replaces that one hard link first.
    ///
    /// # Errors
    /// A path is below an entry that is not a directory, or a file's path is a directory of the image.
    pub fn fit(&self, archive: &Archive) -> Result<(Archive, Archive), PathError> {
        let (mut fitted, mut in_front) = (Archive::new(), Archive::new());
        for (path, node) in archive.nodes() {
            let is_dir = *node == Node::Dir;
            let place = self.follow(path, is_dir).ok_or_else(|| PathError::NoDir(path.into()))?;
            match self.nodes.get(&place) {
                Some(Found::Dir) if !is_dir => return Err(PathError::Taken(place)),
                Some(Found::File { .. } | Found::Other) if is_dir => return Err(PathError::NoDir(place)),
                Some(Found::File { is_shared: true, .. }) if matches!(node, Node::File { .. }) => {
                    in_front.add(&place, Node::Symlink("initmod".into()))?;
                }
                _ => {}
            }
            fitted.add(&place, node.clone())?;
        }
        for archive in [&mut fitted, &mut in_front] {
            archive.leave_out(|path| self.nodes.get(path) == Some(&Found::Dir));
        }
        Ok((fitted, in_front))
    }
}

/// Whether a path is below lib/modules, in the directory of another kernel than `kver`.
fn is_of_other_kernel(path: &str, kver: &str) -> bool {
    let behind = path.split_once("lib/modules/").map(|(_, behind)| behind);
    behind.is_some_and(|behind| parts(behind).next() != Some(kver))
}

/// Parses a module, which may be compressed.
fn module(packed: &[u8]) -> Result<Module, String> {
    let plain = codec::decompress(packed).map_err(|damage| damage.what)?;
    let module = Module::parse("", &plain).map_err(|error| match error {
        Error::Damaged { off, what, .. } => format!("{what} at offset {off:#x}"),
        error => error.to_string(),
    })?;
    Ok(Module { file_len: packed.len() as u64, ..module })
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !matches!(*part, "" | "."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::cpio::newc;
    use std::io::Write;

    /// Emits an archive of (path, mode, link count, content). Entries with equal link counts are one inode.
    fn archive(entries: &[(&str, u32, u32, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (path, mode, nlink, data) in entries {
            let entry = newc::Builder::new(path).mode(*mode).nlink(*nlink).ino(*nlink);
            let mut writer = entry.write(&mut out, data.len() as u32);
            writer.write_all(data.as_bytes()).and_then(|()| writer.finish()).unwrap();
        }
        newc::trailer(out).unwrap()
    }

    fn debian() -> Contents {
        let image = archive(&[
            (".", DIR, 2, ""),
            ("./lib", SYMLINK, 1, "usr/lib"),
            ("sbin", SYMLINK, 1, "/usr/sbin"),
            ("loop", SYMLINK, 1, "loop"),
            ("usr", DIR, 2, ""),
            ("usr/lib", DIR, 2, ""),
            ("usr/lib/modules", DIR, 2, ""),
            ("lib/modules/6.1", DIR, 2, ""),
            ("lib/modules/6.1/a.ko", FILE, 3, ""),
            ("lib/modules/6.1/b.ko", FILE, 3, "no module, nor empty"),
            ("lib/modules/5.10", DIR, 2, ""),
            ("lib/modules/5.10/c.ko", FILE, 1, "of another kernel"),
            ("usr/sbin", DIR, 2, ""),
            ("usr/sbin/busybox", FILE, 2, "BB"),
            ("usr/sbin/modprobe", FILE, 2, "BB"),
            ("init", FILE, 1, "#!"),
        ]);
        Contents::read(&image, "6.1").unwrap()
    }

    fn paths(archive: &Archive) -> Vec<&str> {
        archive.nodes().map(|(path, _)| path).collect()
    }

    fn file() -> Node {
        Node::File { mode: 0o644, data: vec![] }
    }

    #[test]
    fn appended_entries_follow_links_and_add_no_directory_twice() {
        let mut archive = Archive::new();
        archive.add("lib/modules/6.1/c.ko", file()).unwrap();
        archive.add("lib/modules/6.2/c.ko", file()).unwrap();
        archive.add("sbin/depmod", Node::Symlink("x".into())).unwrap();
        let (fitted, in_front) = debian().fit(&archive).unwrap();
        let want = ["usr/lib/modules/6.1/c.ko", "usr/lib/modules/6.2", "usr/lib/modules/6.2/c.ko", "usr/sbin/depmod"];
        assert_eq!((paths(&fitted), paths(&in_front).len()), (want.to_vec(), 0));
    }

    #[test]
    fn a_hard_link_is_replaced_before_it_is_written() {
        let mut archive = Archive::new();
        archive.add("sbin/modprobe", file()).unwrap();
        let (fitted, in_front) = debian().fit(&archive).unwrap();
        assert_eq!((paths(&fitted), paths(&in_front)), (vec!["usr/sbin/modprobe"], vec!["usr/sbin/modprobe"]));
        let mut archive = Archive::new();
        archive.add("sbin/modprobe", Node::Symlink("/init".into())).unwrap();
        assert_eq!(
            paths(&debian().fit(&archive).unwrap().1).len(),
            0,
            "the kernel replaces a hard link by a symbolic link itself"
        );
    }

    #[test]
    fn entries_below_files_are_refused() {
        let fit = |path: &str| {
            let mut archive = Archive::new();
            archive.add(path, file()).unwrap();
            debian().fit(&archive).unwrap_err()
        };
        assert_eq!(fit("init/x"), PathError::NoDir("init".into()));
        assert_eq!(fit("loop/x"), PathError::NoDir("loop".into()));
        assert_eq!(fit("lib/modules"), PathError::Taken("usr/lib/modules".into()));
    }

    #[test]
    fn each_hard_link_of_a_module_has_its_content() {
        let contents = debian();
        let modules: Vec<_> = contents.modules("lib/modules/6.1").collect();
        let why = "neither ELF nor gzip, xz or zstd";
        assert!(
            modules.iter().all(|(_, module)| module.as_ref().is_err_and(|error| error.contains(why))),
            "{modules:?}"
        );
        assert_eq!(modules.iter().map(|(path, _)| *path).collect::<Vec<_>>(), ["a.ko", "b.ko"]);
        assert_eq!(contents.modules("lib/modules/5.10").count(), 0, "not wanted");
        assert_eq!(contents.names("lib/modules").collect::<Vec<_>>(), ["5.10", "6.1"]);
        assert!(contents.has("sbin/modprobe") && !contents.has("bin/modprobe"));
    }
}
