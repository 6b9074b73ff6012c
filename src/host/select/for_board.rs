// SPDX-License-Identifier: MIT OR Apache-2.0
//! Selects the modules of one board.

use super::catalogue::Catalogue;
use super::picker::Picker;
use super::selection::Selection;
use crate::host::board::file::{Board, Scope};
use crate::host::dt::root::Root;
use crate::host::dt::tree::Tree;
use crate::host::error::{Error, Result};

/// Selects the modules for a board with these device trees and this root.
///
/// # Errors
/// [`Error::Key`] for each requested name that was not found, and for an exclusion of a needed module; [`Error::Input`] for a
/// module whose dependency is missing.
pub fn select(board: &Board, trees: &[Tree], root: Option<&Root>, catalogue: &Catalogue<'_>) -> Result<Selection> {
    let mut picker = Picker::new(board, catalogue);
    picker.add_load_list()?;
    for (tree, root) in trees.iter().filter_map(|tree| Some((tree, root?))) {
        picker.add_way_to_root(tree, root)?;
    }
    picker.add_fs()?;
    if board.scope(root.is_some()) == Scope::Board {
        picker.selection.without_driver.clear();
        trees.iter().for_each(|tree| picker.add_whole_board(tree));
    }
    picker.add_lists()?;
    Error::all(std::mem::take(&mut picker.faults))?;
    picker.add_softdeps_of_builtins()?;
    picker.add_dependencies()?;
    Ok(picker.finish())
}
