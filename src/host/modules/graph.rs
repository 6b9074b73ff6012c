//! Symbols -> dependencies, in the order in which kmod writes them. Works on any set of modules: what a module outside
//! the set exports resolves to nothing. Source: kmod, tools/depmod.c.

use super::module::Module;
use super::symbols::{Linkage, Owner};
use crate::host::error::{Error, Result};
use rayon::prelude::*;

/// Who needs whom, by the modules' places in the slice that was given.
#[derive(Debug)]
pub struct Graph {
    /// Each module's direct dependencies.
    direct: Vec<Vec<usize>>,
    /// Each module's place in the topological order: whoever needs it comes before it.
    rank: Vec<usize>,
}

impl Graph {
    /// Resolves the imports of `modules` among themselves.
    ///
    /// # Errors
    /// [`Error::Cycle`] with the paths of those that need each other.
    pub fn new(modules: &[Module]) -> Result<Graph> {
        Graph::with(modules, &Linkage::new(modules))
    }

    /// Resolves the imports of `modules` by `linkage`, which was made of them.
    ///
    /// # Errors
    /// [`Error::Cycle`] with the paths of those that need each other.
    pub fn with(modules: &[Module], linkage: &Linkage<'_>) -> Result<Graph> {
        let direct = modules.par_iter().with_min_len(64).map(|module| {
            let mut direct: Vec<usize> = Vec::new();
            for symbol in module.imports.iter() {
                if let Some(Owner { module: Some(owner), .. }) = linkage.find(symbol.name)
                    && !direct.contains(&owner)
                {
                    direct.push(owner);
                }
            }
            direct
        });
        let direct: Vec<Vec<usize>> = direct.collect();
        let rank = rank(&direct).map_err(|cycles| {
            let path = |at: usize| modules[at].path.clone();
            Error::Cycle { cycles: cycles.into_iter().map(|cycle| cycle.into_iter().map(path).collect()).collect() }
        })?;
        Ok(Graph { direct, rank })
    }

    /// Returns the direct dependencies of the module at `at`.
    pub fn direct(&self, at: usize) -> &[usize] {
        &self.direct[at]
    }

    /// Returns all that the module at `at` needs, users before what they use: to be loaded from the end.
    pub fn closure(&self, at: usize) -> Vec<usize> {
        let mut all = Vec::new();
        let mut open = self.direct[at].clone();
        while let Some(next) = open.pop() {
            if !all.contains(&next) {
                all.push(next);
                open.extend(&self.direct[next]);
            }
        }
        all.sort_by_key(|&next| self.rank[next]);
        all
    }
}

/// Ranks the modules so that users come before what they use. The roots are taken from a stack, and so, last found
/// first taken, kmod's order arises; its place in it decides the order of dependencies in modules.dep.
fn rank(direct: &[Vec<usize>]) -> Result<Vec<usize>, Vec<Vec<usize>>> {
    let mut users = vec![0usize; direct.len()];
    for &used in direct.iter().flatten() {
        users[used] += 1;
    }
    let mut roots: Vec<usize> = (0..direct.len()).filter(|&at| users[at] == 0).collect();
    let mut rank = vec![0; direct.len()];
    let mut ranked = 0;
    while let Some(at) = roots.pop() {
        rank[at] = ranked;
        ranked += 1;
        for &used in &direct[at] {
            users[used] -= 1;
            if users[used] == 0 {
                roots.push(used);
            }
        }
    }
    if ranked == direct.len() { Ok(rank) } else { Err(cycles(direct, &users)) }
}

/// Finds one circle through each group of modules that need each other; `users` counts what no rank was found for.
fn cycles(direct: &[Vec<usize>], users: &[usize]) -> Vec<Vec<usize>> {
    let mut found: Vec<Vec<usize>> = Vec::new();
    let mut seen = vec![false; direct.len()];
    for start in (0..direct.len()).filter(|&at| users[at] > 0) {
        // Depth first, without recursion: the path so far, and which of its dependencies each comes next.
        let mut path: Vec<(usize, usize)> = Vec::new();
        let mut open = Some(start).filter(|&at| !seen[at]);
        while open.is_some() || !path.is_empty() {
            if let Some(at) = open.take() {
                seen[at] = true;
                path.push((at, 0));
            }
            let Some((at, next)) = path.last_mut() else { break };
            let Some(&used) = direct[*at].get(*next) else {
                path.pop();
                continue;
            };
            *next += 1;
            if let Some(from) = path.iter().position(|(at, _)| *at == used) {
                found.push(path[from..].iter().map(|(at, _)| *at).collect());
            } else if !seen[used] {
                open = Some(used);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_before_what_they_use() {
        let graph = |direct: Vec<Vec<usize>>| Graph { rank: rank(&direct).unwrap(), direct };
        let diamond = graph(vec![vec![1, 2], vec![3], vec![3], vec![]]);
        assert_eq!(diamond.closure(0), [2, 1, 3]);
        assert_eq!(diamond.closure(3), [0usize; 0]);
    }

    #[test]
    fn cycles_are_named_by_their_members_only() {
        // 0 leads into the circle 1 -> 2 -> 3, 4 hangs below it, 5 needs itself
        let direct = vec![vec![1], vec![2], vec![3], vec![1, 4], vec![], vec![5]];
        assert_eq!(rank(&direct), Err(vec![vec![1, 2, 3], vec![5]]));
    }
}
