//! `modprobe [-a] [-q] [-v] [-n] [-D] NAME…`: what the kernel's own request_module needs, and a person at a shell.
//!
//! Output and exit status are kmod's. On purpose different: of several modules that an alias leads to, the worst
//! result decides the exit status, not the last.

use crate::device::file::read;
use crate::device::log::{put, refusal_prose};
use crate::device::room::{PlanRoom, Room};
use crate::device::rt::Args;
use crate::device::sys::Sys;
use crate::device::tree::{Tree, tell_bad_lines};
use crate::load::{Kernel, OPTIONS_LEN, OnFailure, Outcome, Refusal, State, Target, run};
use crate::name::stem;
use crate::plan::{Need, Plan, Step, path};
use crate::resolve::{Failure, Found, Match, Resolver};
use rustix::fs::CWD;

const USAGE: &[u8] = b"usage: modprobe [-a] [-q] [-v] [-n] [-D] NAME [PARAM=VALUE...]\n       modprobe -a NAME...\n\
    \x20 -a, --all           load every NAME\n\
    \x20 -q, --quiet         say nothing of modules that fail or are unknown\n\
    \x20 -v, --verbose       say what is loaded\n\
    \x20 -n, --dry-run       load nothing\n\
    \x20 -D, --show-depends  print what would be loaded, loaded or not\n";

#[derive(Clone, Copy, Default)]
struct Flags {
    all: bool,
    quiet: bool,
    verbose: bool,
    dry_run: bool,
    show_depends: bool,
}

/// Runs the command; `args` begins behind its name. Returns the exit status.
pub(in crate::device) fn main(room: &'static mut Room, args: Args, env: Args) -> i32 {
    let mut flags = Flags::default();
    let mut names = heapless::Vec::<&'static [u8], 256>::new();
    let mut only_names = false;
    for arg in args.map(core::ffi::CStr::to_bytes) {
        match arg {
            b"--" if !only_names => only_names = true,
            [b'-', _, ..] if !only_names => {
                if let Err(option) = flags.take(arg) {
                    complain(&[b"unknown option ", option, b"\n", USAGE]);
                    return 1;
                }
            }
            _ if names.push(arg).is_err() => {
                complain(&[b"too many arguments\n"]);
                return 1;
            }
            _ => {}
        }
    }
    let Some((first, params)) = names.split_first() else {
        complain(&[b"missing NAME\n", USAGE]);
        return 1;
    };
    let tree = match Tree::open() {
        Ok(tree) => tree,
        Err(_) => {
            let uname = rustix::system::uname();
            complain(&[
                b"FATAL: no modules for this kernel: /lib/modules/",
                uname.release().to_bytes(),
                b" is missing\n",
            ]);
            return 1;
        }
    };
    let Room { config, cmdline, plan: plan_room, .. } = room;
    let cmdline = read(CWD, b"/proc/cmdline", cmdline).unwrap_or_default();
    let resolver = tree.resolver(config, cmdline);
    if !flags.quiet {
        tell_bad_lines(&resolver.config);
    }
    let mut modprobe = Modprobe { sys: Sys::new(&tree, env), tree: &tree, resolver, plan_room, flags };
    if flags.all {
        names.iter().fold(0, |worst, name| worst.max(modprobe.name(name, &[])))
    } else {
        modprobe.name(first, params)
    }
}

