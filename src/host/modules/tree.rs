// SPDX-License-Identifier: MIT OR Apache-2.0
//! A module tree on disk: its module files in depmod's order, and the kernel's lists of built-in modules. Reads no
//! module. Source: depmod(8), modules.order of the kernel's build.

use super::depmod_d::DepmodConfig;
use super::file::{ModuleFile, modname, plain_path};
use super::kmod_order;
use super::walk;
use crate::host::error::{Error, Result};
use crate::host::input;
use crate::host::root::Root;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A module tree: ROOT/lib/modules/KVER.
#[derive(Debug, Default)]
pub struct Tree {
    /// The tree's directory, as it was given.
    pub dir: PathBuf,
    /// The name of the directory, which is the kernel's version.
    pub kver: String,
    /// One file for each modname, in depmod's module order.
    pub files: Vec<ModuleFile>,
    /// The lines of modules.order.
    pub order: Vec<String>,
    /// Content of modules.builtin; `None` if the file is missing.
    pub builtin: Option<Vec<u8>>,
    /// Content of modules.builtin.modinfo; `None` if the file is missing.
    pub builtin_modinfo: Option<Vec<u8>>,
    /// Real paths of the files behind links that lead elsewhere below another root than `/`, by path in the tree.
    pub(super) linked: HashMap<String, PathBuf>,
    /// Module files that another of the same modname hides.
    pub hidden: Vec<Hidden>,
    /// Names of the files above that are missing.
    pub missing: Vec<&'static str>,
    /// Skipped entries and the reasons, for the user.
    pub warnings: Vec<String>,
}

/// A module file that is not used, because another has the same modname and counts more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// The modname of both.
    pub modname: String,
    /// The file, relative to the tree.
    pub path: String,
    /// The file that is used.
    pub by: String,
}

impl std::fmt::Display for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: two modules of one name: {} is used, {} is not", self.modname, self.by, self.path)
    }
}

/// The built-in modules of a kernel, as its build lists them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Builtin<'a> {
    /// Content of modules.builtin: a path a line.
    pub list: Option<&'a [u8]>,
    /// Content of modules.builtin.modinfo: `modname.key=value` strings, each with its NUL.
    pub modinfo: Option<&'a [u8]>,
}

impl Tree {
    /// Opens the tree at `dir` with depmod's default configuration: of two files of one modname the one under updates/
    /// is taken, else the first in path order.
    ///
    /// # Errors
    /// The directory is missing, an entry cannot be read, or there is no module.
    pub fn open(dir: &Path) -> Result<Tree> {
        Tree::open_with(&Root::default(), dir, &DepmodConfig::default())?.with_modules()
    }

    /// Returns the tree, if it has a module.
    ///
    /// # Errors
    /// There is no module.
    pub fn with_modules(self) -> Result<Tree> {
        if self.files.is_empty() {
            return Err(Error::input(&self.dir, "no kernel modules in this directory"));
        }
        Ok(self)
    }

    /// Opens the tree at `dir`, which may be empty, and the external directories that `config` names. Links in the tree
    /// are resolved below `root`; the path of `dir` below it has no links.
    ///
    /// # Errors
    /// The directory is missing, or an entry cannot be read.
    pub fn open_with(root: &Root, dir: &Path, config: &DepmodConfig) -> Result<Tree> {
        let mut tree = Tree::without_files(root, dir)?;
        let mut found = vec![walk::walk(root, dir, "", config)?];
        for external in &config.externals {
            if Path::new(external).is_dir() {
                found.push(walk::walk(&Root::default(), Path::new(external), external, config)?);
            } else {
                tree.warnings.push(format!("{external}: skipped: external directory does not exist"));
            }
        }
        let (mut chosen, mut hidden_paths) = (HashMap::<String, String>::new(), Vec::new());
        for found in found {
            tree.warnings.extend(found.warnings);
            tree.linked.extend(found.linked);
            for path in found.paths {
                let modname = modname(&path);
                let hidden = match chosen.get(&modname) {
                    Some(other) if config.rank(&path) <= config.rank(other) => Some(path),
                    _ => chosen.insert(modname.clone(), path),
                };
                hidden_paths.extend(hidden.map(|path| (modname, path)));
            }
        }
        let hidden =
            hidden_paths.into_iter().map(|(modname, path)| Hidden { by: chosen[&modname].clone(), modname, path });
        tree.hidden = hidden.collect();
        // Sorted, so that of several errors the same one is reported.
        let mut paths: Vec<String> = chosen.into_values().collect();
        paths.sort();
        tree.take_files(paths)?;
        Ok(tree)
    }

