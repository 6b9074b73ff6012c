// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns requests (module names, modaliases of devices) into steps of the plan, counts the loaded modules, and reports
//! failures on the console.

use super::coldplug::By;
use super::recorder::{RecordBuffers, Recorder};
use crate::device::io::log::{Level, line, outcome_prose};
use crate::device::kernel::insert::Inserter;
use crate::device::modules::tree::report_failure;
use crate::device::rt::clock;
use crate::loading::kernel::{Errno, Kernel, Outcome, Refusal, State};
use crate::loading::options::{LOAD_FIRST, LOAD_LAST};
use crate::loading::plan::{Plan, SoftEdge};
use crate::loading::record::Summary;
use crate::loading::schedule::Edge;
use crate::loading::step::{Need, Step};
use crate::modules::cmdline;
use crate::modules::name::stem;
use crate::modules::resolve::{Failure, Found, MATCH_COUNT, Match, Resolver};
use crate::seen::SeenSet;
use core::num::NonZeroU32;
use heapless::Vec;

/// Most modules of a tree. Source: depmod numbers modules in 16 bits.
const MODULE_COUNT: usize = 65_536;

/// The buffers of a plan.
#[cfg_attr(not(feature = "boot"), allow(dead_code, reason = "loading in order needs no edges"))]
pub(crate) struct PlanBuffers {
    pub(crate) steps: Vec<Step<'static>, MODULE_COUNT>,
    pub(crate) visited: Vec<*const u8, MODULE_COUNT>,
    pub(crate) matches: Vec<Match<'static>, 1024>,
    /// The modaliases that were requested: see [`crate::seen`].
    pub(super) seen: [u64; 1024],
    /// The steps that were retired from the plan: see [`crate::seen`].
    pub(super) retired: [u64; 1024],
    /// The softdeps between steps. When full, modules load one at a time.
    pub(super) soft_edges: Vec<SoftEdge<'static>, 8192>,
    /// The edges between steps. When full, modules load one at a time.
    pub(super) edges: Vec<Edge, 0x4_0000>,
    pub(super) firsts: Vec<Option<NonZeroU32>, MODULE_COUNT>,
    pub(super) record: RecordBuffers,
}

impl PlanBuffers {
    pub(crate) const EMPTY: PlanBuffers = PlanBuffers {
        steps: Vec::new(),
        visited: Vec::new(),
        matches: Vec::new(),
        seen: [0; 1024],
        retired: [0; 1024],
        soft_edges: Vec::new(),
        edges: Vec::new(),
        firsts: Vec::new(),
        record: RecordBuffers::EMPTY,
    };
}

/// The modules that may be loaded for a device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// All but those of `rd.driver.post=`.
    Main,
    /// All: there is nothing else left to do.
    Last,
}

/// The plan and the requests that made it.
pub(crate) struct Requests {
    pub(crate) resolver: Resolver<'static>,
    pub(crate) plan: Plan<'static, 'static>,
    /// The modaliases that were requested.
    seen: SeenSet<'static>,
    /// The failure that was reported last.
    reported: Option<Failure>,
    pub(crate) phase: Phase,
    pub(crate) recorder: Recorder,
    /// The number of loaded modules.
    pub(crate) loaded: u64,
    /// The time that the kernel took to load modules, us; overlapping times count once.
    pub(crate) kernel_us: u64,
    /// When the last module was loaded, ms.
    pub(crate) last_ms: u64,
}

impl Requests {
    pub(crate) fn new(
        resolver: Resolver<'static>,
        plan: Plan<'static, 'static>,
        seen: &'static mut [u64],
        recorder: Recorder,
    ) -> Requests {
        let (seen, last_ms) = (SeenSet::new(seen), clock::now_ms());
        Requests {
            resolver,
            plan,
            seen,
            reported: None,
            phase: Phase::Main,
            recorder,
            loaded: 0,
            kernel_us: 0,
            last_ms,
        }
    }

    /// Requests the modules that the command line lists to load first.
    pub(crate) fn first(&mut self) {
        for key in LOAD_FIRST {
            self.listed(key);
        }
    }

    /// Requests the modules that a word of the command line lists.
    pub(crate) fn listed(&mut self, key: &'static [u8]) {
        for name in cmdline::names(self.resolver.config.cmdline, key) {
            self.named(key, name);
        }
    }

    /// Requests a module by name or alias, and reports an unknown one. Returns whether it is known.
    pub(crate) fn named(&mut self, by: &[u8], name: &[u8]) -> bool {
        let is_known = self.resolve(name, By::Word(by));
        if !is_known {
            line(Level::Error, "%: %: no such module in this image", &[by, name]);
        }
        is_known
    }

    /// Requests the modules for a modalias, once. Returns whether there are any.
    pub(crate) fn modalias(&mut self, modalias: &[u8], by: By<'_>) -> bool {
        // If the set lost it, it is looked up again: slower, but harmless.
        self.seen.insert(modalias, false) || self.resolve(modalias, by)
    }

    /// Adds the modules for a name, alias or modalias to the plan. Returns whether it is known.
    pub(crate) fn resolve(&mut self, name: &[u8], by: By<'_>) -> bool {
        let mut matches = heapless::Vec::<Match<'static>, MATCH_COUNT>::new();
        let found = match self.resolver.resolve(name, &mut matches) {
            Ok(Found::Nothing) => return false,
            Ok(found) => found,
            Err(failure) => {
                self.report(name, failure);
                return true;
            }
        };
        for &one in &matches {
            let Match::Module(dep_line) = one else { continue };
            let modname = stem(dep_line.path());
            let is_left_out = || {
                self.resolver.config.blacklists(modname)
                    || self.phase == Phase::Main && self.resolver.config.cmdline_lists(LOAD_LAST, modname)
            };
            if found == Found::ByAlias && is_left_out() {
                continue;
            }
            let added = self.plan.add(&self.resolver, dep_line);
            if let Some(failure) = added.err().or(self.plan.left_out.take()) {
                self.report(modname, failure);
            }
        }
        self.recorder.asked(self.plan.steps.len(), name, by);
        true
    }

    /// Returns the boot's numbers since `start_ms`, and records them.
    pub(crate) fn sum_up(&self, start_ms: u64, root_ms: Option<u64>) -> Summary {
        let (modules, modules_ms) = (self.loaded, self.last_ms.saturating_sub(start_ms));
        let summary = Summary { modules, modules_ms, kernel_ms: self.kernel_us / 1000, root_ms };
        self.recorder.sum_up(&summary);
        summary
    }

    /// Reports each index failure once, not once per name.
    fn report(&mut self, name: &[u8], failure: Failure) {
        if matches!(failure, Failure::Index(..)) && self.reported == Some(failure) {
            return;
        }
        self.reported = Some(failure);
        report_failure(b"", name, failure);
    }
}

/// The kernel of a boot. Failures are reported on the console.
pub(crate) struct BootKernel<'a> {
    pub(super) sys: Inserter<'a>,
    /// Whether the file of a loaded module is deleted.
    pub(super) frees: bool,
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

    fn on_outcome(&mut self, step: &Step<'_>, outcome: Outcome<'_>) {
        let Some([cause, detail]) = outcome_prose(outcome) else {
            if cfg!(feature = "boot") && self.frees {
                self.sys.give_back(step.path());
            }
            return;
        };
        // The hardware of the driver is missing, which is not a failure.
        if outcome == Outcome::Refused(Refusal::Kernel(Errno::ENODEV)) {
            return;
        }
        let level = if step.need == Need::Required { Level::Error } else { Level::Notice };
        line(level, "%: %%", &[stem(step.path()), cause, detail]);
    }
}
