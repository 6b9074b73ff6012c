//! An image that more is appended to: what lies in it, as the kernel unpacks it, so that what is appended finds its place.
//!
//! Paths lead through the image's own symbolic links, as they do for the kernel: with `lib -> usr/lib` in it, an entry
//! `lib` that is a directory would take the link's place, and leave all behind it out of reach.

use super::cpio::{Archive, Node, PathError};
use super::unpack;
use super::unpack::{DIR, Entry, FILE, SYMLINK, TYPE};
use crate::host::codec::Damage;
use crate::host::modules::file::is_module;
use std::collections::{BTreeMap, HashMap};

/// Links that a path may lead through, as in the kernel. Source: include/linux/namei.h, `MAXSYMLINKS`.
const LINKS_MAX: usize = 40;

/// What an image holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// By path without links in it, without a `/` in front.
    nodes: BTreeMap<String, Found>,
}

/// What stands at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Dir,
    File {
        /// Other names lead to the same file.
        is_shared: bool,
        /// Kept of module files only.
        data: Vec<u8>,
    },
    Symlink(String),
    Other,
}

impl Contents {
    /// Reads an image.
    ///
    /// # Errors
    /// [`Damage`]: it is no initramfs, with the offset.
    pub fn read(image: &[u8]) -> Result<Contents, Damage> {
        let mut contents = Contents::default();
        // Names of the files that share an inode; an archive's inodes are its own.
        let mut shared = HashMap::new();
        unpack::each_entry(image, &mut |entry| match entry {
            None => shared.clear(),
            Some(entry) => contents.take(entry, &mut shared),
        })?;
        if contents.nodes.is_empty() {
            return Err(Damage { off: 0, what: "no initramfs: there is no entry in it".into() });
        }
        Ok(contents)
    }

    fn take(&mut self, entry: Entry<'_>, shared: &mut HashMap<(u32, u32, u32), Vec<String>>) {
        // A path that leads nowhere is nothing that the kernel could create either.
        let Some(path) = self.follow(entry.path, false).filter(|path| !path.is_empty()) else { return };
        let found = match entry.mode & TYPE {
            DIR => Found::Dir,
            SYMLINK => Found::Symlink(String::from_utf8_lossy(entry.data).trim_end_matches('\0').into()),
            FILE => {
                let data = if is_module(&path) { entry.data.to_vec() } else { Vec::new() };
                let found = Found::File { is_shared: entry.shared.is_some(), data };
                if let Some(inode) = entry.shared {
                    let names = shared.entry(inode).or_default();
                    names.push(path.clone());
                    // The last of them has the content of all.
                    self.nodes.extend(names.iter().map(|name| (name.clone(), found.clone())));
                }
                found
            }
            _ => Found::Other,
        };
        self.nodes.insert(path, found);
    }

    /// Returns the place that a path leads to; `None` where links go in a circle, or through something that is no
    /// directory.
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

    /// Returns the place that a path leads to, its last part taken as it is.
    pub fn place(&self, path: &str) -> Option<String> {
        self.follow(path, false)
    }

    /// Something is at the end of the path, links followed.
    pub fn has(&self, path: &str) -> bool {
        self.follow(path, true).is_some_and(|place| self.nodes.contains_key(&place))
    }

    /// Yields the module files below a directory, by path below it.
    pub fn modules(&self, dir: &str) -> impl Iterator<Item = (&str, &[u8])> {
        let dir = self.follow(dir, true).unwrap_or_default() + "/";
        let below = self.nodes.range(dir.clone()..).take_while({
            let dir = dir.clone();
            move |(path, _)| path.starts_with(&dir)
        });
        below.filter_map(move |(path, found)| match found {
            Found::File { data, .. } if is_module(path) => Some((&path[dir.len()..], data.as_slice())),
            _ => None,
        })
    }

    /// Yields the names in a directory.
    pub fn names(&self, dir: &str) -> impl Iterator<Item = &str> {
        let dir = self.follow(dir, true).unwrap_or_default() + "/";
        self.nodes.keys().filter_map(move |path| path.strip_prefix(&dir).filter(|name| !name.contains('/')))
    }

    /// Puts an archive's entries where their paths lead to in the image, and leaves out the directories that it has.
    /// Returns the archive, and one to put in front of it.
    ///
    /// The kernel writes a file's content into the file of that name, if there is one: into all its names, where it has
    /// several, as busybox' commands may have. A symbolic link in front of it takes the name away first.
    ///
    /// # Errors
    /// A path leads to something that is no directory.
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

fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !matches!(*part, "" | "."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::cpio::newc;
    use std::io::Write;

    /// Emits an archive of path, mode, links and content; those with as many links are one file.
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
            ("lib/modules/6.1/b.ko", FILE, 3, "ELF"),
            ("usr/sbin", DIR, 2, ""),
            ("usr/sbin/busybox", FILE, 2, "BB"),
            ("usr/sbin/modprobe", FILE, 2, "BB"),
            ("init", FILE, 1, "#!"),
        ]);
        Contents::read(&image).unwrap()
    }

    fn paths(archive: &Archive) -> Vec<&str> {
        archive.nodes().map(|(path, _)| path).collect()
    }

    fn file() -> Node {
        Node::File { mode: 0o644, data: vec![] }
    }

    #[test]
    fn what_is_appended_follows_the_image_s_links_and_makes_no_directory_again() {
        let mut archive = Archive::new();
        archive.add("lib/modules/6.1/c.ko", file()).unwrap();
        archive.add("lib/modules/6.2/c.ko", file()).unwrap();
        archive.add("sbin/depmod", Node::Symlink("x".into())).unwrap();
        let (fitted, in_front) = debian().fit(&archive).unwrap();
        let want = ["usr/lib/modules/6.1/c.ko", "usr/lib/modules/6.2", "usr/lib/modules/6.2/c.ko", "usr/sbin/depmod"];
        assert_eq!((paths(&fitted), paths(&in_front).len()), (want.to_vec(), 0));
    }

    #[test]
    fn a_name_of_a_shared_file_is_taken_away_before_it_is_written() {
        let mut archive = Archive::new();
        archive.add("sbin/modprobe", file()).unwrap();
        let (fitted, in_front) = debian().fit(&archive).unwrap();
        assert_eq!((paths(&fitted), paths(&in_front)), (vec!["usr/sbin/modprobe"], vec!["usr/sbin/modprobe"]));
        let mut archive = Archive::new();
        archive.add("sbin/modprobe", Node::Symlink("/init".into())).unwrap();
        assert_eq!(paths(&debian().fit(&archive).unwrap().1).len(), 0, "the kernel does that for a link by itself");
    }

    #[test]
    fn what_cannot_be_put_there_is_refused() {
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
    fn modules_have_their_content_under_each_of_their_names() {
        let contents = debian();
        let modules: Vec<_> = contents.modules("lib/modules/6.1").collect();
        assert_eq!(modules, [("a.ko", &b"ELF"[..]), ("b.ko", b"ELF")]);
        assert_eq!(contents.names("lib/modules").collect::<Vec<_>>(), ["6.1"]);
        assert!(contents.has("sbin/modprobe") && !contents.has("bin/modprobe"));
    }
}