    /// Finds the modules for which the tree's modules.dep, if there, has another file: modname, its file, the file here.
    ///
    /// # Errors
    /// modules.dep is there and can't be read.
    pub fn other_in_dep(&self, root: &Root) -> Result<Vec<(String, String, String)>> {
        let dep = read_optional(root, &self.dir.join("modules.dep"))?.unwrap_or_default();
        let dep = String::from_utf8_lossy(&dep);
        let listed = dep.lines().filter_map(|line| line.split_once(':')).map(|(path, _)| (modname(path), path));
        let listed: HashMap<String, &str> = listed.collect();
        let other = |file: &ModuleFile| {
            let modname = modname(&file.path);
            let path = *listed.get(&modname).filter(|path| plain_path(path) != plain_path(&file.path))?;
            Some((modname, path.to_owned(), file.path.clone()))
        };
        Ok(self.files.iter().filter_map(other).collect())
    }

    /// Makes a tree at `dir`, which may be missing, of exactly the module files at `paths`, which are absolute.
    ///
    /// # Errors
    /// A file is missing, its name has a line break, or two files have one modname.
    pub fn of_files(root: &Root, dir: &Path, paths: &[PathBuf]) -> Result<Tree> {
        let mut tree = if dir.exists() {
            Tree::without_files(root, dir)?
        } else {
            let kver = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let missing = vec!["modules.order", "modules.builtin", "modules.builtin.modinfo"];
            Tree { dir: dir.to_owned(), kver, missing, ..Tree::default() }
        };
        let mut seen = HashMap::new();
        let mut names = Vec::new();
        for path in paths {
            let name = path.to_str().ok_or_else(|| Error::input(path, "its name is not UTF-8"))?;
            if name.contains('\n') {
                return Err(Error::input(path, "its name has a line break"));
            }
            let relative = path.strip_prefix(dir).ok().and_then(Path::to_str).unwrap_or(name);
            if let Some(other) = seen.insert(modname(name), path) {
                return Err(Error::input(path, format!("same module name as {}", other.display())));
            }
            names.push(relative.to_owned());
        }
        tree.take_files(names)?;
        Ok(tree)
    }

    /// Lends the lists of built-in modules.
    pub fn builtin(&self) -> Builtin<'_> {
        Builtin { list: self.builtin.as_deref(), modinfo: self.builtin_modinfo.as_deref() }
    }

    /// Returns the real path of the module file at `path` in the tree.
    pub fn real_path(&self, path: &str) -> PathBuf {
        self.linked.get(path).cloned().unwrap_or_else(|| self.dir.join(path))
    }

    /// Reads the files that the kernel's build put beside the modules.
    fn without_files(root: &Root, dir: &Path) -> Result<Tree> {
        let full = fs::canonicalize(dir).map_err(Error::io(dir))?;
        let mut missing = Vec::new();
        let mut read = |name| {
            let content = read_optional(root, &dir.join(name));
            missing.extend(matches!(content, Ok(None)).then_some(name));
            content
        };
        let order = read("modules.order")?.unwrap_or_default();
        let (builtin, builtin_modinfo) = (read("modules.builtin")?, read("modules.builtin.modinfo")?);
        Ok(Tree {
            dir: dir.to_owned(),
            kver: full.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            order: String::from_utf8_lossy(&order).lines().map(str::to_owned).collect(),
            builtin,
            builtin_modinfo,
            missing,
            ..Tree::default()
        })
    }

    /// Takes the files at `paths` in depmod's order: first those of modules.order, then the others in the order of
    /// kmod's hash table.
    fn take_files(&mut self, paths: Vec<String>) -> Result<()> {
        self.files = walk::stat(&|path| self.real_path(path), paths)?;
        let mut lines: HashMap<&str, usize> = HashMap::with_capacity(self.order.len());
        for (number, line) in self.order.iter().enumerate() {
            lines.entry(line).or_insert(number);
        }
        let listed = |path: &str| lines.get(plain_path(path)).copied().unwrap_or(usize::MAX);
        self.files.sort_by_cached_key(|file| {
            let modname = modname(&file.path);
            (listed(&file.path), kmod_order::bucket(&modname), modname)
        });
        Ok(())
    }
}

/// Reads a file; `None` if it is missing.
fn read_optional(root: &Root, path: &Path) -> Result<Option<Vec<u8>>> {
    match root.follow(path).map_err(Error::io(path)).and_then(|real| input::read(&real)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
