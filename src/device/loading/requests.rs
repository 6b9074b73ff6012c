//! What is asked for, and becomes steps of the plan: modules by name, and those that devices ask for by what they say they
//! are. And what came of it: what all amounts to, and how the boot tells what went wrong.

use super::coldplug::By;
use super::recorder::Recorder;
use crate::device::io::log::{Level, line, refusal_prose};
use crate::device::kernel::insert::Sys;
use crate::device::modules::tree::tell_failure;
use crate::device::rt::clock;
use crate::loading::kernel::{Errno, Kernel, Outcome, Refusal, State};
use crate::loading::options::{LOAD_FIRST, LOAD_LAST};
use crate::loading::plan::{Need, Plan, Step};
use crate::loading::record::Summary;
use crate::modules::cmdline;
use crate::modules::name::stem;
use crate::modules::resolve::{Failure, Found, Match, Resolver};
use crate::seen::Met;

/// The plan in the making.
pub(crate) struct Asks {
    pub(crate) resolver: Resolver<'static>,
    pub(crate) plan: Plan<'static, 'static>,
    /// Modaliases that were asked for.
    seen: Met<'static>,
    told: Option<Failure>,
    /// The modules of rd.driver.post= are no longer held back.
    pub(crate) is_post: bool,
    pub(crate) recorder: Recorder,
    /// How many modules were loaded.
    pub(crate) loaded: u64,
    /// How long modules were with the kernel, microseconds; time with several counts once.
    pub(crate) kernel_us: u64,
    /// When the last module was done, ms.
    pub(crate) last_ms: u64,
}

impl Asks {
    pub(crate) fn new(
        resolver: Resolver<'static>,
        plan: Plan<'static, 'static>,
        seen: &'static mut [u64],
        recorder: Recorder,
    ) -> Asks {
        let (seen, last_ms) = (Met::new(seen), clock::now_ms());
        Asks { resolver, plan, seen, told: None, is_post: false, recorder, loaded: 0, kernel_us: 0, last_ms }
    }

    /// Asks for what leads to the root by the command line: rd.driver.pre=, modules_load=.
    pub(crate) fn first(&mut self) {
        for key in LOAD_FIRST {
            self.listed(key);
        }
    }

    /// Asks for the modules that a parameter of the command line lists.
    pub(crate) fn listed(&mut self, key: &'static [u8]) {
        for name in cmdline::names(self.resolver.config.cmdline, key) {
            self.named(key, name);
        }
    }

    /// Asks for what a name stands for; says whether anything knows it.
    pub(crate) fn named(&mut self, by: &[u8], name: &[u8]) -> bool {
        let is_known = self.ask(name, By::Word(by));
        if !is_known {
            line(Level::Error, &[by, b": ", name, b": no such module in this image"]);
        }
        is_known
    }

    /// Asks for what a device says it is, once.
    pub(crate) fn modalias(&mut self, modalias: &[u8], by: By<'_>) -> bool {
        // Forgotten: it is looked up again when it is met again, which costs time and nothing else.
        self.seen.note(modalias, false) || self.ask(modalias, by)
    }

    /// Plans what a name stands for; says whether anything knows it.
    pub(crate) fn ask(&mut self, name: &[u8], by: By<'_>) -> bool {
        let mut matches = heapless::Vec::<Match<'static>, 128>::new();
        let found = match self.resolver.resolve(name, &mut matches) {
            Ok(Found::Nothing) => return false,
            Ok(found) => found,
            Err(failure) => {
                self.tell(name, failure);
                return true;
            }
        };
        for &one in &matches {
            let Match::Module(dep_line) = one else { continue };
            let modname = stem(dep_line.path());
            let is_left_out = || {
                self.resolver.config.blacklists(modname)
                    || !self.is_post && self.resolver.config.cmdline_lists(LOAD_LAST, modname)
            };
            if found == Found::ByAlias && is_left_out() {
                continue;
            }
            let added = self.plan.add(&self.resolver, dep_line);
            if let Some(failure) = added.err().or(self.plan.left_out.take()) {
                self.tell(name, failure);
            }
        }
        self.recorder.asked(self.plan.steps.len(), name, by);
        true
    }

    /// Says what all came to since `start_ms`, and writes it down.
    pub(crate) fn sum_up(&self, start_ms: u64, root_ms: Option<u64>) -> Summary {
        let (modules, modules_ms) = (self.loaded, self.last_ms.saturating_sub(start_ms));
        let summary = Summary { modules, modules_ms, kernel_ms: self.kernel_us / 1000, root_ms };
        self.recorder.sum_up(&summary);
        summary
    }

    /// Says once what is wrong with an index, not once per name.
    fn tell(&mut self, name: &[u8], failure: Failure) {
        if self.told == Some(failure) {
            return;
        }
        self.told = Some(failure);
        tell_failure(b"", name, failure);
    }
}

/// The kernel as the boot reaches it: failures are lines on the console.
pub(crate) struct BootKernel<'a> {
    pub(crate) sys: Sys<'a>,
    /// Files of modules that are in are deleted.
    pub(crate) frees: bool,
}

impl Kernel for BootKernel<'_> {
    fn state(&mut self, modname: &[u8]) -> State {
        self.sys.state(modname)
    }

    fn insert(&mut self, path: &[u8], options: &[u8]) -> Result<(), Refusal> {
        self.sys.insert(path, options)
    }

    fn command(&mut self, command: &[u8], modname: &[u8], options: &[u8]) -> Result<(), Refusal> {
        self.sys.command(command, modname, options)
    }

    fn told(&mut self, step: &Step<'_>, outcome: Outcome<'_>) {
        let (prose, detail): (&[u8], &[u8]) = match outcome {
            Outcome::Loaded | Outcome::AlreadyIn => {
                if cfg!(feature = "boot") && self.frees {
                    self.sys.give_back(step.path());
                }
                return;
            }
            // A driver whose hardware is not here, or that nobody insists on: nothing is wrong.
            Outcome::Refused(Refusal::Kernel(Errno::ENODEV)) => return,
            Outcome::Refused(refusal) => (refusal_prose(refusal), b""),
            Outcome::Needs(dep) => (b"left out, it needs ", stem(dep)),
            Outcome::Unfit(error) => (error.prose().as_bytes(), b""),
        };
        let level = if step.need == Need::Required { Level::Error } else { Level::Notice };
        line(level, &[stem(step.path()), b": ", prose, detail]);
    }
}
