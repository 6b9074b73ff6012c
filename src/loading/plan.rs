//! From modules to a load order: each module once, behind its dependencies, softdeps as edges, in buffers that the
//! caller lends.
//!
//! The order is that of kmod's `__kmod_module_get_probe_list`: of a target first its dependencies, leaves first, each
//! between its own pre and post softdeps; then its pre softdeps, itself, its post softdeps. kmod lists a module again
//! where it is reached again, and skips it when loading; here it stands once, at its first place, unless the plan is a
//! [`Scope::Listing`].

use crate::error::Error;
use crate::modules::config::Side;
use crate::modules::dep_line::DepLine;
use crate::modules::name::modname;
use crate::modules::resolve::{Failure, Match, Resolver};
use crate::seen::Met;
use heapless::VecView;

/// Steps can be taken out of a plan: not in a loader that has no workers, whose plans stay whole.
const FORGETS: bool = cfg!(any(feature = "boot", not(feature = "device")));

/// Most softdeps that may lead from one to the next.
const SOFTDEP_DEPTH: u8 = 32;

/// One module of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Step<'map> {
    /// Its line of modules.dep, or what there is of one.
    line: DepLine<'map>,
    hash: u32,
    /// The steps behind it are a binary tree by hash: where those with a lower hash go on, and the others; 0 for nowhere.
    /// So one is found in a few hops, and a plan's beginning is a tree of its own.
    links: [u16; 2],
    /// All its softdeps are in the plan.
    settled: bool,
    /// What a failure means.
    pub need: Need,
    /// How far it has come.
    pub state: StepState,
    /// How often it was handed to the kernel, by a schedule.
    pub tries: u8,
    /// Whether modules are configured to be loaded before or after it.
    pub has_softdeps: bool,
}

/// How far the loading of a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Not tried yet.
    Waiting,
    /// Handed to the kernel, which has not answered yet.
    Running,
    /// Tried in vain, to be tried once more when all else is done.
    Retry,
    /// In the kernel.
    In,
    /// Tried in vain.
    Failed,
}

/// What it means when a module can't be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Asked for, or a dependency of what was: a failure is one.
    Required,
    /// Reached by softdeps only: it may fail.
    Optional,
}

/// What a plan holds beside module files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nothing.
    Modules,
    /// Softdeps that are names of commands.
    Commands,
    /// Those, softdeps that are built in, and modules again where they are reached again: what kmod prints.
    Listing,
}

/// A plan in the making: the steps, in load order, and room to work in.
pub struct Plan<'buf, 'map> {
    /// The modules, in load order.
    pub steps: &'buf mut VecView<Step<'map>>,
    /// Where the lines of targets begin whose softdeps are being followed or were.
    visited: &'buf mut VecView<*const u8>,
    /// What softdeps were resolved to, as a stack.
    matches: &'buf mut VecView<Match<'map>>,
    /// Why a softdep was left out last: its look-up failed. It is optional, so the plan goes on without.
    pub left_out: Option<Failure>,
    /// What it holds.
    pub scope: Scope,
    /// Whether the softdeps of what is asked for are left out; those of its dependencies are not.
    pub bare: bool,
    /// Paths of the steps that were taken out, marked where they failed; nothing where none can be.
    past: [Met<'buf>; FORGETS as usize],
}

impl<'map> Step<'map> {
    fn new(line: DepLine<'map>, need: Need) -> Self {
        Step {
            line,
            hash: hash(line.path()),
            links: [0; 2],
            settled: false,
            need,
            state: StepState::Waiting,
            tries: 0,
            has_softdeps: false,
        }
    }

    /// Returns the module file's path, relative to /lib/modules/KVER unless it begins with `/`.
    pub fn path(&self) -> &'map [u8] {
        self.line.path()
    }

    /// Yields the paths of all modules it needs, directly or not, leaves last.
    pub fn deps(&self) -> impl DoubleEndedIterator<Item = &'map [u8]> + use<'map> {
        self.line.deps()
    }

    fn is(&self, path: &[u8], hash: u32) -> bool {
        self.hash == hash && self.path() == path
    }

    fn link(&mut self, hash: u32) -> &mut u16 {
        let [lower, other] = &mut self.links;
        if hash < self.hash { lower } else { other }
    }
}

