// SPDX-License-Identifier: MIT OR Apache-2.0
//! The steps of a plan that may go next, when several are loaded in parallel: the state machine, without the workers.
//!
//! A step goes as soon as its dependencies are in and its softdeps are done, in or not; there are no barriers. Of the
//! steps that may go, the first in the plan goes: modules requested first lead to the root. An edge counts only if it
//! agrees with the plan's order, in which everything can be loaded: so no circle of softdeps can stop the run. A step that
//! failed for a reason that another order may mend is tried once more, alone, after all others. A module that is marked
//! serial goes alone.

use super::kernel::{Errno, Outcome, Refusal};
use super::plan::Plan;
use super::step::{Step, StepId, StepState, position};
use crate::bytes::split;
use crate::modules::config::lines;
use crate::modules::name::{modname, same};
use core::num::NonZeroU32;
use heapless::VecView;

/// A step that has to be done before another goes. The edges of a step are a linked list.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    before: u16,
    /// A softdep: done if `before` failed.
    is_soft: bool,
    next: Option<NonZeroU32>,
}

/// The edges between the steps of a plan, and its progress, in buffers that the caller lends.
pub struct Schedule<'buf> {
    edges: &'buf mut VecView<Edge>,
    /// For each step: the number, from 1, of its first edge that may be open.
    firsts: &'buf mut VecView<Option<NonZeroU32>>,
    /// The number of the plan's softdeps that are edges.
    soft_count: usize,
    /// All steps before this one are done.
    first_open: StepId,
    /// The number of steps that the kernel is loading.
    running_count: u32,
    /// Whether the running step has to be the only one.
    is_alone: bool,
    /// Whether steps go one at a time, in the plan's order.
    in_order: bool,
    /// Names of modules that go alone, separated by commas.
    alone_names: &'buf [u8],
    /// More such names, one a line.
    marked: &'buf [u8],
}

impl<'buf> Schedule<'buf> {
    /// Creates an empty schedule. `serial` is the value of `initmod.serial=`: `1` for one module at a time, or the names,
    /// separated by commas, of modules that go alone. `marked` has more such names, one a line; `#` begins a comment.
    pub fn new(
        edges: &'buf mut VecView<Edge>,
        firsts: &'buf mut VecView<Option<NonZeroU32>>,
        serial: &'buf [u8],
        marked: &'buf [u8],
    ) -> Self {
        edges.clear();
        firsts.clear();
        Schedule {
            edges,
            firsts,
            soft_count: 0,
            first_open: StepId(0),
            running_count: 0,
            is_alone: false,
            in_order: serial == b"1",
            alone_names: serial,
            marked,
        }
    }

    /// Makes edges for the steps that were added to the plan since the last call. If the buffers are full, steps go one at
    /// a time, in the plan's order, from now on.
    pub fn extend(&mut self, plan: &Plan<'_, '_>) {
        let steps = &plan.steps[..];
        let taken = self.firsts.len();
        if self.firsts.resize(steps.len(), None).is_err() || steps.len() > usize::from(u16::MAX) {
            self.in_order = true;
        }
        for (at, step) in steps.iter().enumerate().skip(taken) {
            if self.in_order {
                return;
            }
            if step.is_done() || step.state == StepState::Running {
                continue; // it has started: nothing can hold it back
            }
            for dep in step.deps() {
                if let Some(before) = position(steps, dep) {
                    self.hold_back(steps, before, at, false);
                }
            }
        }
        let Some(soft_edges) = plan.soft_edges() else {
            self.in_order = true;
            return;
        };
        for edge in soft_edges.iter().skip(self.soft_count) {
            if let Some(before) = position(steps, edge.before.path())
                && let Some(after) = position(steps, edge.after.path())
            {
                self.hold_back(steps, before, after, true);
            }
        }
        self.soft_count = soft_edges.len();
    }

