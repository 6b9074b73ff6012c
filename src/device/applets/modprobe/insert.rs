// SPDX-License-Identifier: MIT OR Apache-2.0
//! `modprobe NAME`: loads all that a name stands for.

use super::flags::Flags;
use crate::bytes::has_byte;
use crate::device::applets::print::{error, failed, fatal, say, show};
use crate::device::applets::refusal::KernelLog;
use crate::device::io::file::open;
use crate::device::io::log::{Decimal, outcome_prose, refusal_prose};
use crate::device::kernel::insert::Inserter;
use crate::device::loading::requests::PlanBuffers;
use crate::device::modules::tree::Tree;
use crate::device::rt::working_dir;
use crate::getopt::join_options;
use crate::loading::kernel::{Errno, Kernel, Outcome, Refusal, State};
use crate::loading::plan::{Plan, Scope};
use crate::loading::run::{OPTIONS_LEN, OnFailure, Target, run};
use crate::loading::step::{Need, Step};
use crate::modules::dep_line::DepLine;
use crate::modules::name::{Modname, modname, stem};
use crate::modules::resolve::{Found, MATCH_COUNT, Match, Resolver};
use crate::seen::SeenSet;
use core::mem;
use heapless::Vec;
use rustix::fd::AsFd;
use rustix::fs::CWD;

/// The insertion of the modules that the operands name.
pub(crate) struct Insertion<'a> {
    tree: &'a Tree,
    resolver: Resolver<'static>,
    buffers: &'static mut PlanBuffers,
    /// Memory for the lines of module files that are named by path.
    lines: &'static mut [u8],
    console: Console<'a>,
}

impl<'a> Insertion<'a> {
    pub(crate) fn new(
        inserter: &'a Inserter<'a>,
        tree: &'a Tree,
        resolver: Resolver<'static>,
        buffers: &'static mut PlanBuffers,
        lines: &'static mut [u8],
        named: &'static mut [u64],
        flags: &'a Flags,
    ) -> Self {
        let kernel_log = if flags.dry_run || flags.lookup_only() { None } else { Some(KernelLog::new()) };
        let (target, named) = (Modname::new(), SeenSet::new(named));
        let console = Console { inserter, tree, resolver, flags, target, named, kernel_log };
        Insertion { tree, resolver, buffers, lines, console }
    }

    /// Loads what the operands ask for: every one a module, or the first one, and the others its options.
    pub(crate) fn all(&mut self, operands: &[&'static [u8]]) -> i32 {
        if self.console.flags.all {
            return operands.iter().fold(0, |worst, name| worst.max(self.name(name, &[])));
        }
        operands.split_first().map_or(1, |(name, params)| self.name(name, params))
    }

    /// Loads all that a name stands for and returns the exit status: of several modules the worst one's.
    fn name(&mut self, name: &'static [u8], params: &[&[u8]]) -> i32 {
        let mut options = Vec::<u8, OPTIONS_LEN>::new();
        if join_options(params, &mut options).is_err() {
            error("the parameters are too long", &[]);
            return 1;
        }
        if cfg!(feature = "tools") && (name.starts_with(b"/") || name.starts_with(b"./")) {
            return match self.line_of_file(name) {
                Some(line) => self.one(name, line, false, &options),
                None => 1,
            };
        }
        let mut matches = Vec::<Match<'static>, MATCH_COUNT>::new();
        let found = match self.resolver.resolve(name, &mut matches) {
            Ok(found) => found,
            Err(failure) => return failed(self.tree, name, failure),
        };
        if found == Found::Nothing {
            let dir = self.tree.path.strip_suffix(b"/").unwrap_or_default();
            let grade: &[u8] = if self.console.flags.all { b"WARNING: " } else { b"FATAL: " };
            say(grade, "Module % not found in directory %", &[name, dir]);
            return 1;
        }
        let by_alias = found == Found::ByAlias;
        matches.iter().fold(0, |worst, found| worst.max(self.one(name, found.dep_line(name), by_alias, &options)))
    }

    /// Makes a line as in modules.dep for a file: its absolute path, and the dependencies in the index for a module
    /// of its name needs.
    fn line_of_file(&mut self, file: &'static [u8]) -> Option<DepLine<'static>> {
        // As kmod: a path that ends in a slash leads to no module.
        let found = if file.ends_with(b"/") { Err(Errno::ENOENT) } else { open(CWD, file).map(drop) };
        if let Err(errno) = found {
            fatal("Failed to get module from path %: %", &[file, refusal_prose(Refusal::File(errno))]);
            return None;
        }
        let name = modname(file).ok()?;
        let needs = match self.resolver.indexes.dep(&name) {
            Ok(found) => found.unwrap_or(DepLine::new(b"")),
            Err(failure) => {
                failed(self.tree, file, failure);
                return None;
            }
        };
        let mut cwd = [0; 1024];
        let (dir, slash): (&[u8], &[u8]) =
            if file.starts_with(b"/") { (b"", b"") } else { (working_dir(&mut cwd), b"/") };
        let lines = mem::take(&mut self.lines);
        let mut rest = &mut *lines;
        let mut put = |part: &[u8]| {
            let (here, behind) = mem::take(&mut rest).split_at_mut_checked(part.len())?;
            here.copy_from_slice(part);
            rest = behind;
            Some(())
        };
        let parts = [dir, slash, file, b":"];
        let whole = parts.iter().try_for_each(|part| put(part));
        let whole = whole.and_then(|()| needs.deps().try_for_each(|dep| put(b" ").and_then(|()| put(dep))));
        let rest_len = rest.len();
        let split = lines.len().checked_sub(rest_len).and_then(|len| lines.split_at_mut_checked(len));
        let (Some(()), Some((line, rest))) = (whole, split) else {
            fatal("%: the paths are too long", &[file]);
            return None;
        };
        self.lines = rest;
        Some(DepLine::new(line))
    }

    /// Loads one module, by its line of modules.dep or its name.
    fn one(&mut self, name: &[u8], line: DepLine<'static>, by_alias: bool, options: &[u8]) -> i32 {
        let flags = self.console.flags;
        let Ok(modname) = line.modname() else {
            error("%: no module's name", &[name]);
            return 1;
        };
        if flags.lookup_only() {
            show("%\n", &[&modname]);
            return 0;
        }
        let of_file = line.path().starts_with(b"/");
        let builtin = !of_file && self.resolver.indexes.is_builtin(&modname).unwrap_or(false);
        if !flags.show_depends && (builtin || self.console.inserter.state(&modname) == State::Live) {
            if flags.first_time() {
                error("could not insert '%': Module already in kernel", &[&modname]);
            }
            return flags.first_time().into();
        }
        if (by_alias || flags.use_blacklist()) && self.resolver.config.blacklists(&modname) {
            return 0;
        }
        self.console.target = modname;
        let resolver = self.resolver;
        let mut plan = Plan::new(&mut self.buffers.steps, &mut self.buffers.visited, &mut self.buffers.matches);
        plan.scope = if flags.dry_run { Scope::Listing } else { Scope::Commands };
        plan.bare = flags.ignore_commands();
        let planned = plan.add(&resolver, line);
        if let Some(failure) = plan.left_out {
            failed(self.tree, name, failure);
        }
        if let Err(failure) = planned {
            return failed(self.tree, name, failure);
        }
        let ignore_command = flags.ignore_commands();
        let target = Target { path: line.path(), asked_as: name, options, ignore_command };
        let tally = run(&mut self.buffers.steps, &resolver, Some(target), OnFailure::Stop, &mut self.console);
        i32::from(tally.failed > 0 || (self.console.flags.first_time() && self.console.target.is_empty()))
    }
}

/// The kernel of a command: real, or, by its flags, only printed.
struct Console<'a> {
    inserter: &'a Inserter<'a>,
    tree: &'a Tree,
    resolver: Resolver<'static>,
    flags: &'a Flags,
    /// The module asked for; empty once somebody else was faster.
    target: Modname,
    /// Paths and modnames that a dry run has listed.
    named: SeenSet<'static>,
    kernel_log: Option<KernelLog>,
}

impl Console<'_> {
    /// Whether a dry run has listed this before.
    fn is_listed(&mut self, name: &[u8]) -> bool {
        self.flags.dry_run && self.named.insert(name, false)
    }