impl<'buf, 'map> Plan<'buf, 'map> {
    /// Makes an empty plan in the buffers given, which it clears.
    pub fn new(
        steps: &'buf mut VecView<Step<'map>>,
        visited: &'buf mut VecView<*const u8>,
        matches: &'buf mut VecView<Match<'map>>,
    ) -> Self {
        steps.clear();
        visited.clear();
        matches.clear();
        let past = core::array::from_fn(|_| Met::new(&mut []));
        Plan { steps, visited, matches, left_out: None, scope: Scope::Modules, bare: false, past }
    }

    /// Gives it room to remember steps by that are taken out.
    pub fn remembering(mut self, room: &'buf mut [u64]) -> Self {
        if let Some(past) = self.past.first_mut() {
            *past = Met::new(room);
        }
        self
    }

    /// Takes out steps at the beginning that are done. They are remembered, as far as there is room; what is forgotten
    /// is a step again when it is reached again, and found to be in. Returns whether all that were required are in.
    pub fn retire(&mut self, count: usize) -> bool {
        let Some((done, rest)) = self.steps.split_at_checked(count) else { return true };
        let rest_count = rest.len();
        let all_in = are_in(done);
        for step in done {
            let is_failed = step.state == StepState::Failed;
            for past in &mut self.past {
                past.note(step.path(), is_failed);
            }
        }
        self.steps.copy_within(count.., 0);
        self.steps.truncate(rest_count);
        self.visited.clear();
        let mut taken = 0;
        while let Some((before, [step, ..])) = self.steps.split_at_mut_checked(taken) {
            step.links = [0; 2];
            let hash = step.hash;
            if let Err(parent) = locate(before, step.path())
                && let Some(parent) = before.get_mut(parent)
            {
                *parent.link(hash) = taken as u16;
            }
            taken = taken.saturating_add(1);
        }
        all_in
    }

    /// Says whether a module's step was taken out and had failed.
    pub fn has_failed(&self, path: &[u8]) -> bool {
        self.past_of(path) == Some(true)
    }

    /// Says of a step that was taken out whether it failed.
    fn past_of(&self, path: &[u8]) -> Option<bool> {
        self.past.first().and_then(|past| past.get(path))
    }

    /// Appends a module, by its line of modules.dep, and all it needs that is not in the plan yet. What has no such line
    /// goes by its name.
    ///
    /// # Errors
    /// [`Failure::Name`] with [`Error::Full`] when the buffers are too small, with [`Error::TooDeep`] where softdeps
    /// nest too deep; [`Failure::Index`] where the look-up of a dependency meets a damaged index. What the plan held
    /// before stays in it.
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
        // A line of the index is always the same bytes, at the same place: no need to compare these.
        if self.visited.contains(&line.as_ptr()) {
            for needed in line.deps().chain([line.path()]) {
                self.note_need(needed, need);
            }
            return Ok(());
        }
        let depth = depth.checked_sub(1).ok_or(Failure::Name(Error::TooDeep))?;
        self.visited.push(line.as_ptr()).map_err(|_| Failure::Name(Error::Full))?;
        for dep in line.deps().rev() {
            // Most are: spare them the look-up.
            if self.is_settled(dep, need) {
                continue;
            }
            let dep_line = match modname(dep).map(|name| resolver.indexes.dep(&name)) {
                Ok(found) => found?.filter(|found| found.path() == dep),
                Err(_) => None,
            };
            // An index without a line for a dependency: its path is all that is needed.
            self.with_softdeps(resolver, dep_line.unwrap_or(DepLine::new(dep)), need, depth)?;
        }
        if self.bare && need == Need::Required {
            self.note_need(line.path(), need);
            return self.push(line, need).map(drop);
        }
        self.with_softdeps(resolver, line, need, depth)
    }

    /// Says whether a module and its softdeps are in the plan.
    fn is_settled(&mut self, path: &[u8], need: Need) -> bool {
        self.scope != Scope::Listing
            && match self.note_need(path, need) {
                Some(step) => step.settled,
                None => self.past_of(path).is_some(),
            }
    }

    /// Appends a step, unless the module has one, and returns its place.
    fn push(&mut self, line: DepLine<'map>, need: Need) -> Result<usize, Failure> {
        let step = Step::new(line, need);
        let at = self.steps.len();
        match locate(self.steps, step.path()) {
            Ok(known) if self.scope != Scope::Listing => return Ok(known),
            Ok(_) => {}
            Err(parent) => {
                if let Some(parent) = self.steps.get_mut(parent) {
                    *parent.link(step.hash) = at as u16; // a plan's room is for no more
                }
            }
        }
        self.steps.push(step).map_err(|_| Failure::Name(Error::Full))?;
        Ok(at)
    }

    fn with_softdeps(
        &mut self,
        resolver: &Resolver<'map>,
        line: DepLine<'map>,
        need: Need,
        depth: u8,
    ) -> Result<(), Failure> {
        let path = line.path();
        if self.is_settled(path, need) {
            return Ok(());
        }
        // Most have none, and the text of all is long: look once.
        let has_softdeps = modname(path).is_ok_and(|name| resolver.config.has_softdeps(&name));
        if has_softdeps {
            self.softdeps(resolver, line, Side::Pre, depth)?;
        }
        let at = self.push(line, need)?;
        if has_softdeps {
            self.softdeps(resolver, line, Side::Post, depth)?;
        }
        if let Some(step) = self.steps.get_mut(at) {
            step.settled = true;
            step.has_softdeps = has_softdeps;
            // A softdep in a circle may have led here first.
            if need == Need::Required {
                step.need = need;
            }
        }
        Ok(())
    }

    fn softdeps(
        &mut self,
        resolver: &Resolver<'map>,
        line: DepLine<'map>,
        side: Side,
        depth: u8,
    ) -> Result<(), Failure> {
        let Ok(name) = line.modname() else { return Ok(()) };
        for (_, softdep) in resolver.config.softdeps(&name).filter(|(on, _)| *on == side) {
            let first = self.matches.len();
            match resolver.resolve(softdep, self.matches) {
                // A word that can't be a name is an unknown name, which a softdep may be.
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
                at = at.saturating_add(1);
            }
            self.matches.truncate(first);
        }
        Ok(())
    }

    /// Finds the module's step, if it is in the plan; when it is required now, it is from now on.
    fn note_need(&mut self, path: &[u8], need: Need) -> Option<&mut Step<'map>> {
        let at = position(self.steps, path)?;
        let step = self.steps.get_mut(at)?;
        if need == Need::Required {
            step.need = need;
        }
        Some(step)
    }
}