    fn hold_back(&mut self, steps: &[Step<'_>], before: usize, after: usize, is_soft: bool) {
        if before >= after || is_settled(steps, before, is_soft) {
            return;
        }
        let number = u32::try_from(self.edges.len().saturating_add(1)).ok().and_then(NonZeroU32::new);
        let Some(first) = self.firsts.get_mut(after) else { return };
        match u16::try_from(before) {
            Ok(before) if self.edges.push(Edge { before, is_soft, next: *first }).is_ok() => *first = number,
            _ => self.in_order = true,
        }
    }

    /// Whether nothing holds a step back. An edge that is found done is never looked at again.
    fn is_free(&mut self, steps: &[Step<'_>], at: usize) -> bool {
        let Some(first) = self.firsts.get_mut(at).filter(|_| !self.in_order) else { return true };
        while let Some(number) = *first {
            let Some(edge) = self.edges.get((number.get() as usize).saturating_sub(1)) else { return true };
            if !is_settled(steps, edge.before.into(), edge.is_soft) {
                return false;
            }
            *first = edge.next;
        }
        true
    }

    /// Retires the finished steps at the plan's beginning. Returns whether all required ones among them are in.
    /// [`Schedule::extend`] makes the edges of the others anew.
    pub fn retire(&mut self, plan: &mut Plan<'_, '_>) -> bool {
        self.edges.clear();
        self.firsts.clear();
        self.soft_count = 0;
        plan.retire(self.first_open)
    }

    /// Returns the number of steps that are not done.
    pub fn open_count(&self, plan: &Plan<'_, '_>) -> usize {
        plan.steps.iter().skip(self.done_count(plan)).filter(|step| !step.is_done()).count()
    }

    /// Returns the number of finished steps at the plan's beginning.
    pub fn done_count(&self, plan: &Plan<'_, '_>) -> usize {
        plan.place(self.first_open)
    }

    /// Whether the kernel is loading no module.
    pub fn is_idle(&self) -> bool {
        self.running_count == 0
    }

    /// Picks the next step among those before `end` and marks it as running; `None` if one has to be waited for, or none
    /// is left.
    pub fn next(&mut self, plan: &mut Plan<'_, '_>, end: StepId) -> Option<StepId> {
        if self.is_alone || self.in_order && !self.is_idle() {
            return None;
        }
        let mut first = self.done_count(plan);
        while plan.steps.get(first).is_some_and(Step::is_done) {
            first = first.saturating_add(1);
        }
        self.first_open = plan.id(first);
        let end = plan.place(end);
        let steps = plan.steps.get_mut(..end).unwrap_or_default();
        let open = || steps.iter().enumerate().skip(first);
        let waiting = |step: &Step<'_>| step.state == StepState::Waiting;
        let ready = open().find(|(at, step)| waiting(step) && self.is_free(steps, *at)).map(|(at, _)| at);
        let alone = ready.and_then(|at| steps.get(at)).is_some_and(|step| self.goes_alone(step));
        let (at, alone) = match ready {
            Some(at) if !alone => (at, false),
            _ if !self.is_idle() => return None,
            Some(at) => (at, true),
            None => {
                let again = open().find(|(_, step)| step.state == StepState::Retry);
                // No edge closes a circle, so nothing waits in vain; if something did, it would go now.
                let (at, _) = again.or_else(|| open().find(|(_, step)| waiting(step)))?;
                (at, true)
            }
        };
        let step = steps.get_mut(at)?;
        step.state = StepState::Running;
        step.tries = step.tries.saturating_add(1);
        self.running_count = self.running_count.saturating_add(1);
        self.is_alone = alone;
        Some(plan.id(at))
    }

    fn goes_alone(&self, step: &Step<'_>) -> bool {
        let listed = split(self.alone_names, b',');
        let mut names = listed.chain(lines(self.marked).map(|line| line.text));
        !(self.alone_names.is_empty() && self.marked.is_empty())
            && modname(step.path()).is_ok_and(|name| names.any(|word| same(word, &name)))
    }

    /// Records the outcome of a running step. Returns false if it will be retried.
    pub fn done(&mut self, plan: &mut Plan<'_, '_>, id: StepId, outcome: Outcome<'_>) -> bool {
        self.running_count = self.running_count.saturating_sub(1);
        self.is_alone = false;
        let place = plan.place(id);
        let Some(step) = plan.steps.get_mut(place) else { return true };
        let again = match outcome {
            Outcome::Refused(refusal) => step.tries < 2 && !self.in_order && order_may_mend(refusal),
            _ => false,
        };
        step.state = match outcome {
            _ if outcome.is_in() => StepState::In,
            _ if again => StepState::Retry,
            _ => StepState::Failed,
        };
        !again
    }
}

/// Whether no other step has to wait for the step at `at`; by a softdep, only its first try counts.
fn is_settled(steps: &[Step<'_>], at: usize, is_soft: bool) -> bool {
    steps.get(at).is_none_or(|step| step.is_done() || is_soft && step.state == StepState::Retry)
}

/// Whether another order, or less in parallel, may help. A second try makes the kernel check the signature again, three
/// quarters of a module's time: a lasting refusal is not tried again.
fn order_may_mend(refusal: Refusal) -> bool {
    match refusal {
        Refusal::Kernel(errno) => !matches!(
            errno,
            Errno::EPERM
                | Errno::ENOEXEC
                | Errno::ENODEV
                | Errno::ENOKEY
                | Errno::EKEYEXPIRED
                | Errno::EKEYREVOKED
                | Errno::EKEYREJECTED
        ),
        Refusal::NoMemory => true,
        // After a crash in the kernel a second try may wait for the first without end.
        Refusal::File(_)
        | Refusal::Damaged
        | Refusal::NoDecoder
        | Refusal::Killed(_)
        | Refusal::Late
        | Refusal::Command(_) => false,
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;
    use crate::loading::step::find;
    use crate::modules::resolve::tests::Tree;

    impl Schedule<'_> {
        fn next_of_all(&mut self, plan: &mut Plan<'_, '_>) -> Option<StepId> {
            let end = plan.end();
            self.next(plan, end)
        }
    }

    const EINVAL: Outcome<'_> = Outcome::Refused(Refusal::Kernel(Errno::EINVAL));
    const ENODEV: Outcome<'_> = Outcome::Refused(Refusal::Kernel(Errno::ENODEV));

    /// The number of orders tried. Miri is a thousand times slower.
    const ORDERS: u32 = if cfg!(miri) { 2 } else { 200 };

    /// Loads `targets`, of which `serial` names some to go alone (behind its first line those of the file), on `workers`
    /// that finish in an order that `random` decides, and returns what happened: `+a` for a start, `-a` for an end. `answer` gives the outcome of a module's try.
    fn simulate(
        tree: &Tree,
        targets: &[&str],
        serial: &str,
        workers: usize,
        random: u32,
        answer: impl Fn(&str, u8) -> Outcome<'static>,
    ) -> Vec<String> {
        let resolver = tree.resolver();
        let mut steps = heapless::Vec::<_, 64>::new();
        let (mut visited, mut matches) = (heapless::Vec::<_, 64>::new(), heapless::Vec::<_, 64>::new());
        let mut soft_edges = heapless::Vec::<_, 64>::new();
        let mut plan = Plan::new(&mut steps, &mut visited, &mut matches).scheduled(&mut soft_edges, &mut []);
        for target in targets {
            plan.add(&resolver, resolver.indexes.dep(target.as_bytes()).unwrap().unwrap()).unwrap();
        }
        let (mut edges, mut firsts) = (heapless::Vec::<_, 256>::new(), heapless::Vec::<_, 64>::new());
        let (said, marked) = serial.split_once('\n').unwrap_or((serial, ""));
        let mut schedule = Schedule::new(&mut edges, &mut firsts, said.as_bytes(), marked.as_bytes());
        schedule.extend(&plan);
        let (mut running, mut happened, mut random) = (Vec::new(), Vec::new(), random);
        loop {
            while running.len() < workers
                && let Some(id) = schedule.next_of_all(&mut plan)
            {
                happened.push(format!("+{}", name(plan.step(id).unwrap().1)));
                running.push(id);
            }
            if running.is_empty() {
                assert!(plan.steps.iter().all(Step::is_done));
                return happened;
            }
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let id = running.swap_remove((random >> 8) as usize % running.len());
            let step = *plan.step(id).unwrap().1;
            let failed = step.deps().find(|dep| find(plan.steps, dep).unwrap().state == StepState::Failed);
            let outcome = failed.map_or(answer(&name(&step), step.tries), Outcome::Needs);
            schedule.done(&mut plan, id, outcome);
            happened.push(format!("-{}", name(&step)));
        }
    }

    fn name(step: &Step<'_>) -> String {
        String::from_utf8(crate::modules::name::stem(step.path()).to_vec()).unwrap()
    }

    fn loaded(_: &str, _: u8) -> Outcome<'static> {
        Outcome::Loaded
    }

    /// Asserts that `before` ended before `after` began.
    #[track_caller]
    fn precedes(happened: &[String], before: &str, after: &str) {
        let at = |what: String| happened.iter().position(|event| *event == what).unwrap_or_else(|| panic!("no {what}"));
        assert!(at(format!("-{before}")) < at(format!("+{after}")), "{happened:?}");
    }

    const LINES: [&str; 7] =
        ["k/a.ko: k/b.ko k/c.ko", "k/b.ko: k/c.ko", "k/c.ko:", "k/d.ko: k/c.ko", "k/e.ko:", "k/f.ko:", "k/g.ko:"];

    #[test]
    fn dependencies_and_softdeps_are_edges_in_every_order_of_ends() {
        let tree = Tree::new(&LINES).config("softdep a pre: e post: f\nsoftdep d pre: g\n");
        for random in 0..ORDERS {
            let happened = simulate(&tree, &["g", "a", "d"], "", 3, random, loaded);
            for (before, after) in [("c", "b"), ("b", "a"), ("c", "d"), ("e", "a"), ("a", "f"), ("g", "d")] {
                precedes(&happened, before, after);
            }
            assert_eq!(happened.len(), 14, "each once: {happened:?}");
        }
    }

    #[test]
    fn what_needs_nothing_goes_at_once() {
        let happened = simulate(&Tree::new(&LINES), &["e", "f", "g"], "", 3, 1, loaded);
        assert_eq!(happened[..3], ["+e", "+f", "+g"]);
    }

    #[test]
    fn a_cycle_of_softdeps_stops_nothing() {
        let tree = Tree::new(&LINES).config("softdep e pre: f\nsoftdep f pre: g\nsoftdep g pre: e\n");
        for random in 0..ORDERS {
            assert_eq!(simulate(&tree, &["e", "f", "g"], "", 2, random, loaded).len(), 6);
        }
    }

    #[test]
    fn a_post_softdep_of_a_module_that_is_planned_later_is_an_edge() {
        let tree = Tree::new(&LINES).config("softdep e pre: f\nsoftdep f post: g\nsoftdep g post: e\n");
        for random in 0..ORDERS {
            let happened = simulate(&tree, &["e"], "", 3, random, loaded);
            for (before, after) in [("f", "g"), ("f", "e"), ("g", "e")] {
                precedes(&happened, before, after);
            }
        }
    }

    #[test]
    fn a_failure_is_tried_once_more_when_all_else_is_done() {
        let answer = |name: &str, tries| if name == "c" && tries == 1 { EINVAL } else { Outcome::Loaded };
        for random in 0..ORDERS {
            let happened = simulate(&Tree::new(&LINES), &["a", "e", "f"], "", 2, random, answer);
            assert_eq!(happened.iter().filter(|event| *event == "+c").count(), 2);
            let again = happened.iter().rposition(|event| event == "+c").unwrap();
            assert_eq!(happened[again..], ["+c", "-c", "+b", "-b", "+a", "-a"], "what needs it waits");
        }
    }

    #[test]
    fn what_no_order_mends_is_tried_once() {
        let answer = |name: &str, _| if name == "c" { ENODEV } else { Outcome::Loaded };
        let happened = simulate(&Tree::new(&LINES), &["a", "e"], "", 2, 1, answer);
        assert_eq!(happened.iter().filter(|event| *event == "+c").count(), 1);
    }

    #[test]
    fn a_softdep_that_failed_holds_nobody_back() {
        let tree = Tree::new(&LINES).config("softdep e pre: f\n");
        let answer = |name: &str, _| if name == "f" { EINVAL } else { Outcome::Loaded };
        let happened = simulate(&tree, &["e"], "", 2, 1, answer);
        assert_eq!(happened, ["+f", "-f", "+e", "-e", "+f", "-f"]);
    }

    #[test]
    fn serial_is_the_order_of_the_plan() {
        let happened = simulate(&Tree::new(&LINES), &["a", "d", "e"], "1", 4, 7, |_, _| EINVAL);
        assert_eq!(happened.join(""), "+c-c+b-b+a-a+d-d+e-e", "and nothing is tried twice");
    }

    #[test]
    fn a_marked_module_goes_alone() {
        for (random, serial) in (0..ORDERS).flat_map(|random| [(random, "x,f"), (random, "\n# g\nx\n f \n")]) {
            let happened = simulate(&Tree::new(&LINES), &["e", "f", "g"], serial, 3, random, loaded);
            let at = happened.iter().position(|event| event == "+f").unwrap();
            assert_eq!(happened[at + 1], "-f");
            precedes(&happened, "e", "f");
        }
    }

    #[test]
    fn without_room_for_edges_the_order_is_kept() {
        let tree = Tree::new(&LINES);
        let resolver = tree.resolver();
        let mut steps = heapless::Vec::<_, 9>::new();
        let (mut visited, mut matches) = (heapless::Vec::<_, 9>::new(), heapless::Vec::<_, 9>::new());
        let line = resolver.indexes.dep(b"a").unwrap().unwrap();
        let mut soft_edges = heapless::Vec::<_, 9>::new();
        let mut plan = Plan::new(&mut steps, &mut visited, &mut matches).scheduled(&mut soft_edges, &mut []);
        plan.add(&resolver, line).unwrap();
        let (mut edges, mut firsts) = (heapless::Vec::<_, 1>::new(), heapless::Vec::<_, 9>::new());
        let mut schedule = Schedule::new(&mut edges, &mut firsts, b"", b"");
        schedule.extend(&plan);
        let mut order = Vec::new();
        while let Some(id) = schedule.next_of_all(&mut plan) {
            assert_eq!(schedule.next_of_all(&mut plan), None, "one at a time");
            order.push(id);
            schedule.done(&mut plan, id, Outcome::Loaded);
        }
        assert_eq!(order, [0, 1, 2].map(StepId));
    }

    /// Steps are retired as they are done, and modules requested as few are open: nothing is loaded twice, nothing before
    /// its dependencies, and a retired step is recognized.
    #[test]
    fn finished_steps_can_be_retired() {
        let tree = Tree::new(&LINES).config("softdep f pre: g\n");
        for random in 0..ORDERS {
            let resolver = tree.resolver();
            let mut steps = heapless::Vec::<_, 8>::new();
            let (mut visited, mut matches) = (heapless::Vec::<_, 8>::new(), heapless::Vec::<_, 8>::new());
            let (mut edges, mut firsts) = (heapless::Vec::<_, 16>::new(), heapless::Vec::<_, 8>::new());
            let (mut soft_edges, mut retired) = (heapless::Vec::<_, 8>::new(), [0; 64]);
            let mut plan = Plan::new(&mut steps, &mut visited, &mut matches).scheduled(&mut soft_edges, &mut retired);
            let mut schedule = Schedule::new(&mut edges, &mut firsts, b"", b"");
            let mut names = ["e", "a", "d", "c", "f", "b", "g", "a", "e"].iter();
            let (mut running, mut happened, mut random) = (Vec::new(), Vec::new(), random);
            loop {
                let done_count = schedule.done_count(&plan);
                let e_is_among = plan.steps[..done_count].iter().any(|step| name(step) == "e");
                assert_eq!(schedule.retire(&mut plan), !e_is_among, "e is required, and fails");
                while schedule.open_count(&plan) < 3
                    && let Some(name) = names.next()
                {
                    plan.add(&resolver, resolver.indexes.dep(name.as_bytes()).unwrap().unwrap()).unwrap();
                }
                schedule.extend(&plan);
                while running.len() < 2
                    && let Some(id) = schedule.next_of_all(&mut plan)
                {
                    happened.push(format!("+{}", name(plan.step(id).unwrap().1)));
                    running.push(id);
                }
                if running.is_empty() {
                    break;
                }
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let id = running.swap_remove((random >> 8) as usize % running.len());
                let name = name(plan.step(id).unwrap().1);
                schedule.done(&mut plan, id, if name == "e" { ENODEV } else { Outcome::Loaded });
                happened.push(format!("-{name}"));
            }
            for (before, after) in [("c", "b"), ("b", "a"), ("c", "d"), ("g", "f")] {
                precedes(&happened, before, after);
            }
            assert_eq!(happened.len(), 14, "each once: {happened:?}");
            schedule.retire(&mut plan);
            assert!(plan.steps.is_empty() && plan.has_failed(b"k/e.ko") && !plan.has_failed(b"k/a.ko"));
        }
    }

    #[test]
    fn steps_added_later_wait_for_running_ones() {
        let tree = Tree::new(&LINES);
        let resolver = tree.resolver();
        let mut steps = heapless::Vec::<_, 9>::new();
        let (mut visited, mut matches) = (heapless::Vec::<_, 9>::new(), heapless::Vec::<_, 9>::new());
        let line = |name: &[u8]| resolver.indexes.dep(name).unwrap().unwrap();
        let (mut edges, mut firsts) = (heapless::Vec::<_, 9>::new(), heapless::Vec::<_, 9>::new());
        let mut schedule = Schedule::new(&mut edges, &mut firsts, b"", b"");
        let mut soft_edges = heapless::Vec::<_, 9>::new();
        let mut plan = Plan::new(&mut steps, &mut visited, &mut matches).scheduled(&mut soft_edges, &mut []);
        plan.add(&resolver, line(b"c")).unwrap();
        schedule.extend(&plan);
        assert_eq!(schedule.next_of_all(&mut plan), Some(StepId(0)));
        plan.add(&resolver, line(b"d")).unwrap();
        schedule.extend(&plan);
        assert_eq!(schedule.next_of_all(&mut plan), None, "d needs c");
        schedule.done(&mut plan, StepId(0), Outcome::Loaded);
        assert_eq!(schedule.next_of_all(&mut plan), Some(StepId(1)));
    }
}
