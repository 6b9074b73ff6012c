// SPDX-License-Identifier: MIT OR Apache-2.0
//! From modules to a load order: each module once, after its dependencies, in buffers that the caller lends.
//!
//! The order is that of kmod's `__kmod_module_get_probe_list`: first the module's dependencies, leaves first, each
//! between its own pre and post softdeps; then its pre softdeps, the module, its post softdeps. kmod lists a module again
//! where it is reached again, and skips it when loading; here it stands once, at its first place.

use super::step::{Need, Step, StepId, StepState, are_in, link, position, relink};
use crate::error::Error;
use crate::modules::config::Side;
use crate::modules::dep_line::DepLine;
use crate::modules::name::modname;
use crate::modules::resolve::{Failure, Match, Resolver};
use crate::seen::SeenSet;
use heapless::VecView;

/// Whether this build has a schedule. A plain loader runs a plan in its order: no step is retired, no edge needed.
const HAS_SCHEDULE: bool = cfg!(any(feature = "boot", not(feature = "device")));

/// Longest chain of softdeps.
const SOFTDEP_DEPTH: u8 = 32;

/// Entries of a plan beside module files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// None.
    Modules,
    /// Softdeps that name an install command.
    Commands,
    /// As kmod prints them: install commands, and softdeps that are built in.
    Listing,
}

/// A softdep between two modules: `before` is loaded first, if it can be loaded.
#[derive(Clone, Copy, Debug)]
pub struct SoftEdge<'map> {
    pub(super) before: DepLine<'map>,
    pub(super) after: DepLine<'map>,
}

/// The steps, in load order, and the buffers to add more.
///
/// ```
/// use initmod::loading::plan::Plan;
/// use initmod::modules::config::Config;
/// use initmod::modules::dep_line::DepLine;
/// use initmod::modules::index::Index;
/// use initmod::modules::resolve::{Indexes, Resolver};
///
/// let resolver = Resolver { indexes: Indexes([Index::EMPTY; 5]), config: Config::new(b"", b"") };
/// let mut steps = heapless::Vec::<_, 8>::new();
/// let (mut visited, mut matches) = (heapless::Vec::<_, 8>::new(), heapless::Vec::<_, 8>::new());
/// let mut plan = Plan::new(&mut steps, &mut visited, &mut matches);
///
/// plan.add(&resolver, DepLine::new(b"e1000e.ko: ptp.ko pps_core.ko")).unwrap();
/// let paths: Vec<_> = plan.steps.iter().map(|step| step.path()).collect();
/// assert_eq!(paths, [&b"pps_core.ko"[..], b"ptp.ko", b"e1000e.ko"]);
/// ```
pub struct Plan<'buf, 'map> {
    /// The modules, in load order.
    pub steps: &'buf mut VecView<Step<'map>>,
    /// Addresses of the dep lines whose softdeps are being followed, or were.
    visited: &'buf mut VecView<*const u8>,
    /// The matches of softdeps, as a stack.
    matches: &'buf mut VecView<Match<'map>>,
    /// The failed look-up of the last softdep that was left out. A softdep is optional, so the plan goes on without it.
    pub left_out: Option<Failure>,
    /// The kinds of entries.
    pub scope: Scope,
    /// Whether the softdeps of requested modules are left out; those of their dependencies stay.
    pub bare: bool,
    /// Softdeps between steps, for a schedule.
    soft_edges: Option<&'buf mut VecView<SoftEdge<'map>>>,
    /// Paths of retired steps, marked if they failed.
    retired: Option<SeenSet<'buf>>,
    /// The id of the first step that is not retired.
    first: StepId,
}

impl<'buf, 'map> Plan<'buf, 'map> {
    /// Creates an empty plan in the given buffers, which it clears.
    pub fn new(
        steps: &'buf mut VecView<Step<'map>>,
        visited: &'buf mut VecView<*const u8>,
        matches: &'buf mut VecView<Match<'map>>,
    ) -> Self {
        steps.clear();
        visited.clear();
        matches.clear();
        Plan {
            steps,
            visited,
            matches,
            left_out: None,
            scope: Scope::Modules,
            bare: false,
            soft_edges: None,
            retired: None,
            first: StepId(0),
        }
    }