/// Says whether all steps that are required are in.
pub fn are_in(steps: &[Step<'_>]) -> bool {
    let mut required = steps.iter().filter(|step| step.need == Need::Required);
    required.all(|step| step.state == StepState::In)
}

/// Finds the step of a module, by its path.
pub fn find<'steps, 'map>(steps: &'steps [Step<'map>], path: &[u8]) -> Option<&'steps Step<'map>> {
    steps.get(position(steps, path)?)
}

/// Finds the place of a module's step, by its path.
pub fn position(steps: &[Step<'_>], path: &[u8]) -> Option<usize> {
    locate(steps, path).ok()
}

/// The same; or else the step that would link to the module's.
#[inline(never)] // of many callers, one copy
fn locate(steps: &[Step<'_>], path: &[u8]) -> Result<usize, usize> {
    let hash = hash(path);
    let (mut parent, mut at) = (0, 0);
    while let Some(step) = steps.get(at) {
        if step.is(path, hash) {
            return Ok(at);
        }
        parent = at;
        let [lower, other] = step.links;
        at = if hash < step.hash { lower } else { other }.into();
        // Links lead on; 0 leads nowhere. Past the end are steps that were taken back, or that are not in the part given.
        if at <= parent {
            break;
        }
    }
    Err(parent)
}

/// Mixes the end of a path, in which modules differ most. What is shorter is no path of a tree.
fn hash(path: &[u8]) -> u32 {
    let Some(tail) = path.last_chunk::<16>() else { return 0 };
    let (words, _) = tail.as_chunks::<4>();
    words.iter().fold(0, |sum: u32, word| (sum.rotate_left(5) ^ u32::from_ne_bytes(*word)).wrapping_mul(0x9e37_79b1))
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;
    use crate::modules::index::Fault;
    use crate::modules::resolve::IndexFile;
    use crate::modules::resolve::tests::Tree;

    /// Plans for `targets` in rooms of the sizes given, and returns each step's name, with `?` where it may fail.
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
    fn full_buffers_leave_the_plan_as_it_was() {
        let lines = ["k/x.ko:", "k/a.ko: k/b.ko k/c.ko", "k/b.ko: k/c.ko", "k/c.ko:", "k/s.ko:", "k/t.ko:"];
        let tree = Tree::new(&lines).config("softdep a pre: x s t\nsoftdep s pre: t\n");
        let full = Failure::Name(Error::Full);
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
    fn a_softdep_in_a_damaged_index_is_left_out_and_told() {
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
