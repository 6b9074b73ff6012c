//! From modules to a load order: each module once, behind its dependencies, softdeps as edges, in buffers that the
//! caller lends.
//!
//! The order is that of kmod's `__kmod_module_get_probe_list`: of a target first its dependencies, leaves first, each
//! between its own pre and post softdeps; then its pre softdeps, itself, its post softdeps. kmod lists a module again
//! where it is reached again, and skips it when loading; here it stands once, at its first place.

use crate::bytes::split_once;
use crate::config::Side;
use crate::error::Error;
use crate::name::modname;
use crate::resolve::{Failure, Match, Resolver};
use heapless::VecView;

/// Most softdeps that may lead from one to the next.
const SOFTDEP_DEPTH: u8 = 32;

/// One module of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Step<'map> {
    line: &'map [u8],
    hash: u32,
    /// What a failure means.
    pub need: Need,
    /// How far it has come.
    pub state: StepState,
}

/// How far the loading of a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Not tried yet.
    Waiting,
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

/// A plan in the making: the steps, in load order, and room to work in.
pub struct Plan<'buf, 'map> {
    /// The modules, in load order.
    pub steps: &'buf mut VecView<Step<'map>>,
    /// Targets whose softdeps are being followed or were.
    visited: &'buf mut VecView<&'map [u8]>,
    /// What softdeps were resolved to, as a stack.
    matches: &'buf mut VecView<Match<'map>>,
}

impl<'map> Step<'map> {
    fn new(line: &'map [u8], need: Need) -> Self {
        Step { line, hash: hash(path(line)), need, state: StepState::Waiting }
    }

    /// Returns the module file's path, relative to /lib/modules/KVER unless it begins with `/`.
    pub fn path(&self) -> &'map [u8] {
        path(self.line)
    }

    /// Yields the paths of all modules it needs, directly or not, leaves last.
    pub fn deps(&self) -> impl DoubleEndedIterator<Item = &'map [u8]> + use<'map> {
        deps(self.line)
    }

    fn is(&self, path: &[u8], hash: u32) -> bool {
        self.hash == hash && self.path() == path
    }
}

impl<'buf, 'map> Plan<'buf, 'map> {
    /// Makes an empty plan in the buffers given, which it clears.
    pub fn new(
        steps: &'buf mut VecView<Step<'map>>,
        visited: &'buf mut VecView<&'map [u8]>,
        matches: &'buf mut VecView<Match<'map>>,
    ) -> Self {
        steps.clear();
        visited.clear();
        matches.clear();
        Plan { steps, visited, matches }
    }

    /// Appends a module, by its line of modules.dep, and all it needs that is not in the plan yet.
    ///
    /// # Errors
    /// [`Failure::Name`] with [`Error::Full`] when the buffers are too small, with [`Error::TooDeep`] where softdeps
    /// nest too deep; [`Failure::Index`] where a softdep's look-up meets a damaged index. What the plan held before
    /// stays in it.
    pub fn add(&mut self, resolver: &Resolver<'map>, line: &'map [u8]) -> Result<(), Failure> {
        let (steps_before, visited_before) = (self.steps.len(), self.visited.len());
        let outcome = self.target(resolver, line, Need::Required, SOFTDEP_DEPTH);
        if outcome.is_err() {
            self.steps.truncate(steps_before);
            self.visited.truncate(visited_before);
            self.matches.clear();
        }
        outcome
    }

    fn target(&mut self, resolver: &Resolver<'map>, line: &'map [u8], need: Need, depth: u8) -> Result<(), Failure> {
        if self.visited.contains(&line) {
            self.note_need(line, need);
            return Ok(());
        }
        let depth = depth.checked_sub(1).ok_or(Failure::Name(Error::TooDeep))?;
        self.visited.push(line).map_err(|_| Failure::Name(Error::Full))?;
        for dep in deps(line).rev() {
            let dep_line = match modname(dep).map(|name| resolver.indexes.dep(&name)) {
                Ok(found) => found?.filter(|found| path(found) == dep),
                Err(_) => None,
            };
            // An index without a line for a dependency: its path is all that is needed.
            self.with_softdeps(resolver, dep_line.unwrap_or(dep), need, depth)?;
        }
        self.with_softdeps(resolver, line, need, depth)
    }

    fn with_softdeps(
        &mut self,
        resolver: &Resolver<'map>,
        line: &'map [u8],
        need: Need,
        depth: u8,
    ) -> Result<(), Failure> {
        if self.note_need(line, need) {
            return Ok(());
        }
        self.softdeps(resolver, line, Side::Pre, depth)?;
        if !self.note_need(line, need) {
            self.steps.push(Step::new(line, need)).map_err(|_| Failure::Name(Error::Full))?;
        }
        self.softdeps(resolver, line, Side::Post, depth)
    }

    fn softdeps(&mut self, resolver: &Resolver<'map>, line: &'map [u8], side: Side, depth: u8) -> Result<(), Failure> {
        let Ok(name) = modname(path(line)) else { return Ok(()) };
        for (_, softdep) in resolver.config.softdeps(&name).filter(|(on, _)| *on == side) {
            let first = self.matches.len();
            resolver.resolve(softdep, self.matches)?;
            let mut at = first;
            while let Some(&found) = self.matches.get(at) {
                if let Match::Module(line) = found {
                    self.target(resolver, line, Need::Optional, depth)?;
                }
                at = at.saturating_add(1);
            }
            self.matches.truncate(first);
        }
        Ok(())
    }

    /// Says whether the module is in the plan; if so, and it is required now, it is from now on.
    fn note_need(&mut self, line: &[u8], need: Need) -> bool {
        let (path, hash) = (path(line), hash(path(line)));
        let Some(step) = self.steps.iter_mut().find(|step| step.is(path, hash)) else { return false };
        if need == Need::Required {
            step.need = need;
        }
        true
    }
}

/// Finds the step of a module, by its path.
pub fn find<'steps, 'map>(steps: &'steps [Step<'map>], path: &[u8]) -> Option<&'steps Step<'map>> {
    let hash = hash(path);
    steps.iter().find(|step| step.is(path, hash))
}

/// Returns the module's path of a modules.dep line.
pub fn path(line: &[u8]) -> &[u8] {
    split_once(line, b':').map_or(line, |(path, _)| path)
}

/// Yields the dependencies of a modules.dep line, leaves last.
pub fn deps(line: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let list = split_once(line, b':').map_or(&[][..], |(_, list)| list);
    list.split(|&byte| byte == b' ').filter(|dep| !dep.is_empty())
}

/// FNV-1a: spares most comparisons of paths.
fn hash(text: &[u8]) -> u32 {
    text.iter().fold(0x811c_9dc5, |sum, &byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
