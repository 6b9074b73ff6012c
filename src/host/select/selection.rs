// SPDX-License-Identifier: MIT OR Apache-2.0
//! The result of a selection: the modules, each with its reason, and notes for the report.

use super::load_order::LoadList;
use super::reason::{Reason, Request};
use crate::host::modules::graph::Edge;
use crate::host::modules::module::{Module, ModuleId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The modules selected for one board or several, and notes for the report.
#[derive(Debug, Default)]
pub struct Selection {
    /// The modules: requested ones first, then those that they need.
    pub picks: Vec<Pick>,
    /// The modules to load first.
    pub load_list: LoadList,
    /// For several boards: the modules to load first on each, by the first `compatible` of its device tree.
    pub load_lists: BTreeMap<String, LoadList>,
    /// Which module needs which; `user` is `None` for the board itself.
    pub edges: BTreeSet<Edge>,
    /// Optional names that were not found, with their keys.
    pub absent: Vec<(String, String)>,
    /// Nodes without a known driver: on the way to the root, or of the board.
    pub without_driver: Vec<String>,
    /// Possible root devices without a fixed number: `mmcblkN` may change between boots.
    pub unnumbered: Vec<String>,
    /// Requested names that are built into the kernel.
    pub builtin: Vec<(String, Request)>,
    /// Modnames of the built-in drivers that the board's nodes, root or entries use.
    pub builtin_drivers: BTreeSet<String>,
    /// Exclusions that matched nothing: harmless, or a typing error.
    pub unused_exclusions: Vec<String>,
    /// Softdeps that match nothing in the tree, with the modules that have them. modprobe ignores these silently.
    pub unknown_softdeps: Vec<(String, String)>,
}

/// A selected module.
#[derive(Debug, PartialEq, Eq)]
pub struct Pick {
    /// The module.
    pub id: ModuleId,
    /// Why it is selected.
    pub reason: Reason,
    /// The board file's note on it, from `modules.why`.
    pub note: Option<String>,
}

/// The way by which a module came into a selection. Displayed as `fs=ext4 -> ext4 -> jbd2`.
#[derive(Debug)]
pub struct Trail<'a> {
    modules: &'a [Module],
    selection: &'a Selection,
    id: ModuleId,
}

impl Pick {
    /// Writes reason and note: `load: the root's file system`.
    pub fn prose(&self, modules: &[Module]) -> String {
        let reason = self.reason.prose(modules);
        match &self.note {
            Some(note) => format!("{reason}: {note}"),
            None => reason,
        }
    }
}

impl Selection {
    /// Returns the pick of a module.
    pub fn pick(&self, id: ModuleId) -> Option<&Pick> {
        self.picks.iter().find(|pick| pick.id == id)
    }

    /// Returns the trail of a module; `modules` are those that the selection was made from.
    pub fn trail<'a>(&'a self, modules: &'a [Module], id: ModuleId) -> Trail<'a> {
        Trail { modules, selection: self, id }
    }

    /// Yields the modules that need a module.
    pub fn users(&self, id: ModuleId) -> impl Iterator<Item = ModuleId> {
        self.edges.iter().filter(move |edge| edge.needed == id).filter_map(|edge| edge.user)
    }

    /// Adds the selection of another board. The first reason of a module is kept.
    pub fn add(&mut self, other: Selection) {
        for pick in other.picks {
            if self.pick(pick.id).is_none() {
                self.picks.push(pick);
            }
        }
        self.load_list.add(&other.load_list);
        self.edges.extend(other.edges);
        add_new(&mut self.absent, other.absent);
        add_new(&mut self.without_driver, other.without_driver);
        add_new(&mut self.unnumbered, other.unnumbered);
        for (name, request) in other.builtin {
            self.add_builtin(&name, request);
        }
        self.builtin_drivers.extend(other.builtin_drivers);
        add_new(&mut self.unused_exclusions, other.unused_exclusions);
        add_new(&mut self.unknown_softdeps, other.unknown_softdeps);
    }

    /// Adds a built-in name, unless it is known.
    pub(super) fn add_builtin(&mut self, name: &str, request: Request) {
        if self.builtin.iter().all(|(known, _)| known != name) {
            self.builtin.push((name.to_owned(), request));
        }
    }
}

fn add_new<T: PartialEq>(list: &mut Vec<T>, more: Vec<T>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let picks =
            std::iter::successors(self.selection.pick(self.id), |pick| self.selection.pick(pick.reason.user()?));
        let picks: Vec<&Pick> = picks.collect();
        for pick in picks.iter().rev() {
            match (&pick.reason, &pick.note) {
                (Reason::Requested(request), Some(note)) => write!(f, "{request} ({note}) -> ")?,
                (Reason::Requested(request), None) => write!(f, "{request} -> ")?,
                (Reason::NeededBy(_), _) => f.write_str(" -> ")?,
                (Reason::SoftdepOf(_), _) => f.write_str(" -softdep-> ")?,
                (Reason::WeakdepOf(_), _) => f.write_str(" -weakdep-> ")?,
            }
            f.write_str(&self.modules[pick.id].modname)?;
        }
        Ok(())
    }
}

/// Returns a warning that the mmcblk numbers of these nodes may change between boots; `None` without nodes.
pub fn number_warning(nodes: &[String]) -> Option<String> {
    let advice = "/dev/mmcblkN may change between boots; use root=UUID=... or root=PARTUUID=...";
    (!nodes.is_empty()).then(|| format!("no fixed mmcblk number: {}: {advice}", nodes.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(picks: Vec<(u32, Reason)>) -> Selection {
        let picks = picks.into_iter().map(|(id, reason)| Pick { id: ModuleId(id), reason, note: None });
        Selection { picks: picks.collect(), ..Selection::default() }
    }

    #[test]
    fn the_first_reason_of_a_module_is_kept() {
        let mut all = selection(vec![(0, Reason::Requested(Request::Load))]);
        all.add(selection(vec![(0, Reason::Requested(Request::Name)), (1, Reason::NeededBy(ModuleId(0)))]));
        let reasons: Vec<&Reason> = all.picks.iter().map(|pick| &pick.reason).collect();
        assert_eq!(reasons, [&Reason::Requested(Request::Load), &Reason::NeededBy(ModuleId(0))]);
    }

    #[test]
    fn a_trail_leads_from_the_request_to_the_module() {
        let modules = ["ext4", "crc", "crc_fast"].map(|name| Module { modname: name.into(), ..Module::default() });
        let mut selection = selection(vec![
            (0, Reason::Requested(Request::Fs("ext4".into()))),
            (1, Reason::NeededBy(ModuleId(0))),
            (2, Reason::SoftdepOf(ModuleId(1))),
        ]);
        assert_eq!(selection.trail(&modules, ModuleId(2)).to_string(), "fs=ext4 -> ext4 -> crc -softdep-> crc_fast");
        selection.picks[0].note = Some("the root".into());
        assert_eq!(selection.trail(&modules, ModuleId(0)).to_string(), "fs=ext4 (the root) -> ext4");
    }
}
