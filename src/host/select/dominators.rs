// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bytes that excluding a module would save: its own, and those of modules that nothing else needs.

use crate::host::modules::graph::Edge;
use crate::host::modules::module::ModuleId;
use std::collections::{BTreeSet, HashMap};

/// Returns the bytes saved by excluding each of `ids`. `len` gives the bytes of a module.
pub fn savings(ids: &[ModuleId], edges: &BTreeSet<Edge>, len: impl Fn(ModuleId) -> u64) -> Vec<u64> {
    let mut needs: HashMap<Option<ModuleId>, Vec<ModuleId>> = HashMap::new();
    for edge in edges {
        needs.entry(edge.user).or_default().push(edge.needed);
    }
    let saved = |excluded: ModuleId| {
        let mut kept = BTreeSet::new();
        let mut open = vec![None];
        while let Some(user) = open.pop() {
            for &needed in needs.get(&user).into_iter().flatten() {
                if needed != excluded && kept.insert(needed) {
                    open.push(Some(needed));
                }
            }
        }
        ids.iter().filter(|id| !kept.contains(id)).map(|&id| len(id)).sum()
    };
    ids.iter().map(|&id| saved(id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(pairs: &[(Option<u32>, u32)]) -> BTreeSet<Edge> {
        let edge = |&(user, needed): &(Option<u32>, u32)| Edge { user: user.map(ModuleId), needed: ModuleId(needed) };
        pairs.iter().map(edge).collect()
    }

    #[test]
    fn a_module_that_two_need_is_saved_by_neither() {
        // The board requests 0 and 1; both need 2, and 2 needs 3; 1 alone needs 4.
        let edges = edges(&[(None, 0), (None, 1), (Some(0), 2), (Some(1), 2), (Some(2), 3), (Some(1), 4)]);
        let saved = savings(&[0, 1, 2, 3, 4].map(ModuleId), &edges, |id| 10u64.pow(id.0));
        assert_eq!(saved, [1, 10_010, 1_100, 1_000, 10_000]);
    }

    #[test]
    fn a_cycle_is_saved_as_a_whole() {
        let edges = edges(&[(None, 0), (Some(0), 1), (Some(1), 2), (Some(2), 1)]);
        assert_eq!(savings(&[0, 1, 2].map(ModuleId), &edges, |_| 1), [3, 2, 1]);
    }
}
