// SPDX-License-Identifier: MIT OR Apache-2.0
//! A selection in progress: picks modules, applies exclusions, keeps the first reason of each module.

use super::catalogue::Catalogue;
use super::reason::{Reason, Request};
use super::selection::{Pick, Selection};
use crate::host::board::file::Board;
use crate::host::error::Error;
use crate::host::modules::graph::Edge;
use crate::host::modules::module::ModuleId;
use crate::modules::name::same;
use std::collections::BTreeSet;

/// A selection in progress.
pub(super) struct Picker<'a> {
    pub board: &'a Board,
    pub catalogue: &'a Catalogue<'a>,
    pub selection: Selection,
    /// Built-in drivers that the selection uses, each with whether what it needs is loaded first.
    pub builtins: Vec<(String, bool)>,
    /// Entries of the board's lists that nothing resolves to.
    pub faults: Vec<Error>,
    is_picked: Vec<bool>,
    /// Exclusions that kept a softdep or weakdep from being followed.
    used_exclusions: BTreeSet<String>,
}

impl<'a> Picker<'a> {
    /// Starts with nothing picked.
    pub(super) fn new(board: &'a Board, catalogue: &'a Catalogue<'a>) -> Self {
        let is_picked = vec![false; catalogue.modules.len()];
        let (selection, builtins) = (Selection::default(), Vec::new());
        Picker {
            board,
            catalogue,
            selection,
            builtins,
            faults: Vec::new(),
            is_picked,
            used_exclusions: BTreeSet::new(),
        }
    }

    /// Picks a module, unless it is picked.
    pub(super) fn pick(&mut self, id: ModuleId, reason: Reason) {
        if !std::mem::replace(&mut self.is_picked[id.index()], true) {
            self.selection.picks.push(Pick { id, reason, note: None });
        }
    }

    /// Picks a module for the board itself.
    pub(super) fn pick_requested(&mut self, id: ModuleId, request: Request) {
        self.selection.edges.insert(Edge { user: None, needed: id });
        self.pick(id, Reason::Requested(request));
    }

    /// Picks a module for another module.
    pub(super) fn pick_needed(&mut self, user: ModuleId, needed: ModuleId, reason: Reason) {
        self.selection.edges.insert(Edge { user: Some(user), needed });
        self.pick(needed, reason);
    }

    /// Notes the use of built-in drivers: their softdeps and firmware come along.
    pub(super) fn use_builtins(&mut self, modnames: &[String], is_first: bool) {
        for modname in modnames {
            if self.builtins.iter().all(|(known, _)| known != modname) {
                self.builtins.push((modname.clone(), is_first));
            }
        }
    }

    /// Whether a module is picked.
    pub(super) fn is_picked(&self, id: ModuleId) -> bool {
        self.is_picked[id.index()]
    }

    /// Adds a module to those that are loaded first.
    pub(super) fn load_first(&mut self, id: ModuleId) {
        self.selection.load_list.push(self.catalogue.modname(id));
    }

    /// Whether modules.exclude has a module.
    pub(super) fn is_excluded(&self, id: ModuleId) -> bool {
        let modname = self.catalogue.modname(id).as_bytes();
        self.board.modules.exclude.iter().any(|name| same(name.as_bytes(), modname))
    }

    /// Whether modules.exclude has the name by which a softdep or weakdep refers to a module.
    pub(super) fn excludes_link(&mut self, name: &str) -> bool {
        let exclusion = self.board.modules.exclude.iter().find(|known| same(known.as_bytes(), name.as_bytes()));
        self.used_exclusions.extend(exclusion.cloned());
        exclusion.is_some()
    }

    /// Returns an error about the value of a key of the board file.
    pub(super) fn fault(&self, key: &str, what: String) -> Error {
        self.board.fault(key, what)
    }

    /// Returns the selection, with the exclusions that matched nothing.
    pub(super) fn finish(self) -> Selection {
        let is_used = |name: &String| {
            self.catalogue.ids.contains_key(&*name.replace('-', "_")) || self.used_exclusions.contains(name)
        };
        let unused = self.board.modules.exclude.iter().filter(|name| !is_used(name)).cloned().collect();
        let builtin_drivers = self.builtins.into_iter().map(|(modname, _)| modname).collect();
        Selection { unused_exclusions: unused, builtin_drivers, ..self.selection }
    }
}
