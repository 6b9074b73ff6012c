// SPDX-License-Identifier: MIT OR Apache-2.0
//! Symbols -> dependencies, in the order in which kmod writes them. Works on any set of modules; exports of a module
//! outside the set are ignored. Source: kmod, tools/depmod.c.

use super::module::{Module, ModuleId};
use super::symbols::{Owner, SymbolOwners};
use crate::host::error::{Error, Result};
use rayon::prelude::*;
use std::collections::VecDeque;
use std::iter;

/// The modules that each module of a slice needs.
#[derive(Debug)]
pub struct Graph {
    /// Each module's direct dependencies.
    direct: Vec<Vec<ModuleId>>,
    /// Each module's place in the topological order: a module stands before all that it needs.
    rank: Vec<usize>,
}

/// One module needs another, or the board itself does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The module that needs the other; `None` for the board.
    pub user: Option<ModuleId>,
    /// The module that is needed.
    pub needed: ModuleId,
}

impl Graph {
    /// Resolves the imports of `modules` among themselves.
    ///
    /// # Errors
    /// [`Error::Cycle`] with the modnames of the modules that need each other.
    pub fn new(modules: &[Module]) -> Result<Graph> {
        Graph::with(modules, &SymbolOwners::new(modules))
    }

    /// Resolves the imports of `modules` by `owners`, which were collected from them.
    ///
    /// # Errors
    /// [`Error::Cycle`] with the modnames of the modules that need each other.
    pub fn with(modules: &[Module], owners: &SymbolOwners<'_>) -> Result<Graph> {
        let direct = modules.par_iter().with_min_len(64).map(|module| direct(module, owners));
        let direct: Vec<Vec<ModuleId>> = direct.collect();
        let rank = rank(&direct).map_err(|cycles| {
            let names = |cycle: Vec<ModuleId>| cycle.into_iter().map(|id| modules[id].modname.clone()).collect();
            Error::Cycle { cycles: cycles.into_iter().map(names).collect() }
        })?;
        Ok(Graph { direct, rank })
    }

    /// Returns the direct dependencies of the module `id`.
    pub fn direct(&self, id: ModuleId) -> &[ModuleId] {
        &self.direct[id.index()]
    }

    /// Returns all direct and indirect dependencies of the module `id`, each before those that it needs: to be loaded
    /// from the end.
    pub fn closure(&self, id: ModuleId) -> Vec<ModuleId> {
        let mut all = Vec::new();
        let mut open = self.direct(id).to_vec();
        while let Some(next) = open.pop() {
            if !all.contains(&next) {
                all.push(next);
                open.extend(self.direct(next));
            }
        }
        all.sort_by_key(|next| self.rank[next.index()]);
        all
    }
}

/// Returns the modules that export what `module` imports, in the order of its imports.
fn direct(module: &Module, owners: &SymbolOwners<'_>) -> Vec<ModuleId> {
    let mut direct: Vec<ModuleId> = Vec::new();
    for symbol in module.imports.iter() {
        if let Some(Owner { module: Some(owner), .. }) = owners.find(symbol.name)
            && !direct.contains(&owner)
        {
            direct.push(owner);
        }
    }
    direct
}

/// Ranks the modules so that each stands before those that it needs; fails with the cycles. The modules that no
/// unranked module needs wait on a stack. Taking the last found first gives kmod's order, which decides the order of
/// dependencies in modules.dep.
fn rank(direct: &[Vec<ModuleId>]) -> Result<Vec<usize>, Vec<Vec<ModuleId>>> {
    let mut user_counts = vec![0usize; direct.len()];
    for &used in direct.iter().flatten() {
        user_counts[used.index()] += 1;
    }
    let mut roots: Vec<ModuleId> = ModuleId::all(direct.len()).filter(|id| user_counts[id.index()] == 0).collect();
    let mut rank = vec![0; direct.len()];
    let mut ranked = 0;
    while let Some(id) = roots.pop() {
        rank[id.index()] = ranked;
        ranked += 1;
        for &used in &direct[id.index()] {
            user_counts[used.index()] -= 1;
            if user_counts[used.index()] == 0 {
                roots.push(used);
            }
        }
    }
    if ranked == direct.len() { Ok(rank) } else { Err(cycles(direct, &user_counts)) }
}

/// Finds a shortest cycle through each module that is in one, unless a cycle found before has the module already. A
/// module with a `user_counts` above 0 is without a rank: in a cycle, or needed by one.
fn cycles(direct: &[Vec<ModuleId>], user_counts: &[usize]) -> Vec<Vec<ModuleId>> {
    let mut found: Vec<Vec<ModuleId>> = Vec::new();
    for start in ModuleId::all(direct.len()).filter(|id| user_counts[id.index()] > 0) {
        if !found.iter().flatten().any(|id| *id == start) {
            found.extend(cycle(direct, start));
        }
    }
    found
}

/// Finds a shortest cycle that begins with `start`: breadth first, until a module needs `start`.
fn cycle(direct: &[Vec<ModuleId>], start: ModuleId) -> Option<Vec<ModuleId>> {
    let mut user: Vec<Option<ModuleId>> = vec![None; direct.len()];
    let mut open = VecDeque::from([start]);
    while let Some(id) = open.pop_front() {
        for &used in &direct[id.index()] {
            if used == start {
                let mut members: Vec<ModuleId> =
                    iter::successors(Some(id), |id| user[id.index()]).take_while(|id| *id != start).collect();
                members.push(start);
                members.reverse();
                return Some(members);
            }
            if user[used.index()].is_none() {
                user[used.index()] = Some(id);
                open.push_back(used);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids<const N: usize>(lists: [&[u32]; N]) -> Vec<Vec<ModuleId>> {
        lists.iter().map(|list| list.iter().copied().map(ModuleId).collect()).collect()
    }

    #[test]
    fn users_come_before_what_they_use() {
        let diamond = ids([&[1, 2], &[3], &[3], &[]]);
        let diamond = Graph { rank: rank(&diamond).unwrap(), direct: diamond };
        assert_eq!(diamond.closure(ModuleId(0)), [2, 1, 3].map(ModuleId));
        assert_eq!(diamond.closure(ModuleId(3)), []);
    }

    #[test]
    fn cycles_are_named_by_their_members_only() {
        // 0 leads into the cycle 1 -> 2 -> 3, which needs 4; 5 needs itself.
        assert_eq!(rank(&ids([&[1], &[2], &[3], &[1, 4], &[], &[5]])), Err(ids([&[1, 2, 3], &[5]])));
    }

    #[test]
    fn each_module_in_a_cycle_is_named() {
        // 0 -> 1 -> 2 -> 0 and, through 3, 0 -> 1 -> 3 -> 2 -> 0. 4 is needed by 3 and leads into 5 -> 6 -> 5.
        let direct = ids([&[1], &[2, 3], &[0], &[2, 4], &[5], &[6], &[5]]);
        assert_eq!(rank(&direct), Err(ids([&[0, 1, 2], &[3, 2, 0, 1], &[5, 6]])));
    }
}
