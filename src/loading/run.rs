// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a plan on a [`Kernel`]: all load policy, without system calls.
//!
//! A loaded module is not handed to the kernel again: it would check the signature, three quarters of its work, before it
//! notices the duplicate. Source of the rules: kmod, libkmod-module.c, `kmod_module_probe_insert_module`.

use super::kernel::{Kernel, Outcome, State};
use super::step::{Need, Step, StepState, find};
use crate::error::Error;
use crate::modules::name::{Modname, modname};
use crate::modules::resolve::Resolver;

/// The module that a command was given by name, with its own options.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The module file's path.
    pub path: &'a [u8],
    /// The given name, which may be an alias.
    pub asked_as: &'a [u8],
    /// Options from the command's arguments.
    pub options: &'a [u8],
    /// Whether to load it in spite of an install command.
    pub ignore_command: bool,
}

/// Effect of a failure on later steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Only modules that need the failed one are left out: for a boot.
    GoOn,
    /// A required module that fails ends the run: for a command.
    Stop,
}

/// Numbers of modules in a run, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Loaded in this run.
    pub loaded: u32,
    /// Loaded before.
    pub already: u32,
    /// Failed, though required.
    pub failed: u32,
    /// Failed, but optional.
    pub optional_failed: u32,
}

/// Longest options of one module, bytes; [`Error::OptionsTooLong`] names the number too. The kernel has no limit for all
/// options of a module, but 1 kB for a text and a page for what /sys shows of one.
pub const OPTIONS_LEN: usize = 4096;

/// Loads the waiting steps in order, and sets the state of each.
pub fn run<'map>(
    steps: &mut [Step<'map>],
    resolver: &Resolver<'map>,
    target: Option<Target<'_>>,
    on_failure: OnFailure,
    kernel: &mut dyn Kernel,
) -> Tally {
    let mut tally = Tally::default();
    for at in 0..steps.len() {
        let Some((earlier, [step, ..])) = steps.split_at_mut_checked(at) else { break };
        if step.state != StepState::Waiting {
            continue;
        }
        let outcome = one(step, earlier, resolver, target, kernel);
        tally.count(outcome, step.need);
        let is_in = outcome.is_in();
        step.state = if is_in { StepState::In } else { StepState::Failed };
        kernel.on_outcome(step, outcome);
        if !is_in && step.need == Need::Required && on_failure == OnFailure::Stop {
            break;
        }
    }
    tally
}

fn one<'map>(
    step: &Step<'map>,
    earlier: &[Step<'map>],
    resolver: &Resolver<'map>,
    target: Option<Target<'_>>,
    kernel: &mut dyn Kernel,
) -> Outcome<'map> {
    let mut options = heapless::Vec::<u8, OPTIONS_LEN>::new();
    let prepared = match prepare(step, earlier, resolver, target, &mut options, kernel) {
        Ok(prepared) => prepared,
        Err(outcome) => return outcome,
    };
    Outcome::of(match prepared.command {
        Some(command) => kernel.command(command, &prepared.name, &options),
        None => kernel.insert(step.path(), &options),
    })
}

/// A step that is ready to load; its options are in a buffer of the caller.
#[derive(Clone, Debug)]
pub struct Prepared<'map> {
    /// The module's name.
    pub name: Modname,
    /// The install command to run instead, if modprobe.d has one.
    pub command: Option<&'map [u8]>,
}

/// Prepares `step`, which stands after the steps `earlier`, for loading. Appends its options to `options`, which is empty.
///
/// # Errors
/// The outcome if there is nothing to load: it is loaded, a dependency failed, or its name or options are unusable.
#[inline(never)] // one copy for boot and commands
pub fn prepare<'map>(
    step: &Step<'map>,
    earlier: &[Step<'map>],
    resolver: &Resolver<'map>,
    target: Option<Target<'_>>,
    options: &mut heapless::VecView<u8>,
    kernel: &mut dyn Kernel,
) -> Result<Prepared<'map>, Outcome<'map>> {
    let name = modname(step.path()).map_err(Outcome::Unfit)?;
    if kernel.state(&name) == State::Live {
        return Err(Outcome::AlreadyIn);
    }
    let failed = |dep: &&[u8]| find(earlier, dep).is_some_and(|dep| dep.state == StepState::Failed);
    if let Some(dep) = step.deps().rev().find(failed) {
        return Err(Outcome::Needs(dep));
    }
    let target = target.filter(|target| target.path == step.path());
    let asked_as = target.map(|target| target.asked_as);
    let filled = resolver.config.options(&name, asked_as, options);
    let own = target.map_or(&[][..], |target| target.options);
    filled.and(options.extend_from_slice(own).map_err(|_| Error::OptionsTooLong)).map_err(Outcome::Unfit)?;
    // Unlike kmod, also where the module has softdeps: `install X /bin/false` forbids X.
    let ignores = target.is_some_and(|target| target.ignore_command);
    let command = if ignores { None } else { resolver.config.install(&name) };
    Ok(Prepared { name, command })
}

