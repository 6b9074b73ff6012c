// SPDX-License-Identifier: MIT OR Apache-2.0
//! The order of a plan against kmod's own walk, on random trees with softdeps in every direction.

use initmod::loading::plan::Plan;
use initmod::loading::step::Need;
use initmod::modules::config::Config;
use initmod::modules::index::{Builder, Index};
use initmod::modules::resolve::{IndexFile, Indexes, Resolver};
use proptest::collection::vec;
use proptest::prelude::*;

const COUNT: usize = 8;

/// A tree of modules `m0` to `m7`, by their numbers.
#[derive(Debug)]
struct Tree {
    /// All that a module needs: higher numbers, so that there is no cycle.
    deps: Vec<Vec<usize>>,
    /// What each has before and after it.
    softdeps: Vec<(Vec<usize>, Vec<usize>)>,
}

/// kmod's `__kmod_module_get_probe_list`: lists a module again where it is reached again.
struct ProbeList<'a> {
    tree: &'a Tree,
    visited: [bool; COUNT],
    list: Vec<usize>,
}

impl ProbeList<'_> {
    fn target(&mut self, module: usize) {
        if !std::mem::replace(&mut self.visited[module], true) {
            for dep in self.tree.deps[module].iter().rev() {
                self.with_softdeps(*dep);
            }
            self.with_softdeps(module);
        }
    }

    fn with_softdeps(&mut self, module: usize) {
        let (pre, post) = &self.tree.softdeps[module];
        pre.iter().for_each(|softdep| self.target(*softdep));
        self.list.push(module);
        post.iter().for_each(|softdep| self.target(*softdep));
    }
}

impl Tree {
    fn path(module: usize) -> String {
        format!("k/m{module}.ko")
    }

    fn dep_bin(&self) -> Vec<u8> {
        let mut builder = Builder::new();
        for (module, deps) in self.deps.iter().enumerate() {
            let deps: String = deps.iter().map(|dep| format!(" {}", Tree::path(*dep))).collect();
            let line = format!("{}:{deps}", Tree::path(module));
            builder.insert(format!("m{module}").as_bytes(), line.as_bytes(), module as u32).unwrap();
        }
        builder.emit().unwrap()
    }

    fn config(&self) -> String {
        let names = |list: &[usize]| list.iter().map(|module| format!(" m{module}")).collect::<String>();
        let line = |(module, (pre, post)): (usize, &(Vec<_>, Vec<_>))| {
            format!("softdep m{module} pre:{} post:{}\n", names(pre), names(post))
        };
        self.softdeps.iter().enumerate().map(line).collect()
    }

    /// Returns the planned modules, in order, and whether each is required.
    fn plan(&self, target: usize) -> Vec<(usize, bool)> {
        let (dep_bin, config) = (self.dep_bin(), self.config());
        let mut indexes = Indexes([Index::EMPTY; 5]);
        indexes.0[IndexFile::Dep as usize] = Index::new(&dep_bin).unwrap();
        let resolver = Resolver { indexes, config: Config::new(config.as_bytes(), b"") };
        let mut steps = heapless::Vec::<_, COUNT>::new();
        let (mut visited, mut matches) = (heapless::Vec::<_, COUNT>::new(), heapless::Vec::<_, 64>::new());
        let line = indexes.dep(format!("m{target}").as_bytes()).unwrap().unwrap();
        Plan::new(&mut steps, &mut visited, &mut matches).add(&resolver, line).unwrap();
        let number = |path: &[u8]| (0..COUNT).find(|module| Tree::path(*module).as_bytes() == path).unwrap();
        steps.iter().map(|step| (number(step.path()), step.need == Need::Required)).collect()
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let softdeps = vec((vec(0..COUNT, 0..3), vec(0..COUNT, 0..3)), COUNT);
    (vec(any::<u8>(), COUNT), softdeps).prop_map(|(bits, softdeps)| {
        let mut deps = vec![Vec::new(); COUNT];
        for module in (0..COUNT).rev() {
            let direct = (module + 1..COUNT).filter(|dep| bits[module] >> dep & 1 == 1);
            let mut all: Vec<usize> =
                direct.flat_map(|dep| deps[dep].iter().copied().chain([dep]).collect::<Vec<_>>()).collect();
            all.sort_unstable();
            all.dedup();
            deps[module] = all;
        }
        Tree { deps, softdeps }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn the_order_is_that_of_kmod(tree in trees(), target in 0..COUNT) {
        let mut kmod = ProbeList { tree: &tree, visited: [false; COUNT], list: Vec::new() };
        kmod.target(target);
        let plan = tree.plan(target);
        let planned: Vec<_> = plan.iter().map(|(module, _)| *module).collect();
        let mut want = Vec::new();
        kmod.list.iter().for_each(|module| if !want.contains(module) { want.push(*module) });
        prop_assert_eq!(&planned, &want, "{:?}", kmod.list);
        for (at, (module, required)) in plan.iter().enumerate() {
            prop_assert!(tree.deps[*module].iter().all(|dep| planned[..at].contains(dep)), "m{} before what it needs", module);
            prop_assert_eq!(*required, *module == target || tree.deps[target].contains(module), "m{}", module);
        }
    }
}
