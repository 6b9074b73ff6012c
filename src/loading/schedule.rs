//! Which step of a plan may go next, where several are loaded at once: the state machine, without the workers.
//!
//! A step goes as soon as its dependencies are in and its softdeps are done, in or not; there are no barriers. Of those
//! that may go, the first in the plan's order does: what was asked for first is on the way to the root. An edge counts
//! only where it agrees with the plan's order, which is one in which everything could be loaded: so no cycle of softdeps
//! can stop the run. What failed for a reason that another order may mend is tried once more, alone, when nothing else
//! is left to do. A module that is marked serial goes alone.

use super::kernel::{Errno, Outcome, Refusal};
use super::plan::{Step, StepState, position};
use crate::modules::config::{Side, lines};
use crate::modules::name::{modname, same};
use crate::modules::resolve::{Match, Resolver};
use core::num::NonZeroU32;
use heapless::VecView;

/// One step has to be done before another goes. The edges of a step are a list.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    before: u16,
    /// By a softdep: a failure does.
    is_soft: bool,
    next: Option<NonZeroU32>,
}

/// What is between the steps of a plan, in buffers that the caller lends.
pub struct Schedule<'buf> {
    edges: &'buf mut VecView<Edge>,
    /// Of each step: the number, from 1, of the first edge that is not known to be done.
    firsts: &'buf mut VecView<Option<NonZeroU32>>,
    /// Steps in front of this one are done.
    first: usize,
    /// How many steps are with the kernel.
    running_count: u32,
    /// One of them has to be the only one.
    is_alone: bool,
    /// One at a time, in the plan's order.
    in_order: bool,
    /// Names of modules that go alone, with commas between.
    alone_names: &'buf [u8],
    /// More of them, a line each.
    marked: &'buf [u8],
}

