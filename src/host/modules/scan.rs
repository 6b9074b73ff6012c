//! The whole tree, read in parallel: biggest file first, so that no thread is left with amdgpu at the end.

use super::cache::Cache;
use super::module::Module;
use super::read::Buffers;
use super::tree::Tree;
use crate::host::error::{Error, Result};
use rayon::prelude::*;
use std::cmp::Reverse;

/// What a scan found.
#[derive(Debug, Default)]
pub struct Scan {
    /// The modules that could be read, in the tree's order.
    pub modules: Vec<Module>,
    /// Why the others could not, in the tree's order.
    pub faults: Vec<Error>,
}

/// Reads every module of `tree`, in the tree's order.
///
/// # Errors
/// The first module that can't be read.
pub fn scan(tree: &Tree) -> Result<Vec<Module>> {
    read_all(tree, &Cache::default(), &|| ()).into_iter().collect()
}

/// Reads every module of `tree` that can be read, and calls `done` after each.
pub fn scan_all(tree: &Tree, done: &(dyn Fn() + Sync)) -> Scan {
    let mut scan = Scan::default();
    for result in read_all(tree, &Cache::default(), done) {
        match result {
            Ok(module) => scan.modules.push(module),
            Err(fault) => scan.faults.push(fault),
        }
    }
    scan
}

/// Reads every module of `tree`, out of `cache` where it has the file's very state, and calls `done` after each. The
/// results are in the tree's order.
pub fn read_all(tree: &Tree, cache: &Cache, done: &(dyn Fn() + Sync)) -> Vec<Result<Module>> {
    let mut by_len: Vec<usize> = (0..tree.files.len()).collect();
    by_len.sort_by_key(|&at| Reverse(tree.files.get(at).map(|file| file.file_len)));
    let read = |buffers: &mut Buffers, at: usize| {
        let file = tree.files.get(at)?;
        let result = cache.get(file).map_or_else(|| Module::read(&tree.dir, file, buffers), Ok);
        done();
        Some((at, result))
    };
    let results = by_len.into_par_iter().with_max_len(1).map_init(Buffers::default, read);
    let mut results: Vec<(usize, Result<Module>)> = results.flatten().collect();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
