//! The two lanes of a boot: first the modules that /etc/modules-load.d lists, in their order, the way to the root; then
//! those that the devices ask for, pass by pass, as new devices come up.

use super::log::{Decimal, Level, line, refusal_prose};
use super::room::PlanRoom;
use super::rt::Args;
use super::sys::Sys;
use super::tree::Tree;
use crate::config::lines;
use crate::load::{Errno, Kernel, OnFailure, Outcome, Refusal, State, Tally, run};
use crate::name::stem;
use crate::plan::{Need, Plan, Step, path};
use crate::resolve::{Failure, Found, Match, Resolver};

/// Loads what is asked for, and remembers what was.
pub(super) struct Lanes<'a> {
    kernel: BootKernel<'a>,
    resolver: Resolver<'static>,
    plan: Plan<'static, 'static>,
    seen: &'static mut heapless::VecView<u64>,
    /// What all lanes together came to.
    pub(super) tally: Tally,
    told: Option<Failure>,
}

impl<'a> Lanes<'a> {
    pub(super) fn new(tree: &'a Tree, resolver: Resolver<'static>, room: &'static mut PlanRoom, env: Args) -> Self {
        Lanes {
            kernel: BootKernel(Sys::new(tree, env)),
            resolver,
            plan: Plan::new(&mut room.steps, &mut room.visited, &mut room.matches),
            seen: &mut room.seen,
            tally: Tally::default(),
            told: None,
        }
    }

    /// Loads the modules that modules-load.d names, a name a line.
    pub(super) fn load_list(&mut self, text: &'static [u8]) {
        for entry in lines(text) {
            if !self.ask(entry.text) {
                line(Level::Error, &[entry.file, b": ", entry.text, b": no such module in this image"]);
            }
        }
        self.load();
    }

    /// Loads what the devices that are there ask for, and again what the devices ask for that come up by that, until
    /// nothing new does. Returns whether anything was loaded.
    pub(super) fn coldplug(&mut self) -> bool {
        let loaded_before = self.tally.loaded;
        loop {
            let loaded = self.tally.loaded;
            super::coldplug::each_modalias(&mut |modalias| {
                let hash = fnv(modalias);
                if !self.seen.contains(&hash) {
                    // Full: it is looked up again in the next pass, which costs time and nothing else.
                    let _ = self.seen.push(hash);
                    self.ask(modalias);
                }
            });
            self.load();
            if self.tally.loaded == loaded {
                return loaded != loaded_before;
            }
        }
    }

    /// Plans what a name stands for; says whether anything knows it.
    fn ask(&mut self, name: &[u8]) -> bool {
        let mut matches = heapless::Vec::<Match<'static>, 128>::new();
        let found = match self.resolver.resolve(name, &mut matches) {
            Ok(Found::Nothing) => return false,
            Ok(found) => found,
            Err(failure) => {
                self.tell(name, failure);
                return true;
            }
        };
        for one in matches {
            let Match::Module(dep_line) = one else { continue };
            if found == Found::ByAlias && self.resolver.config.blacklists(stem(path(dep_line))) {
                continue;
            }
            let added = self.plan.add(&self.resolver, dep_line);
            if let Some(failure) = added.err().or(self.plan.left_out.take()) {
                self.tell(name, failure);
            }
        }
        true
    }

    fn load(&mut self) {
        let tally = run(self.plan.steps, &self.resolver, None, OnFailure::GoOn, &mut self.kernel);
        self.tally.loaded = self.tally.loaded.saturating_add(tally.loaded);
        self.tally.already = self.tally.already.saturating_add(tally.already);
        self.tally.failed = self.tally.failed.saturating_add(tally.failed);
        self.tally.optional_failed = self.tally.optional_failed.saturating_add(tally.optional_failed);
    }

    /// Says once what is wrong with an index, not once per name.
    fn tell(&mut self, name: &[u8], failure: Failure) {
        if self.told == Some(failure) {
            return;
        }
        self.told = Some(failure);
        match failure {
            Failure::Index(file, fault) => {
                let off = Decimal::new(fault.off.into());
                let (file, prose) = (file.file_name().as_bytes(), fault.error.prose().as_bytes());
                line(Level::Error, &[file, b": node at ", off.text(), b" ", prose]);
            }
            Failure::Name(error) => line(Level::Error, &[name, b" ", error.prose().as_bytes()]),
        }
    }
}

/// The kernel as the boot reaches it: failures are lines on the console.
struct BootKernel<'a>(Sys<'a>);

impl Kernel for BootKernel<'_> {
    fn state(&mut self, modname: &[u8]) -> State {
        self.0.state(modname)
    }

    fn insert(&mut self, path: &[u8], options: &[u8]) -> Result<(), Refusal> {
        self.0.insert(path, options)
    }

    fn command(&mut self, command: &[u8], modname: &[u8], options: &[u8]) -> Result<(), Refusal> {
        self.0.command(command, modname, options)
    }

    fn told(&mut self, step: &Step<'_>, outcome: Outcome<'_>) {
        let (prose, detail): (&[u8], &[u8]) = match outcome {
            Outcome::Loaded | Outcome::AlreadyIn => return,
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

/// FNV-1a, 64 bits: modaliases are told apart by it.
fn fnv(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