impl<'buf> Schedule<'buf> {
    /// Makes an empty schedule. `serial` is the value of `initmod.serial=`: `1` for one module at a time, or the names,
    /// with commas between, of those that have to go alone. `marked` names more of these, a line each; `#` begins a comment.
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
            first: 0,
            running_count: 0,
            is_alone: false,
            in_order: serial == b"1",
            alone_names: serial,
            marked,
        }
    }

    /// Takes up the steps that the plan has got since the last call. Where there is no room for their edges, the plan's
    /// order is kept from now on, one step at a time.
    pub fn extend<'map>(&mut self, steps: &[Step<'map>], resolver: &Resolver<'map>) {
        let taken = self.firsts.len();
        if self.firsts.resize(steps.len(), None).is_err() || steps.len() > usize::from(u16::MAX) {
            self.in_order = true;
        }
        for (at, step) in steps.iter().enumerate().skip(taken) {
            if self.in_order {
                return;
            }
            if matches!(step.state, StepState::Running | StepState::In | StepState::Failed) {
                continue; // nothing holds it back
            }
            for dep in step.deps() {
                if let Some(before) = position(steps, dep) {
                    self.hold_back(steps, before, at, false);
                }
            }
            if step.has_softdeps {
                self.extend_softdeps(steps, at, step, resolver);
            }
        }
    }

    fn extend_softdeps<'map>(&mut self, steps: &[Step<'map>], at: usize, step: &Step<'map>, resolver: &Resolver<'map>) {
        let Ok(name) = modname(step.path()) else { return };
        for (side, softdep) in resolver.config.softdeps(&name) {
            let mut matches = heapless::Vec::<Match<'map>, 128>::new();
            // What can't be resolved was told when the plan was made.
            let _ = resolver.resolve(softdep, &mut matches);
            for found in matches {
                let Match::Module(line) = found else { continue };
                if let Some(other) = position(steps, line.path()) {
                    let (before, after) = if side == Side::Pre { (other, at) } else { (at, other) };
                    self.hold_back(steps, before, after, true);
                }
            }
        }
    }

    fn hold_back(&mut self, steps: &[Step<'_>], before: usize, after: usize, is_soft: bool) {
        if before >= after || is_done(steps, before, is_soft) {
            return;
        }
        let number = NonZeroU32::new(self.edges.len().saturating_add(1) as u32);
        let Some(first) = self.firsts.get_mut(after) else { return };
        match u16::try_from(before) {
            Ok(before) if self.edges.push(Edge { before, is_soft, next: *first }).is_ok() => *first = number,
            _ => self.in_order = true,
        }
    }

    /// Says whether nothing holds a step back. Each edge is looked at until it is done, and never again.
    fn is_free(&mut self, steps: &[Step<'_>], at: usize) -> bool {
        let Some(first) = self.firsts.get_mut(at).filter(|_| !self.in_order) else { return true };
        while let Some(number) = *first {
            let Some(edge) = self.edges.get((number.get() as usize).saturating_sub(1)) else { return true };
            if !is_done(steps, edge.before.into(), edge.is_soft) {
                return false;
            }
            *first = edge.next;
        }
        true
    }

    /// Hears that the steps at the plan's beginning that are done were taken out of it. [`Schedule::extend`] takes up
    /// those that are left again.
    pub fn retired(&mut self) {
        self.edges.clear();
        self.firsts.clear();
        self.first = 0;
    }

    /// Returns how many steps are not done.
    pub fn open_count(&self, steps: &[Step<'_>]) -> usize {
        let behind = steps.iter().skip(self.first);
        behind.filter(|step| !matches!(step.state, StepState::In | StepState::Failed)).count()
    }

    /// Returns how many steps at the plan's beginning are done.
    pub fn done_count(&self) -> usize {
        self.first
    }

    /// Says whether nothing is with the kernel.
    pub fn is_idle(&self) -> bool {
        self.running_count == 0
    }

    /// Picks the step that goes next and marks it as running; `None` where one has to be waited for, or none is left.
    pub fn next(&mut self, steps: &mut [Step<'_>]) -> Option<usize> {
        if self.is_alone || self.in_order && !self.is_idle() {
            return None;
        }
        while steps.get(self.first).is_some_and(|step| matches!(step.state, StepState::In | StepState::Failed)) {
            self.first = self.first.saturating_add(1);
        }
        let first = self.first;
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
        Some(at)
    }

    fn goes_alone(&self, step: &Step<'_>) -> bool {
        let said = self.alone_names.split(|&byte| byte == b',');
        let mut names = said.chain(lines(self.marked).map(|line| line.text));
        !(self.alone_names.is_empty() && self.marked.is_empty())
            && modname(step.path()).is_ok_and(|name| names.any(|word| same(word, &name)))
    }

    /// Hears how a running step went; says whether that is the last word.
    pub fn done(&mut self, steps: &mut [Step<'_>], at: usize, outcome: Outcome<'_>) -> bool {
        self.running_count = self.running_count.saturating_sub(1);
        self.is_alone = false;
        let Some(step) = steps.get_mut(at) else { return true };
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

/// Says whether a step is no longer to be waited for; by a softdep only its first try is.
fn is_done(steps: &[Step<'_>], at: usize, is_soft: bool) -> bool {
    match steps.get(at).map(|step| step.state) {
        None | Some(StepState::In | StepState::Failed) => true,
        Some(StepState::Retry) => is_soft,
        Some(StepState::Waiting | StepState::Running) => false,
    }
}

/// Says whether another order, or less going on at once, may make good what was refused. A second try costs the kernel a
/// second look at the signature, three quarters of a module's time: what is for good is not tried again.
fn order_may_mend(refusal: Refusal) -> bool {
    match refusal {
        // Not permitted, no module, no such hardware, signature: so it stays. All others: who knows.
        Refusal::Kernel(Errno(errno)) => !matches!(errno, 1 | 8 | 19 | 126..=129),
        Refusal::NoMemory => true,
        // After a crash in the kernel a second try may wait for ever for the first.
        Refusal::File(_) | Refusal::Damaged | Refusal::NoDecoder | Refusal::Killed(_) | Refusal::Command(_) => false,
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;
    use crate::loading::plan::Plan;
    use crate::modules::resolve::tests::Tree;

    const EINVAL: Outcome<'_> = Outcome::Refused(Refusal::Kernel(Errno::EINVAL));
    const ENODEV: Outcome<'_> = Outcome::Refused(Refusal::Kernel(Errno::ENODEV));

    /// How many orders are tried. Miri takes a second for what takes a millisecond.
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
        let mut plan = Plan::new(&mut steps, &mut visited, &mut matches);
        for target in targets {
            plan.add(&resolver, resolver.indexes.dep(target.as_bytes()).unwrap().unwrap()).unwrap();
        }
        let (mut edges, mut firsts) = (heapless::Vec::<_, 256>::new(), heapless::Vec::<_, 64>::new());
        let (said, marked) = serial.split_once('\n').unwrap_or((serial, ""));
        let mut schedule = Schedule::new(&mut edges, &mut firsts, said.as_bytes(), marked.as_bytes());
        schedule.extend(&steps, &resolver);
        let (mut running, mut happened, mut random) = (Vec::new(), Vec::new(), random);
        loop {
            while running.len() < workers
                && let Some(at) = schedule.next(&mut steps)
            {
                happened.push(format!("+{}", name(&steps[at])));
                running.push(at);
            }
            if running.is_empty() {
                assert!(steps.iter().all(|step| matches!(step.state, StepState::In | StepState::Failed)));
                return happened;
            }
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = running.swap_remove((random >> 8) as usize % running.len());
            let step = steps[at];
            let failed =
                step.deps().find(|dep| crate::loading::plan::find(&steps, dep).unwrap().state == StepState::Failed);
            let outcome = failed.map_or(answer(&name(&step), step.tries), Outcome::Needs);
            schedule.done(&mut steps, at, outcome);
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
        Plan::new(&mut steps, &mut visited, &mut matches).add(&resolver, line).unwrap();
        let (mut edges, mut firsts) = (heapless::Vec::<_, 1>::new(), heapless::Vec::<_, 9>::new());
        let mut schedule = Schedule::new(&mut edges, &mut firsts, b"", b"");
        schedule.extend(&steps, &resolver);
        let mut order = Vec::new();
        while let Some(at) = schedule.next(&mut steps) {
            assert_eq!(schedule.next(&mut steps), None, "one at a time");
            order.push(at);
            schedule.done(&mut steps, at, Outcome::Loaded);
        }
        assert_eq!(order, [0, 1, 2]);
    }

    /// Steps go out of the plan as they are done, and names are asked for as there is room: nothing is loaded twice, nothing
    /// before what it needs, and what was out is known again.
    #[test]
    fn steps_that_are_done_can_be_taken_out() {
        let tree = Tree::new(&LINES).config("softdep f pre: g\n");
        for random in 0..ORDERS {
            let resolver = tree.resolver();
            let mut steps = heapless::Vec::<_, 8>::new();
            let (mut visited, mut matches) = (heapless::Vec::<_, 8>::new(), heapless::Vec::<_, 8>::new());
            let (mut edges, mut firsts) = (heapless::Vec::<_, 16>::new(), heapless::Vec::<_, 8>::new());
            let mut room = [0; 64];
            let mut plan = Plan::new(&mut steps, &mut visited, &mut matches).remembering(&mut room);
            let mut schedule = Schedule::new(&mut edges, &mut firsts, b"", b"");
            let mut names = ["e", "a", "d", "c", "f", "b", "g", "a", "e"].iter();
            let (mut running, mut happened, mut random, mut out_count) = (Vec::new(), Vec::new(), random, 0);
            loop {
                let done_count = schedule.done_count();
                let e_is_among = plan.steps[..done_count].iter().any(|step| name(step) == "e");
                assert_eq!(plan.retire(done_count), !e_is_among, "e is required, and fails");
                schedule.retired();
                out_count += done_count;
                while schedule.open_count(plan.steps) < 3
                    && let Some(name) = names.next()
                {
                    plan.add(&resolver, resolver.indexes.dep(name.as_bytes()).unwrap().unwrap()).unwrap();
                }
                schedule.extend(plan.steps, &resolver);
                while running.len() < 2
                    && let Some(at) = schedule.next(plan.steps)
                {
                    happened.push(format!("+{}", name(&plan.steps[at])));
                    running.push(out_count + at);
                }
                if running.is_empty() {
                    break;
                }
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = running.swap_remove((random >> 8) as usize % running.len()) - out_count;
                let name = name(&plan.steps[at]);
                schedule.done(plan.steps, at, if name == "e" { ENODEV } else { Outcome::Loaded });
                happened.push(format!("-{name}"));
            }
            for (before, after) in [("c", "b"), ("b", "a"), ("c", "d"), ("g", "f")] {
                precedes(&happened, before, after);
            }
            assert_eq!(happened.len(), 14, "each once: {happened:?}");
            plan.retire(schedule.done_count());
            assert!(plan.steps.is_empty() && plan.has_failed(b"k/e.ko") && !plan.has_failed(b"k/a.ko"));
        }
    }

    #[test]
    fn steps_that_come_later_hang_on_what_runs() {
        let tree = Tree::new(&LINES);
        let resolver = tree.resolver();
        let mut steps = heapless::Vec::<_, 9>::new();
        let (mut visited, mut matches) = (heapless::Vec::<_, 9>::new(), heapless::Vec::<_, 9>::new());
        let line = |name: &[u8]| resolver.indexes.dep(name).unwrap().unwrap();
        let (mut edges, mut firsts) = (heapless::Vec::<_, 9>::new(), heapless::Vec::<_, 9>::new());
        let mut schedule = Schedule::new(&mut edges, &mut firsts, b"", b"");
        let mut plan = Plan::new(&mut steps, &mut visited, &mut matches);
        plan.add(&resolver, line(b"c")).unwrap();
        schedule.extend(plan.steps, &resolver);
        assert_eq!(schedule.next(plan.steps), Some(0));
        plan.add(&resolver, line(b"d")).unwrap();
        schedule.extend(plan.steps, &resolver);
        assert_eq!(schedule.next(plan.steps), None, "d needs c");
        schedule.done(plan.steps, 0, Outcome::Loaded);
        assert_eq!(schedule.next(plan.steps), Some(1));
    }
}
