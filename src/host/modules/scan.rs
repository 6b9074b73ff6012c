// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads all modules of a tree in parallel, the largest files first, so that no thread is left with amdgpu at the end.

use super::cache;
use super::cache::Cache;
use super::module::Module;
use super::progress::Progress;
use super::read::Buffers;
use super::tree::Tree;
use crate::host::error::{Error, Result};
use rayon::prelude::*;
use std::cmp::Reverse;
use std::path::Path;
use std::time::SystemTime;

/// The modules of a tree, and the failures of its cache.
#[derive(Debug)]
pub struct Scan {
    /// For each file in the tree's order, its module or the reason why it cannot be read.
    pub results: Vec<Result<Module>>,
    /// The reason why an existing cache was not used.
    pub cache_rejected: Option<Error>,
    /// The reason why the cache was not updated.
    pub cache_unwritten: Option<Error>,
}

/// Reads every module of `tree` without a cache, in the tree's order.
///
/// # Errors
/// The first module that cannot be read.
pub fn scan(tree: &Tree) -> Result<Vec<Module>> {
    read_all(tree, &Cache::default(), &Progress::new(tree.files.len())).into_iter().collect()
}

/// Reads every module of `tree`. Takes unchanged files from the tree's cache in the directory `caches`, and updates it
/// afterwards; without `caches` it reads every file.
pub fn read_tree(tree: &Tree, caches: Option<&Path>, progress: &Progress) -> Scan {
    let begun = SystemTime::now();
    let cache_file = caches.and_then(|caches| cache::file(caches, &tree.dir).ok());
    let cache = cache_file.as_deref().map_or_else(|| Ok(Cache::default()), |file| Cache::read(file, &tree.dir));
    let (cache, cache_rejected) = match cache {
        Ok(cache) => (cache, None),
        Err(error) => (Cache::default(), Some(error)),
    };
    let results = read_all(tree, &cache, progress);
    let stale = cache_file.filter(|_| !cache.is_complete(tree));
    let cache_unwritten = stale.and_then(|file| cache::write(&file, tree, &results, begun).err());
    Scan { results, cache_rejected, cache_unwritten }
}

/// Reads the modules that `cache` does not have; the results are in the tree's order.
fn read_all(tree: &Tree, cache: &Cache, progress: &Progress) -> Vec<Result<Module>> {
    let mut by_len: Vec<_> = tree.files.iter().enumerate().collect();
    by_len.sort_by_key(|(_, file)| Reverse(file.file_len));
    let read = |buffers: &mut Buffers, (index, file)| {
        let result = cache.get(file).map_or_else(|| Module::read(&tree.real_path(&file.path), file, buffers), Ok);
        progress.step();
        (index, result)
    };
    let results = by_len.into_par_iter().with_max_len(1).map_init(Buffers::default, read);
    let mut results: Vec<(usize, Result<Module>)> = results.collect();
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