impl Flags {
    /// Takes one argument with one long or several short options; returns the part that is none.
    fn take<'a>(&mut self, arg: &'a [u8]) -> Result<(), &'a [u8]> {
        if let Some(long) = arg.strip_prefix(b"--") {
            return match long {
                b"all" => self.short(b'a'),
                b"quiet" => self.short(b'q'),
                b"verbose" => self.short(b'v'),
                b"dry-run" | b"show" => self.short(b'n'),
                b"show-depends" => self.short(b'D'),
                _ => None,
            }
            .ok_or(arg);
        }
        arg.iter().skip(1).try_for_each(|&letter| self.short(letter)).ok_or(arg)
    }

    fn short(&mut self, letter: u8) -> Option<()> {
        match letter {
            b'a' => self.all = true,
            b'q' => self.quiet = true,
            b'v' => self.verbose = true,
            b'n' => self.dry_run = true,
            b'D' => (self.dry_run, self.show_depends) = (true, true),
            _ => return None,
        }
        Some(())
    }

    /// Says why a module is not in; with -q nothing, as kmod.
    fn complain(self, parts: &[&[u8]]) {
        if !self.quiet {
            complain(parts);
        }
    }
}

struct Modprobe<'a> {
    sys: Sys<'a>,
    tree: &'a Tree,
    resolver: Resolver<'static>,
    plan_room: &'static mut PlanRoom,
    flags: Flags,
}

impl Modprobe<'_> {
    /// Loads all that a name stands for and returns the exit status.
    fn name(&mut self, name: &'static [u8], params: &[&[u8]]) -> i32 {
        let mut matches = heapless::Vec::<Match<'static>, 128>::new();
        let found = match self.resolver.resolve(name, &mut matches) {
            Ok(found) => found,
            Err(failure) => return self.failure(name, failure),
        };
        if found == Found::Nothing {
            let level: &[u8] = if self.flags.all { b"WARNING" } else { b"FATAL" };
            let dir = self.tree.path.strip_suffix(b"/").unwrap_or_default();
            self.flags.complain(&[level, b": Module ", name, b" not found in directory ", dir, b"\n"]);
            return 1;
        }
        matches.iter().fold(0, |worst, one| worst.max(self.one(name, *one, found, params)))
    }

    fn one(&mut self, name: &'static [u8], found: Match<'static>, how: Found, params: &[&[u8]]) -> i32 {
        let mut options = heapless::Vec::<u8, OPTIONS_LEN>::new();
        for (at, param) in params.iter().enumerate() {
            let blank: &[u8] = if at == 0 { b"" } else { b" " };
            if options.extend_from_slice(blank).and_then(|()| quote(param, &mut options)).is_err() {
                complain(&[b"FATAL: the parameters are too long\n"]);
                return 1;
            }
        }
        let line = match found {
            Match::Builtin(modname) => {
                if self.flags.show_depends {
                    put(false, &[b"builtin ", if modname.is_empty() { name } else { modname }, b"\n"]);
                }
                return 0;
            }
            Match::Missing(target) => {
                // An alias may lead to a name that is no module, but has a command.
                if let Ok(name) = crate::name::modname(target)
                    && let Some(command) = self.resolver.config.install(&name)
                {
                    return self.run_command(command, &name, &options);
                }
                if self.flags.show_depends {
                    return 0;
                }
                self.flags.complain(&[b"ERROR: could not insert '", target, b"': it is not in the tree\n"]);
                return 1;
            }
            Match::Command(command) => return self.run_command(command, name, &options),
            Match::Module(line) => line,
        };
        let modname = stem(path(line));
        if how == Found::ByAlias && self.resolver.config.blacklists(modname) {
            return 0;
        }
        let is_in = |modname: crate::name::Modname| {
            self.sys.state(&modname) == State::Live || self.resolver.indexes.is_builtin(&modname) == Ok(true)
        };
        if !self.flags.show_depends && crate::name::modname(path(line)).is_ok_and(is_in) {
            return 0;
        }
        let resolver = self.resolver;
        let mut plan = Plan::new(&mut self.plan_room.steps, &mut self.plan_room.visited, &mut self.plan_room.matches);
        if let Err(failure) = plan.add(&resolver, line) {
            return self.failure(name, failure);
        }
        let target = Target { path: path(line), asked_as: name, options: &options };
        let mut kernel = Console { sys: &self.sys, tree: self.tree, flags: self.flags };
        let tally = run(&mut self.plan_room.steps, &resolver, Some(target), OnFailure::Stop, &mut kernel);
        i32::from(tally.failed > 0)
    }

    /// Runs a command that stands for a name which is no module.
    fn run_command(&self, command: &[u8], name: &[u8], options: &[u8]) -> i32 {
        let mut kernel = Console { sys: &self.sys, tree: self.tree, flags: self.flags };
        match kernel.command(command, name, options) {
            Ok(()) => 0,
            Err(refusal) => {
                self.flags.complain(&[b"ERROR: could not insert '", name, b"': ", refusal_prose(refusal), b"\n"]);
                1
            }
        }
    }

    fn failure(&self, name: &[u8], failure: Failure) -> i32 {
        match failure {
            Failure::Index(file, fault) => {
                let off = crate::device::log::Decimal::new(fault.off.into());
                let prose = fault.error.prose().as_bytes();
                let file = file.file_name().as_bytes();
                complain(&[b"ERROR: ", &self.tree.path, file, b": node at ", off.text(), b" ", prose, b"\n"]);
            }
            Failure::Name(error) => complain(&[b"ERROR: ", name, b": ", error.prose().as_bytes(), b"\n"]),
        }
        1
    }
}

