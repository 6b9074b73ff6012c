//! A module tree on disk: which module files it has, in which order, and what the kernel has built in. Reads no
//! module. Source: depmod(8), modules.order of the kernel's build.

use super::depmod_d::Rules;
use super::file::{ModuleFile, modname, plain_path};
use super::kmod_order;
use super::walk;
use crate::host::error::{Error, Result};
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

impl Tree {
    /// Opens the tree at `dir`, with depmod's own rules: of two files of one modname the one under updates/ counts,
    /// then the first in path order.
    ///
    /// # Errors
    /// No such directory, an unreadable entry, or no module at all.
    pub fn open(dir: &Path) -> Result<Tree> {
        let tree = Tree::open_with(dir, &Rules::default())?;
        if tree.files.is_empty() {
            return Err(Error::input(dir, "no kernel module in there"));
        }
        Ok(tree)
    }

    /// Opens the tree at `dir`, which may be empty, and the external directories that `rules` name.
    ///
    /// # Errors
    /// No such directory, or an unreadable entry.
    pub fn open_with(dir: &Path, rules: &Rules) -> Result<Tree> {
        let mut tree = Tree::bare(dir)?;
        let mut found = vec![walk::walk(dir, "", rules)?];
        for external in &rules.externals {
            if Path::new(external).is_dir() {
                found.push(walk::walk(Path::new(external), external, rules)?);
            } else {
                tree.warnings.push(format!("{external}: skipped, there is no such external directory"));
            }
        }
        let mut chosen: HashMap<String, String> = HashMap::new();
        for found in found {
            tree.warnings.extend(found.warnings);
            for path in found.paths {
                let modname = modname(&path);
                if chosen.get(&modname).is_none_or(|other| rules.rank(&path) > rules.rank(other)) {
                    chosen.insert(modname, path);
                }
            }
        }
        tree.stat(chosen.into_values().collect())?;
        tree.sort();
        Ok(tree)
    }

    /// Takes just the module files at `paths`, which are absolute, as those of the tree at `dir`.
    ///
    /// # Errors
    /// No such directory or file, or two files of one modname.
    pub fn of_files(dir: &Path, paths: &[PathBuf]) -> Result<Tree> {
        let mut tree = Tree::bare(dir)?;
        let mut seen = HashMap::new();
        let mut names = Vec::new();
        for path in paths {
            let name = path.to_str().ok_or_else(|| Error::input(path, "not UTF-8"))?;
            let relative = path.strip_prefix(dir).ok().and_then(Path::to_str).unwrap_or(name);
            if let Some(other) = seen.insert(modname(name), path) {
                return Err(Error::input(path, format!("the same module as {}", other.display())));
            }
            names.push(relative.to_owned());
        }
        tree.stat(names)?;
        tree.sort();
        Ok(tree)
    }

    /// Reads what lies beside the modules.
    fn bare(dir: &Path) -> Result<Tree> {
        let full = fs::canonicalize(dir).map_err(Error::io(dir))?;
        let order = optional(&dir.join("modules.order"))?.unwrap_or_default();
        Ok(Tree {
            dir: dir.to_owned(),
            kver: full.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            order: String::from_utf8_lossy(&order).lines().map(str::to_owned).collect(),
            builtin: optional(&dir.join("modules.builtin"))?,
            builtin_modinfo: optional(&dir.join("modules.builtin.modinfo"))?,
            ..Tree::default()
        })
    }

    fn stat(&mut self, paths: Vec<String>) -> Result<()> {
        self.files = walk::stat(&self.dir, paths)?;
        Ok(())
    }

    fn sort(&mut self) {
        let mut place: HashMap<&str, usize> = HashMap::with_capacity(self.order.len());
        for (at, line) in self.order.iter().enumerate() {
            place.entry(line).or_insert(at);
        }
        let listed = |path: &str| place.get(plain_path(path)).copied().unwrap_or(usize::MAX);
        self.files.sort_by_cached_key(|file| {
            let modname = modname(&file.path);
            (listed(&file.path), kmod_order::bucket(&modname), modname)
        });
    }
}

fn optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path)(error)),
    }
}
