//! `modprobe [-a] [-q] [-v] [-n] [-D] NAME [PARAM...]` of a loader without the feature `tools`: what the kernel's own
//! request_module and a boot need. Loading itself is in probe.rs, with either.

#[path = "../applets/modprobe/insert.rs"]
mod insert;

use super::error;
use crate::device::buffers::{AppletRoom, Room};
use crate::device::io::file::read;
use crate::device::io::log::{be_quiet, errno_prose};
use crate::device::kernel::insert::Sys;
use crate::device::modules::tree::{Tree, or_failed, tell_bad_lines};
use crate::device::rt::Args;
use rustix::fs::CWD;

/// What is asked for.
#[derive(Default)]
pub(crate) struct Flags {
    pub(crate) all: bool,
    pub(crate) show_depends: bool,
    pub(crate) dry_run: bool,
    verbose: bool,
}

impl Flags {
    /// Says whether actions are printed.
    pub(crate) fn shows(&self) -> bool {
        self.verbose || self.show_depends
    }

    // What the other options of modprobe ask for, and nobody can here.
    pub(crate) const fn lookup_only(&self) -> bool {
        false
    }
    pub(crate) const fn first_time(&self) -> bool {
        false
    }
    pub(crate) const fn ignore_commands(&self) -> bool {
        false
    }
    pub(crate) const fn use_blacklist(&self) -> bool {
        false
    }

    fn take(&mut self, letter: u8) -> bool {
        match letter {
            b'a' => self.all = true,
            b'q' => be_quiet(),
            b'v' => self.verbose = true,
            b'n' => self.dry_run = true,
            b'D' => (self.dry_run, self.show_depends) = (true, true),
            _ => return false,
        }
        true
    }
}

/// Runs the command; `args` begins behind its name. Returns the exit status.
pub(crate) fn main(room: &'static mut Room, mut args: Args, env: Args) -> i32 {
    let Room { config, cmdline, plan, applet: AppletRoom { operands, line, .. }, .. } = room;
    let mut flags = Flags::default();
    while let Some(arg) = args.next_bytes() {
        match arg {
            b"--" => {}
            [b'-', letters @ ..] if !letters.iter().all(|&letter| flags.take(letter)) => {
                return misuse("unknown option %", arg);
            }
            [b'-', ..] => {}
            _ if operands.push(arg).is_err() => return misuse("too many arguments: %", arg),
            _ => {}
        }
    }
    let tree = match Tree::open() {
        Ok(tree) => tree,
        Err(errno) => return misuse("the module tree: %", errno_prose(errno)),
    };
    let cmdline = read(CWD, b"/proc/cmdline", cmdline).unwrap_or_default();
    let resolver = tree.resolver(config, cmdline);
    tell_bad_lines(&resolver.config);
    let sys = Sys::new(&tree, env);
    or_failed(insert::Probe::new(&sys, &tree, resolver, plan, line, &flags).all(operands))
}

fn misuse(template: &'static str, what: &[u8]) -> i32 {
    error(template, &[what]);
    1
}
