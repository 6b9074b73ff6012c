//! A walk over a module tree: links are followed, a link that leads back is passed over. Only names are collected;
//! the files are looked at afterwards, in parallel.

use super::error::{Error, Result};
use super::rules::Rules;
use super::tree::{ModuleFile, Stamp, is_module};
use rayon::prelude::*;
use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Links can multiply directories without end and without a loop; no real tree has as many.
const DIRS_MAX: usize = 100_000;

/// A walk, and what it found.
pub(super) struct Walk<'a> {
    rules: &'a Rules,
    /// Of the directories above, to see a loop.
    above: Vec<(u64, u64)>,
    dir_count: usize,
    /// Module files, in path order.
    pub(super) paths: Vec<String>,
    /// What was passed over, and why.
    pub(super) warnings: Vec<String>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(rules: &'a Rules) -> Self {
        Walk { rules, above: Vec::new(), dir_count: 0, paths: Vec::new(), warnings: Vec::new() }
    }

    /// Collects the module files below `dir`, each as `prefix/...`.
    pub(super) fn dir(&mut self, dir: &Path, prefix: &str) -> Result<()> {
        let meta = fs::metadata(dir).map_err(Error::io(dir))?;
        let id = (meta.dev(), meta.ino());
        if self.above.contains(&id) {
            self.warn(dir, "the link leads back to a directory above it");
            return Ok(());
        }
        self.dir_count += 1;
        if self.dir_count > DIRS_MAX {
            return Err(Error::input(dir, "links lead to more directories than any tree has"));
        }
        let entries: Result<Vec<DirEntry>, _> = fs::read_dir(dir).and_then(Iterator::collect);
        let mut entries = entries.map_err(Error::io(dir))?;
        entries.sort_by_cached_key(DirEntry::file_name);
        self.above.push(id);
        for entry in entries {
            self.entry(&entry, prefix)?;
        }
        self.above.pop();
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry, prefix: &str) -> Result<()> {
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            if is_module(&name.to_string_lossy()) {
                self.warn(&entry.path(), "its name is not UTF-8");
            }
            return Ok(());
        };
        if self.rules.excludes(name) {
            return Ok(());
        }
        let mut kind = entry.file_type().map_err(Error::io(entry.path()))?;
        if kind.is_symlink() {
            match fs::metadata(entry.path()) {
                Ok(meta) => kind = meta.file_type(),
                Err(error) => {
                    self.warn(&entry.path(), &format!("the link can't be followed: {error}"));
                    return Ok(());
                }
            }
        }
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        if kind.is_dir() {
            self.dir(&entry.path(), &path)?;
        } else if kind.is_file() && is_module(name) {
            self.paths.push(path);
        }
        Ok(())
    }

    fn warn(&mut self, path: &Path, what: &str) {
        self.warnings.push(format!("{}: skipped, {what}", path.display()));
    }
}

/// Looks at each of `paths`, relative to `dir`.
pub(super) fn stat(dir: &Path, paths: Vec<String>) -> Result<Vec<ModuleFile>> {
    let stat = |path: String| {
        let full = dir.join(&path);
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
    paths.into_par_iter().with_min_len(64).map(stat).collect()
}
