// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stands in for applets/module_file.rs in a loader without the feature `modinfo`.

use super::print::error;

/// Reports that the list can't be printed; returns the exit status.
pub(crate) fn show_symbols(exports: bool, _: &[u8]) -> i32 {
    let option: &[u8] = if exports { b"--show-exports" } else { b"--show-modversions" };
    error("%: this loader was built without the feature modinfo", &[option]);
    1
}