    /// Handles a module without a file: built in, or missing. kmod prints the former with --show-depends.
    fn without_file(&self, name: &[u8]) -> Result<(), Refusal> {
        if self.resolver.indexes.is_builtin(name).unwrap_or(false) {
            if self.flags.show_depends {
                show("builtin %\n", &[name]);
            }
            return Ok(());
        }
        if self.flags.dry_run { Ok(()) } else { Err(Refusal::File(Errno::ENOENT)) }
    }
}

impl Kernel for Console<'_> {
    fn state(&mut self, modname: &[u8]) -> State {
        if self.flags.show_depends { State::Unknown } else { self.inserter.state(modname) }
    }

    fn insert(&mut self, path: &[u8], options: &[u8]) -> Result<(), Refusal> {
        if self.is_listed(path) {
            return Ok(());
        }
        // A module file has .ko in its name, a modname no dot.
        if !has_byte(path, b'.')
            && !path.starts_with(b"/")
            && let Ok(name) = modname(path)
        {
            return self.without_file(&name);
        }
        if self.flags.shows() {
            let dir: &[u8] = if path.starts_with(b"/") { b"" } else { &self.tree.path };
            show("insmod %% %\n", &[dir, path, options]);
        }
        if self.flags.dry_run { Ok(()) } else { self.inserter.insert(path, options) }
    }

    fn command(&mut self, command: &[u8], modname: &[u8], options: &[u8]) -> Result<(), Refusal> {
        if self.is_listed(modname) {
            return Ok(());
        }
        if self.flags.shows() {
            show("install % %\n", &[command, options]);
        }
        if self.flags.dry_run {
            return Ok(());
        }
        let done = self.inserter.command(command, modname, options);
        if let Err(Refusal::Command(status)) = done {
            let status = Decimal::new(status.unsigned_abs().into());
            error("Error running install command '%' for module %: retcode %", &[command, modname, status.text()]);
        }
        done
    }

    fn on_outcome(&mut self, step: &Step<'_>, outcome: Outcome<'_>) {
        let name = stem(step.path());
        let is_target = || modname(name).is_ok_and(|name| name == self.target);
        let [cause, detail] = match outcome_prose(outcome) {
            Some(prose) => prose,
            None if outcome == Outcome::AlreadyIn && self.flags.first_time() && is_target() => {
                self.target.clear();
                [b"Module already in kernel".as_slice(), b""]
            }
            None => return,
        };
        // kmod is silent about softdeps that fail.
        if step.need != Need::Required {
            return;
        }
        error("could not insert '%': %%", &[name, cause, detail]);
        if let (Outcome::Refused(refusal), Some(kernel_log)) = (outcome, &self.kernel_log) {
            kernel_log.explain(refusal, name, &|| open(self.tree.dir.as_fd(), step.path()).ok());
        }
    }
}
