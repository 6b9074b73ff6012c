// SPDX-License-Identifier: MIT OR Apache-2.0
//! Walks a module tree in parallel. Follows symbolic links, but not to a parent directory. Collects names first, and
//! stats the files afterwards.

use super::depmod_d::DepmodConfig;
use super::file::{ModuleFile, Stamp, is_module, is_stage};
use crate::host::error::{Error, Result};
use crate::host::root::Root;
use rayon::prelude::*;
use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Directories visited before a walk fails. Symbolic links can multiply directories without a loop; no real tree has
/// as many.
const DIRS_MAX: usize = 100_000;

/// Directory with the debug information of the files beside it, under the same names; Yocto's packages have it.
/// Source: OpenEmbedded's meta/lib/oe/package.py, `PACKAGE_DEBUG_SPLIT_STYLE`.
const SPLIT_DEBUG: &str = ".debug";

/// The result of a walk.
#[derive(Default)]
pub(crate) struct Found {
    /// Module files, in path order.
    pub(crate) paths: Vec<String>,
    /// Paths in the tree and real paths of files behind links that lead elsewhere below another root than `/`.
    pub(crate) linked: Vec<(String, PathBuf)>,
    /// Skipped entries and the reasons, for the user.
    pub(crate) warnings: Vec<String>,
}

/// Collects the module files below `dir`, each as `prefix/...`, or relative to `dir` if `prefix` is empty.
/// Links are resolved below `root`.
pub(crate) fn walk(root: &Root, dir: &Path, prefix: &str, config: &DepmodConfig) -> Result<Found> {
    let place = Place { real: dir.to_owned(), shown: dir.to_owned(), path: prefix.to_owned(), is_linked: false };
    Walk { root, config, dir_count: AtomicUsize::new(0) }.dir(&place, &[])
}

/// A directory or file of a walk.
struct Place {
    /// Real path, which differs from `shown` behind a link that was resolved below the root.
    real: PathBuf,
    /// Path for messages.
    shown: PathBuf,
    /// Path in the tree.
    path: String,
    /// Whether `real` is needed to reach it.
    is_linked: bool,
}

struct Walk<'a> {
    root: &'a Root,
    config: &'a DepmodConfig,
    dir_count: AtomicUsize,
}

impl Walk<'_> {
    /// Walks one directory; `parents` are the directories that lead to it, by device and inode.
    fn dir(&self, place: &Place, parents: &[(u64, u64)]) -> Result<Found> {
        let Place { real, shown, .. } = place;
        let meta = fs::metadata(real).map_err(Error::io(shown))?;
        let id = (meta.dev(), meta.ino());
        if parents.contains(&id) {
            return Ok(Found::skipped(shown, "symbolic link to a parent directory"));
        }
        if self.dir_count.fetch_add(1, Ordering::Relaxed) > DIRS_MAX {
            return Err(Error::input(shown, format!("symbolic links lead to more than {DIRS_MAX} directories")));
        }
        let entries: Result<Vec<DirEntry>, _> = fs::read_dir(real).and_then(Iterator::collect);
        let mut entries = entries.map_err(Error::io(shown))?;
        entries.sort_by_cached_key(DirEntry::file_name);
        let parents = [parents, &[id]].concat();
        let found = entries.par_iter().with_max_len(1).map(|entry| self.entry(entry, place, &parents));
        // Of several errors, the first in path order is reported.
        let found: Vec<Result<Found>> = found.collect();
        found.into_iter().try_fold(Found::default(), |mut all, more| {
            let mut more = more?;
            all.paths.append(&mut more.paths);
            all.linked.append(&mut more.linked);
            all.warnings.append(&mut more.warnings);
            Ok(all)
        })
    }

    fn entry(&self, entry: &DirEntry, dir: &Place, parents: &[(u64, u64)]) -> Result<Found> {
        let name = entry.file_name();
        let shown = dir.shown.join(&name);
        let Some(name) = name.to_str().filter(|name| !name.contains('\n')) else {
            let is_module = is_module(&name.to_string_lossy());
            let why = if name.to_str().is_some() { "its name has a line break" } else { "its name is not UTF-8" };
            return Ok(if is_module { Found::skipped(&shown, why) } else { Found::default() });
        };
        if self.config.excludes(name) || is_stage(name.as_bytes()) {
            return Ok(Found::default());
        }
        let mut kind = entry.file_type().map_err(Error::io(&shown))?;
        let (mut real, mut is_linked) = (entry.path(), dir.is_linked);
        if kind.is_symlink() {
            let followed = self.root.follow(&real).and_then(|path| Ok((fs::metadata(&path)?, path)));
            match followed {
                Ok((meta, path)) => {
                    kind = meta.file_type();
                    is_linked |= path != real;
                    real = path;
                }
                // Another depmod has just replaced its links.
                Err(_) if leads_into_stage(&real) || !real.is_symlink() => return Ok(Found::default()),
                Err(error) => {
                    return Ok(Found::skipped(&shown, &format!("cannot follow the symbolic link: {error}")));
                }
            }
        }
        let path = if dir.path.is_empty() { name.to_owned() } else { format!("{}/{name}", dir.path) };
        if kind.is_dir() && name == SPLIT_DEBUG {
            Ok(Found::default())
        } else if kind.is_dir() {
            self.dir(&Place { real, shown, path, is_linked }, parents)
        } else if !is_module(name) {
            Ok(Found::default())
        } else if kind.is_file() {
            let linked = if is_linked { vec![(path.clone(), real)] } else { Vec::new() };
            Ok(Found { paths: vec![path], linked, ..Found::default() })
        } else {
            Ok(Found::skipped(&shown, "not a regular file"))
        }
    }
}

/// Whether the link at `path` is one that another run of depmod makes for a moment.
fn leads_into_stage(path: &Path) -> bool {
    let target = fs::read_link(path).unwrap_or_default();
    target.iter().next().is_some_and(|first| is_stage(first.as_encoded_bytes()))
}

impl Found {
    fn skipped(path: &Path, why: &str) -> Found {
        Found { warnings: vec![format!("{}: skipped: {why}", path.display())], ..Found::default() }
    }
}

/// Stats the files at `paths` of a tree; `real_path` maps each to its real path.
pub(crate) fn stat(real_path: &(dyn Fn(&str) -> PathBuf + Sync), paths: Vec<String>) -> Result<Vec<ModuleFile>> {
    let stat = |path: String| {
        let full = real_path(&path);
        let meta = fs::metadata(&full).map_err(Error::io(full))?;
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        let stamp = Stamp {
            dev: meta.dev(),
            ino: meta.ino(),
            mtime_ns: ns(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: ns(meta.ctime(), meta.ctime_nsec()),
        };
        Ok(ModuleFile { path, file_len: meta.len(), stamp })
    };
    let files: Vec<Result<ModuleFile>> = paths.into_par_iter().with_min_len(64).map(stat).collect();
    files.into_iter().collect()
}