/// The kernel as a command reaches it: by its flags a real one, or one that only tells.
struct Console<'a> {
    sys: &'a Sys<'a>,
    tree: &'a Tree,
    flags: Flags,
}

impl Console<'_> {
    fn shows(&self) -> bool {
        (self.flags.verbose && !self.flags.quiet) || self.flags.show_depends
    }
}

impl Kernel for Console<'_> {
    fn state(&mut self, modname: &[u8]) -> State {
        if self.flags.show_depends { State::Unknown } else { self.sys.state(modname) }
    }

    fn insert(&mut self, path: &[u8], options: &[u8]) -> Result<(), Refusal> {
        if self.shows() {
            let dir: &[u8] = if path.starts_with(b"/") { b"" } else { &self.tree.path };
            put(false, &[b"insmod ", dir, path, b" ", options, b"\n"]);
        }
        if self.flags.dry_run { Ok(()) } else { self.sys.insert(path, options) }
    }

    fn command(&mut self, command: &[u8], modname: &[u8], options: &[u8]) -> Result<(), Refusal> {
        if self.shows() {
            put(false, &[b"install ", command, b" ", options, b"\n"]);
        }
        if self.flags.dry_run { Ok(()) } else { self.sys.command(command, modname, options) }
    }

    fn told(&mut self, step: &Step<'_>, outcome: Outcome<'_>) {
        let name = stem(step.path());
        let (cause, detail): (&[u8], &[u8]) = match outcome {
            Outcome::Loaded | Outcome::AlreadyIn => return,
            Outcome::Refused(refusal) => (refusal_prose(refusal), b""),
            Outcome::Needs(dep) => (b"it needs a module that failed: ", stem(dep)),
            Outcome::Unfit(error) => (error.prose().as_bytes(), b""),
        };
        // kmod is silent about softdeps that fail.
        if step.need == Need::Required {
            self.flags.complain(&[b"ERROR: could not insert '", name, b"': ", cause, detail, b"\n"]);
        }
    }
}

/// Appends a parameter as the kernel wants it: a value with a blank in quotes.
fn quote(param: &[u8], out: &mut heapless::VecView<u8>) -> Result<(), heapless::CapacityError> {
    match crate::bytes::split_once(param, b'=') {
        Some((key, value)) if value.contains(&b' ') && !value.starts_with(b"\"") => {
            [key, b"=\"", value, b"\""].iter().try_for_each(|part| out.extend_from_slice(part))
        }
        _ => out.extend_from_slice(param),
    }
}

fn complain(parts: &[&[u8]]) {
    let mut all = heapless::Vec::<&[u8], 16>::new();
    let _ = all.push(b"modprobe: ");
    let _ = all.extend_from_slice(parts);
    put(true, &all);
}
