//! A module tree on disk: which module files it has, in which order, and what the kernel has built in. Refuses a
//! directory without modules; reads no module. Source: depmod(8), modules.order of the kernel's build.

use super::error::{Error, Result};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A module tree: ROOT/lib/modules/KVER.
#[derive(Debug, Default)]
pub struct Tree {
    /// Its directory.
    pub dir: PathBuf,
    /// The directory's own name, which is the kernel's version.
    pub kver: String,
    /// One file for each modname, in depmod's module order.
    pub files: Vec<ModuleFile>,
    /// The lines of modules.order.
    pub order: Vec<String>,
    /// modules.builtin, if there.
    pub builtin: Option<Vec<u8>>,
    /// modules.builtin.modinfo, if there.
    pub builtin_modinfo: Option<Vec<u8>>,
    /// What was passed over, and why; for people.
    pub warnings: Vec<String>,
}

/// A module file, unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFile {
    /// Relative to the tree's directory: `kernel/fs/ext4/ext4.ko.xz`.
    pub path: String,
    /// Length as it lies, bytes.
    pub file_len: u64,
}

/// The suffixes of module files. The content decides how a file is read, its name only that it is a module.
pub const SUFFIXES: [&str; 4] = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];

/// Entries that lead out of the tree, to the kernel's source and build directory.
const NEVER: [&str; 2] = ["build", "source"];

impl Tree {
    /// Walks `dir` and reads its modules.order and modules.builtin files.
    ///
    /// Of two files of one modname the one under updates/ counts, then the first in path order.
    ///
    /// # Errors
    /// No such directory, an unreadable entry, or no module at all.
    pub fn open(dir: &Path) -> Result<Tree> {
        let mut tree = Tree { dir: dir.to_owned(), ..Tree::default() };
        let full = fs::canonicalize(dir).map_err(Error::io(dir))?;
        tree.kver = full.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let order = optional(&dir.join("modules.order"))?.unwrap_or_default();
        tree.order = String::from_utf8_lossy(&order).lines().map(str::to_owned).collect();
        tree.builtin = optional(&dir.join("modules.builtin"))?;
        tree.builtin_modinfo = optional(&dir.join("modules.builtin.modinfo"))?;
        tree.walk()?;
        if tree.files.is_empty() {
            return Err(Error::input(dir, "no kernel module in there"));
        }
        tree.sort();
        Ok(tree)
    }

    fn walk(&mut self) -> Result<()> {
        let entries = walkdir::WalkDir::new(&self.dir).follow_links(true).sort_by_file_name();
        let mut chosen = HashMap::new();
        for entry in entries.into_iter().filter_entry(|entry| !NEVER.iter().any(|name| entry.file_name() == *name)) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.pass_over(error)?;
                    continue;
                }
            };
            let Some(name) = entry.file_name().to_str().filter(|name| is_module(name)) else { continue };
            let meta = entry.metadata().map_err(|error| Error::input(entry.path(), error))?;
            if !meta.is_file() {
                continue;
            }
            let modname = modname(name);
            let path = entry.path().strip_prefix(&self.dir).expect("the walk began there");
            let Some(path) = path.to_str() else {
                self.warnings.push(format!("{}: skipped, its path is not UTF-8", entry.path().display()));
                continue;
            };
            let file = ModuleFile { path: path.to_owned(), file_len: meta.len() };
            match chosen.get(&modname) {
                None => {
                    chosen.insert(modname, self.files.len());
                    self.files.push(file);
                }
                Some(&at) => {
                    if is_update(&file.path) && !is_update(&self.files[at].path) {
                        self.files[at] = file;
                    }
                }
            }
        }
        Ok(())
    }

    /// Loops and dangling links are passed over; anything else stops the walk.
    fn pass_over(&mut self, error: walkdir::Error) -> Result<()> {
        let path = error.path().unwrap_or(&self.dir).to_owned();
        if let Some(ancestor) = error.loop_ancestor() {
            let ancestor = ancestor.display();
            self.warnings.push(format!("{}: skipped, the link leads back to {ancestor}", path.display()));
            return Ok(());
        }
        if path != self.dir && fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink()) {
            self.warnings.push(format!("{}: skipped, the link leads nowhere", path.display()));
            return Ok(());
        }
        Err(Error::io(path)(error.into()))
    }

    fn sort(&mut self) {
        let place: HashMap<&str, usize> = self.order.iter().enumerate().map(|(at, line)| (line.as_str(), at)).collect();
        self.files.sort_by_cached_key(|file| {
            let listed = place.get(plain_path(&file.path)).copied().unwrap_or(usize::MAX);
            (listed, file.path.clone())
        });
    }
}

/// Returns the modname of a module file: `kernel/net/ipv6/ip6-gre.ko.xz` gives `ip6_gre`.
pub fn modname(path: &str) -> String {
    let stem = crate::name::stem(path.as_bytes());
    stem.iter().map(|&byte| if byte == b'-' { '_' } else { char::from(byte) }).collect()
}

/// Returns `path` without what stands behind `.ko`, which is how modules.order spells it.
pub fn plain_path(path: &str) -> &str {
    let suffix = SUFFIXES.iter().rev().find(|suffix| path.ends_with(**suffix));
    suffix.map_or(path, |suffix| &path[..path.len() - suffix.len() + ".ko".len()])
}

fn is_module(name: &str) -> bool {
    SUFFIXES.iter().any(|suffix| name.len() > suffix.len() && name.ends_with(suffix))
}

fn is_update(path: &str) -> bool {
    path.starts_with("updates/")
}

fn optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path)(error)),
    }
}
