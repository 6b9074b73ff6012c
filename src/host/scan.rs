//! The whole tree, read in parallel: biggest file first, so that no thread is left with amdgpu at the end.

use super::error::{Error, Result};
use super::module::{Buffers, Module};
use super::tree::Tree;
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
    let Scan { modules, faults } = scan_all(tree, &|| ());
    faults.into_iter().next().map_or(Ok(modules), Err)
}

/// Reads every module of `tree` that can be read, and calls `done` after each.
pub fn scan_all(tree: &Tree, done: &(dyn Fn() + Sync)) -> Scan {
    let mut by_len: Vec<usize> = (0..tree.files.len()).collect();
    by_len.sort_by_key(|&at| Reverse(tree.files[at].file_len));
    let mut results: Vec<(usize, Result<Module>)> = by_len
        .into_par_iter()
        .with_max_len(1)
        .map_init(Buffers::default, |buffers, at| {
            let result = Module::read(&tree.dir, &tree.files[at], buffers);
            done();
            (at, result)
        })
        .collect();
    results.sort_by_key(|(at, _)| *at);
    let mut scan = Scan::default();
    for (_, result) in results {
        match result {
            Ok(module) => scan.modules.push(module),
            Err(fault) => scan.faults.push(fault),
        }
    }
    scan
}