impl Tally {
    /// Counts one step.
    pub fn count(&mut self, outcome: Outcome<'_>, need: Need) {
        let count = match (outcome, need) {
            (Outcome::Loaded, _) => &mut self.loaded,
            (Outcome::AlreadyIn, _) => &mut self.already,
            (_, Need::Required) => &mut self.failed,
            (_, Need::Optional) => &mut self.optional_failed,
        };
        *count = count.saturating_add(1);
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;
    use crate::loading::kernel::{Errno, Refusal};
    use crate::loading::plan::Plan;
    use crate::modules::resolve::tests::Tree;

    /// A kernel that records calls, and returns the given answers.
    #[derive(Default)]
    struct Recording {
        live: Vec<&'static str>,
        answers: Vec<(&'static str, Refusal)>,
        calls: Vec<String>,
        outcomes: Vec<String>,
    }

    impl Recording {
        fn answer(&mut self, call: String, name: &str) -> Result<(), Refusal> {
            self.calls.push(call);
            self.answers.iter().find(|(of, _)| *of == name).map_or(Ok(()), |(_, refusal)| Err(*refusal))
        }
    }

    impl Kernel for Recording {
        fn state(&mut self, modname: &[u8]) -> State {
            if self.live.iter().any(|live| live.as_bytes() == modname) { State::Live } else { State::Unknown }
        }

        fn insert(&mut self, path: &[u8], options: &[u8]) -> Result<(), Refusal> {
            let name = text(crate::modules::name::stem(path));
            self.answer(format!("{name}({})", text(options)), &name)
        }

        fn command(&mut self, command: &[u8], modname: &[u8], options: &[u8]) -> Result<(), Refusal> {
            let name = text(modname);
            self.answer(format!("{name}: {} ({})", text(command), text(options)), &name)
        }

        fn on_outcome(&mut self, step: &Step<'_>, outcome: Outcome<'_>) {
            self.outcomes.push(format!("{} {outcome:?}", text(crate::modules::name::stem(step.path()))));
        }
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// Plans for `targets`, runs the plan on `kernel`, and returns the tally.
    fn load(tree: &Tree, targets: &[&str], on_failure: OnFailure, kernel: &mut Recording) -> Tally {
        load_as(tree, targets, None, on_failure, kernel)
    }

    fn load_as(
        tree: &Tree,
        targets: &[&str],
        target: Option<Target<'_>>,
        on_failure: OnFailure,
        kernel: &mut Recording,
    ) -> Tally {
        let mut steps = heapless::Vec::<_, 20>::new();
        let (mut visited, mut matches) = (heapless::Vec::<_, 20>::new(), heapless::Vec::<_, 20>::new());
        let resolver = tree.resolver();
        let mut plan = Plan::new(&mut steps, &mut visited, &mut matches);
        for target in targets {
            plan.add(&resolver, resolver.indexes.dep(target.as_bytes()).unwrap().unwrap()).unwrap();
        }
        run(&mut steps, &resolver, target, on_failure, kernel)
    }

    const EINVAL: Refusal = Refusal::Kernel(Errno::EINVAL);
    const EEXIST: Refusal = Refusal::Kernel(Errno::EEXIST);
    const CHAIN: [&str; 4] = ["k/a.ko: k/b.ko k/c.ko", "k/b.ko: k/c.ko", "k/c.ko:", "k/x.ko:"];

    #[test]
    fn what_is_live_is_not_handed_over_again() {
        let mut kernel = Recording { live: vec!["c"], ..Recording::default() };
        let tally = load(&Tree::new(&CHAIN), &["a"], OnFailure::Stop, &mut kernel);
        assert_eq!(kernel.calls, ["b()", "a()"]);
        assert_eq!(kernel.outcomes, ["c AlreadyIn", "b Loaded", "a Loaded"]);
        assert_eq!(tally, Tally { loaded: 2, already: 1, ..Tally::default() });
    }

    #[test]
    fn eexist_is_success() {
        let mut kernel = Recording { answers: vec![("c", EEXIST), ("a", EEXIST)], ..Recording::default() };
        let tally = load(&Tree::new(&CHAIN), &["a"], OnFailure::Stop, &mut kernel);
        assert_eq!(tally, Tally { loaded: 1, already: 2, ..Tally::default() });
    }

    #[test]
    fn a_command_stops_at_a_required_failure() {
        let mut kernel = Recording { answers: vec![("c", EINVAL)], ..Recording::default() };
        let tally = load(&Tree::new(&CHAIN), &["a", "x"], OnFailure::Stop, &mut kernel);
        assert_eq!((kernel.calls, tally.failed), (vec!["c()".to_owned()], 1));
    }

    #[test]
    fn a_boot_leaves_out_only_what_needs_the_failed() {
        let mut kernel = Recording { answers: vec![("c", EINVAL)], ..Recording::default() };
        let tally = load(&Tree::new(&CHAIN), &["a", "x"], OnFailure::GoOn, &mut kernel);
        assert_eq!(kernel.calls, ["c()", "x()"]);
        assert!(
            kernel.outcomes[1].starts_with("b Needs") && kernel.outcomes[2].starts_with("a Needs"),
            "{:?}",
            kernel.outcomes
        );
        assert_eq!(tally, Tally { loaded: 1, failed: 3, ..Tally::default() });
    }

    #[test]
    fn softdeps_may_fail() {
        let tree = Tree::new(&CHAIN).config("softdep x pre: b\n");
        let mut kernel = Recording { answers: vec![("c", Refusal::File(Errno::ENOENT))], ..Recording::default() };
        let tally = load(&tree, &["x"], OnFailure::Stop, &mut kernel);
        assert_eq!(kernel.calls, ["c()", "x()"], "b is not tried without c");
        assert_eq!(tally, Tally { loaded: 1, optional_failed: 2, ..Tally::default() });
    }

    #[test]
    fn options_of_files_come_before_the_command_line_and_arguments() {
        let tree = Tree::new(&CHAIN)
            .config("options c p=1\noptions my-card q=2\noptions a r=3\noptions other s=4\n")
            .cmdline("quiet a.t=5 c.u=\"6 7\"");
        let target = Target { path: b"k/a.ko", asked_as: b"my_card", options: b"v=8 w", ignore_command: false };
        let mut kernel = Recording::default();
        load_as(&tree, &["a"], Some(target), OnFailure::Stop, &mut kernel);
        assert_eq!(kernel.calls, ["c(p=1 u=\"6 7\" )", "b()", "a(q=2 r=3 t=5 v=8 w)"]);
    }

    #[test]
    fn options_that_do_not_fit_fail_their_module() {
        let tree = Tree::new(&CHAIN).config(&format!("options c p={}\n", "x".repeat(OPTIONS_LEN)));
        let mut kernel = Recording::default();
        let tally = load(&tree, &["c", "x"], OnFailure::GoOn, &mut kernel);
        assert_eq!((kernel.calls, kernel.outcomes[0].as_str()), (vec!["x()".to_owned()], "c Unfit(OptionsTooLong)"));
        assert_eq!((tally.loaded, tally.failed), (1, 1));
    }

    #[test]
    fn an_install_command_stands_in_for_its_module() {
        let tree = Tree::new(&CHAIN).config("install b* run me\ninstall b never\noptions b p=1\n");
        let mut kernel = Recording { answers: vec![("b", Refusal::Command(3))], ..Recording::default() };
        let tally = load(&tree, &["a"], OnFailure::Stop, &mut kernel);
        assert_eq!(kernel.calls, ["c()", "b: run me (p=1 )"]);
        assert_eq!((kernel.outcomes[1].as_str(), tally.failed), ("b Refused(Command(3))", 1));
    }

    #[test]
    fn an_install_command_stands_in_for_a_module_with_softdeps() {
        let tree = Tree::new(&CHAIN).config("install a run me\nsoftdep a pre: x\n");
        let mut kernel = Recording::default();
        load(&tree, &["a"], OnFailure::Stop, &mut kernel);
        assert_eq!(kernel.calls, ["c()", "b()", "x()", "a: run me ()"]);
    }

    #[test]
    fn a_second_run_takes_up_what_still_waits() {
        let tree = Tree::new(&CHAIN);
        let resolver = tree.resolver();
        let line = resolver.indexes.dep(b"x").unwrap().unwrap();
        let mut steps = heapless::Vec::<_, 2>::new();
        let (mut visited, mut matches) = (heapless::Vec::<_, 2>::new(), heapless::Vec::<_, 2>::new());
        Plan::new(&mut steps, &mut visited, &mut matches).add(&resolver, line).unwrap();
        let mut kernel = Recording::default();
        for want in [1, 0] {
            assert_eq!(run(&mut steps, &resolver, None, OnFailure::GoOn, &mut kernel).loaded, want);
        }
        assert_eq!(kernel.calls, ["x()"]);
    }
}