    /// Lends the buffers that a [`Schedule`] needs: one for softdeps, and one of zeros to remember retired steps in.
    ///
    /// [`Schedule`]: super::schedule::Schedule
    pub fn scheduled(mut self, soft_edges: &'buf mut VecView<SoftEdge<'map>>, retired: &'buf mut [u64]) -> Self {
        soft_edges.clear();
        self.soft_edges = Some(soft_edges);
        self.retired = Some(SeenSet::new(retired));
        self
    }

    /// Returns the id that the next step will have.
    pub fn end(&self) -> StepId {
        self.id(self.steps.len())
    }

    /// Returns the id of the step at a place of [`Plan::steps`].
    pub fn id(&self, place: usize) -> StepId {
        StepId(self.first.0.wrapping_add(u32::try_from(place).unwrap_or(u32::MAX)))
    }

    /// Returns the place of a step in [`Plan::steps`]; 0 for a retired one.
    pub fn place(&self, id: StepId) -> usize {
        id.0.saturating_sub(self.first.0) as usize
    }

    /// Returns the steps before a step, and the step, unless it is retired.
    pub fn step(&self, id: StepId) -> Option<(&[Step<'map>], &Step<'map>)> {
        let (earlier, rest) = self.steps.split_at_checked(self.place(id)).filter(|_| id >= self.first)?;
        Some((earlier, rest.first()?))
    }

    /// Retires the steps before `end`, all done. The plan remembers them as far as the lent buffer allows; a forgotten one
    /// becomes a step again when it is reached again, and is then found loaded. Returns whether all required ones are in.
    pub(super) fn retire(&mut self, end: StepId) -> bool {
        let count = self.place(end);
        let Some((done, rest)) = self.steps.split_at_checked(count) else { return true };
        let rest_count = rest.len();
        let all_in = are_in(done);
        if let Some(retired) = &mut self.retired {
            for step in done {
                retired.insert(step.path(), step.state == StepState::Failed);
            }
        }
        self.steps.copy_within(count.., 0);
        self.steps.truncate(rest_count);
        relink(self.steps);
        self.first = end;
        self.visited.clear();
        if let Some(edges) = &mut self.soft_edges {
            edges.retain(|edge| position(self.steps, edge.after.path()).is_some());
        }
        all_in
    }

    /// Returns the softdeps between steps, or `None` if the buffer is full, as some may be missing.
    pub(super) fn soft_edges(&self) -> Option<&[SoftEdge<'map>]> {
        self.soft_edges.as_deref().filter(|edges| !edges.is_full()).map(VecView::as_slice)
    }

    /// Whether a module's step is retired and failed.
    pub fn has_failed(&self, path: &[u8]) -> bool {
        self.retired_as(path) == Some(true)
    }

    /// Whether a retired step failed; `None` if unknown.
    fn retired_as(&self, path: &[u8]) -> Option<bool> {
        self.retired.as_ref().filter(|_| HAS_SCHEDULE)?.get(path)
    }

    /// Appends a module, by its line of modules.dep, and all modules it needs that the plan does not have yet. A module
    /// without such a line goes by its name.
    ///
    /// # Errors
    /// [`Failure::Name`] with [`Error::TooManySteps`] when the buffers are too small, with [`Error::TooDeep`] where softdeps
    /// nest too deep, with [`Error::Barred`] where the kernel will refuse the module or one that it needs;
    /// [`Failure::Index`] where the look-up of a dependency meets a damaged index. The steps are then unchanged; an edge
    /// between modules that are not steps has no effect.
    pub fn add(&mut self, resolver: &Resolver<'map>, line: DepLine<'map>) -> Result<(), Failure> {
        let (steps_before, visited_before) = (self.steps.len(), self.visited.len());
        let outcome = self.target(resolver, line, Need::Required, SOFTDEP_DEPTH);
        if outcome.is_err() {
            self.steps.truncate(steps_before);
            self.visited.truncate(visited_before);
            self.matches.clear();
        }
        outcome
    }

    fn target(&mut self, resolver: &Resolver<'map>, line: DepLine<'map>, need: Need, depth: u8) -> Result<(), Failure> {
        if self.visited.contains(&line.as_ptr()) {
            for needed in line.deps().chain([line.path()]) {
                self.note_need(needed, need);
            }
            return Ok(());
        }
        // A command leaves the answer to the kernel, as kmod does.
        if self.scope == Scope::Modules && resolver.config.bars(line) {
            return if need == Need::Required { Err(Failure::Name(Error::Barred)) } else { Ok(()) };
        }
        let depth = depth.checked_sub(1).ok_or(Failure::Name(Error::TooDeep))?;
        self.visited.push(line.as_ptr()).map_err(|_| Failure::Name(Error::TooManySteps))?;
        for dep in line.deps().rev() {
            // Most are: this spares them the look-up.
            if self.is_settled(dep, need) {
                continue;
            }
            let dep_line = match modname(dep).map(|name| resolver.indexes.dep(&name)) {
                Ok(found) => found?.filter(|found| found.path() == dep),
                Err(_) => None,
            };
            // The index has no line for this dependency: its path is enough.
            self.with_softdeps(resolver, dep_line.unwrap_or(DepLine::new(dep)), need, depth)?;
        }
        if self.bare && need == Need::Required {
            self.note_need(line.path(), need);
            return self.push(line, need).map(drop);
        }
        self.with_softdeps(resolver, line, need, depth)
    }

    /// Whether the plan holds a module and its softdeps.
    fn is_settled(&mut self, path: &[u8], need: Need) -> bool {
        match self.note_need(path, need) {
            Some(step) => step.settled,
            None => self.retired_as(path).is_some(),
        }
    }

    /// Appends a step, unless the module has one, and returns its place.
    fn push(&mut self, line: DepLine<'map>, need: Need) -> Result<usize, Failure> {
        let (step, place) = (Step::new(line, need), self.steps.len());
        if let Some(known) = link(self.steps, &step, place) {
            return Ok(known);
        }
        self.steps.push(step).map_err(|_| Failure::Name(Error::TooManySteps))?;
        Ok(place)
    }

    fn with_softdeps(
        &mut self,
        resolver: &Resolver<'map>,
        line: DepLine<'map>,
        need: Need,
        depth: u8,
    ) -> Result<(), Failure> {
        if self.is_settled(line.path(), need) {
            return Ok(());
        }
        // Most modules have none, and the text of modprobe.d is long: search it once.
        let name = line.modname().ok().filter(|name| resolver.config.has_softdeps(name));
        if let Some(name) = &name {
            self.softdeps(resolver, line, name, Side::Pre, depth)?;
        }
        let place = self.push(line, need)?;
        if let Some(name) = &name {
            self.softdeps(resolver, line, name, Side::Post, depth)?;
        }
        if let Some(step) = self.steps.get_mut(place) {
            step.settled = true;
            // A circle of softdeps may have reached it first.
            if need == Need::Required {
                step.need = need;
            }
        }
        Ok(())
    }

    /// Adds the softdeps of one side.
    fn softdeps(
        &mut self,
        resolver: &Resolver<'map>,
        line: DepLine<'map>,
        name: &[u8],
        side: Side,
        depth: u8,
    ) -> Result<(), Failure> {
        for (_, softdep) in resolver.config.softdeps(name).filter(|(on, _)| *on == side) {
            let first = self.matches.len();
            match resolver.resolve(softdep, self.matches) {
                // Not a name, so nothing has it; a softdep may name nothing.
                Err(Failure::Name(Error::BadBrackets | Error::TooLong)) => {}
                Err(failure @ Failure::Index(..)) => self.left_out = Some(failure),
                outcome => drop(outcome?),
            }
            let mut at = first;
            while let Some(&found) = self.matches.get(at) {
                let counts = match found {
                    Match::Module(_) => true,
                    Match::Command(_) => self.scope != Scope::Modules,
                    Match::Builtin(_) => self.scope == Scope::Listing,
                    Match::Missing(_) => false,
                };
                if counts {
                    self.target(resolver, found.dep_line(softdep), Need::Optional, depth)?;
                }
                if let (Match::Module(other), Some(edges)) = (found, &mut self.soft_edges)
                    && HAS_SCHEDULE
                {
                    let (before, after) = if side == Side::Pre { (other, line) } else { (line, other) };
                    let _ = edges.push(SoftEdge { before, after });
                }
                at = at.saturating_add(1);
            }
            self.matches.truncate(first);
        }
        Ok(())
    }

    /// Finds the module's step, and makes it required if `need` is.
    fn note_need(&mut self, path: &[u8], need: Need) -> Option<&mut Step<'map>> {
        let at = position(self.steps, path)?;
        let step = self.steps.get_mut(at)?;
        if need == Need::Required {
            step.need = need;
        }
        Some(step)
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;
    use crate::modules::index::Fault;
    use crate::modules::resolve::IndexFile;
    use crate::modules::resolve::tests::Tree;

    /// Plans `targets` in buffers of the given sizes, and returns each step's name, with `?` if it may fail.
    fn plan_in<const STEPS: usize, const WORK: usize>(
        tree: &Tree,
        targets: &[&str],
    ) -> Result<String, (Failure, String)> {
        let (mut steps, mut visited, mut matches) =
            (heapless::Vec::<_, STEPS>::new(), heapless::Vec::<_, WORK>::new(), heapless::Vec::<_, WORK>::new());
        let resolver = tree.resolver();
        let mut plan = Plan::new(&mut steps, &mut visited, &mut matches);
        let outcome = targets.iter().try_for_each(|target| {
            plan.add(&resolver, resolver.indexes.dep(target.as_bytes()).unwrap().expect("a target is in the tree"))
        });
        let names = plan.steps.iter().map(|step| {
            let name = String::from_utf8(crate::modules::name::stem(step.path()).to_vec()).unwrap();
            if step.need == Need::Optional { name + "?" } else { name }
        });
        let names = names.collect::<Vec<_>>().join(" ");
        outcome.map(|()| names.clone()).map_err(|failure| (failure, names))
    }

    #[track_caller]
    fn plans(tree: &Tree, targets: &[&str], want: &str) {
        assert_eq!(plan_in::<100, 100>(tree, targets).unwrap(), want);
    }

    #[test]
    fn leaves_come_first_and_each_module_once() {
        let tree = Tree::new(&["k/a.ko: k/b.ko k/c.ko", "k/b.ko: k/c.ko", "k/c.ko:", "k/d.ko: k/c.ko"]);
        plans(&tree, &["a"], "c b a");
        plans(&tree, &["a", "d", "b", "a"], "c b a d");
    }

    #[test]
    fn softdeps_stand_around_their_module() {
        let lines = ["k/a.ko: k/b.ko", "k/b.ko:", "k/c.ko: k/d.ko", "k/d.ko:", "k/e.ko:", "k/f.ko:"];
        let tree =
            Tree::new(&lines).config("softdep a pre: c post: e\nsoftdep b pre: f\nsoftdep a pre: unknown post: f\n");
        plans(&tree, &["a"], "f? b d? c? a e?");
    }

    #[test]
    fn softdeps_of_dependencies_and_of_softdeps_count() {
        let tree = Tree::new(&["k/a.ko: k/b.ko", "k/b.ko:", "k/c.ko:", "k/d.ko:"]);
        plans(&tree.config("softdep b post: c\nsoftdep c pre: d\n"), &["a"], "b d? c? a");
    }

    #[test]
    fn a_softdep_may_be_an_alias_of_several_modules() {
        let tree = Tree::new(&["k/a.ko:", "k/c1.ko:", "k/c2.ko:", "k/z.ko:"])
            .with(IndexFile::Alias, &[("crc32*", "c1"), ("crc*", "c2")])
            .config(
                "softdep a pre: crc32c in-kernel a[ cmd\nalias crc32c-x z\ninstall cmd true\nsoftdep z pre: crc32c-x\n",
            );
        plans(&tree, &["a"], "c1? c2? a");
        plans(&tree, &["z"], "z");
    }

    #[test]
    fn cycles_of_softdeps_end() {
        let lines = ["k/a.ko:", "k/b.ko:", "k/c.ko: k/d.ko", "k/d.ko:"];
        let tree =
            Tree::new(&lines).config("softdep a pre: b\nsoftdep b pre: a\nsoftdep d pre: c\nsoftdep c post: c\n");
        plans(&tree, &["a"], "b? a");
        plans(&tree, &["b"], "a? b");
        plans(&tree, &["c"], "d c");
        plans(&tree, &["d"], "d c?");
    }

    #[test]
    fn what_is_required_once_is_required() {
        let tree = Tree::new(&["k/a.ko:", "k/b.ko: k/c.ko", "k/c.ko:"]).config("softdep a post: b\n");
        plans(&tree, &["a"], "a c? b?");
        plans(&tree, &["a", "b"], "a c b");
        let tree = Tree::new(&["k/a.ko: k/b.ko k/c.ko", "k/b.ko: k/c.ko", "k/c.ko:"]).config("softdep c pre: b\n");
        plans(&tree, &["a"], "c b a");
    }

    #[test]
    fn a_dependency_without_a_line_of_its_own_is_planned_by_path() {
        plans(&Tree::new(&["k/a.ko: k/b.ko other/c.ko", "k/c.ko: k/d.ko"]), &["a"], "c b a");
    }

    #[test]
    fn a_barred_module_is_left_out_with_all_that_it_needs() {
        let lines = ["k/a-x.ko: k/b.ko", "k/b.ko:", "k/c.ko: k/a-x.ko k/b.ko", "k/d.ko:"];
        let tree = Tree::new(&lines).config("softdep d pre: c\n").cmdline("module_blacklist=z,a_x");
        let barred = Err((Failure::Name(Error::Barred), String::new()));
        assert_eq!(plan_in::<9, 9>(&tree, &["a_x"]), barred);
        assert_eq!(plan_in::<9, 9>(&tree, &["c"]), barred, "it needs what is barred");
        plans(&tree, &["d"], "d");
    }

    #[test]
    fn full_buffers_leave_the_plan_as_it_was() {
        let lines = ["k/x.ko:", "k/a.ko: k/b.ko k/c.ko", "k/b.ko: k/c.ko", "k/c.ko:", "k/s.ko:", "k/t.ko:"];
        let tree = Tree::new(&lines).config("softdep a pre: x s t\nsoftdep s pre: t\n");
        let full = Failure::Name(Error::TooManySteps);
        plans(&tree, &["x", "a"], "x c b t? s? a");
        for (outcome, what) in
            [(plan_in::<5, 9>(&tree, &["x", "a"]), "steps"), (plan_in::<9, 2>(&tree, &["x", "a"]), "visited")]
        {
            assert_eq!(outcome, Err((full, "x".into())), "{what}");
        }
        assert!(plan_in::<6, 4>(&tree, &["x", "a"]).is_ok(), "just enough");
    }

    #[test]
    fn softdeps_may_nest_but_not_for_ever() {
        let chain = |len: u8| {
            let lines: Vec<_> = (0..len).map(|at| format!("k/m{at}.ko:")).collect();
            let config: String = (1..len).map(|at| format!("softdep m{} pre: m{at}\n", at - 1)).collect();
            Tree::new(&lines.iter().map(String::as_str).collect::<Vec<_>>()).config(&config)
        };
        assert!(plan_in::<100, 100>(&chain(SOFTDEP_DEPTH), &["m0"]).is_ok());
        let too_deep = Err((Failure::Name(Error::TooDeep), "m40".into()));
        assert_eq!(plan_in::<100, 100>(&chain(41), &["m40", "m0"]), too_deep);
    }

    #[test]
    fn a_softdep_in_a_damaged_index_is_left_out_and_reported() {
        let tree = Tree::new(&["k/a.ko:"]).config("softdep a pre: gone\n");
        let tree = tree.with_bytes(IndexFile::Alias, b"\xb0\x07\xf4\x57\0\x02\0\x01\x80\0\0\x20");
        plans(&tree, &["a"], "a");

        let (mut steps, mut visited, mut matches) =
            (heapless::Vec::<_, 9>::new(), heapless::Vec::<_, 9>::new(), heapless::Vec::<_, 9>::new());
        let mut plan = Plan::new(&mut steps, &mut visited, &mut matches);
        plan.add(&tree.resolver(), DepLine::new(b"k/a.ko:")).unwrap();
        let fault = Fault { error: Error::OutOfBounds, off: 32 };
        assert_eq!(plan.left_out, Some(Failure::Index(IndexFile::Alias, fault)));
    }
}
