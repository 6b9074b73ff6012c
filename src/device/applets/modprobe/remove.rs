// SPDX-License-Identifier: MIT OR Apache-2.0
//! `modprobe -r`: removes modules.

use super::flags::Flags;
use crate::device::applets::print::{error, failed, say, show};
use crate::device::io::log::errno_prose;
use crate::device::kernel::delete::{delete_module, each_holder, presence, refcnt};
use crate::device::kernel::insert::Inserter;
use crate::device::modules::tree::Tree;
use crate::device::rt::clock::{now_ms, sleep_ms};
use crate::device::rt::exit;
use crate::loading::kernel::{Errno, Refusal};
use crate::loading::unload::{Loaded, Policy, Presence, Removal, Stays};
use crate::modules::name::{Modname, modname};
use crate::modules::resolve::{Found, MATCH_COUNT, Match, Resolver};
use heapless::VecView;

/// Takes out all that the names stand for; returns the exit status.
pub(crate) fn all(
    inserter: &Inserter<'_>,
    tree: &Tree,
    resolver: &Resolver<'static>,
    flags: &Flags,
    names: &[&'static [u8]],
) -> i32 {
    let policy = Policy {
        ignore_commands: flags.ignore_commands(),
        holders: flags.holders,
        first_time: flags.first_time(),
        // As kmod: --show-depends lists what is in use, too.
        waits: flags.show_depends || flags.wait_ms.is_some_and(|wait_ms| wait_ms > 0),
        dry_run: flags.dry_run,
    };
    let mut console = Console { inserter, resolver: *resolver, flags };
    let mut status = 0;
    for name in names {
        let mut matches = heapless::Vec::<Match<'static>, MATCH_COUNT>::new();
        match resolver.resolve(name, &mut matches) {
            Err(failure) => status = failed(tree, name, failure),
            Ok(Found::Nothing) => {
                status = 1;
                fail(flags, "Module % not found.", name);
            }
            Ok(_) => {
                let mut removal = Removal::new(resolver, policy, &mut console);
                if !matches.iter().all(|found| removal.remove(found.dep_line(name).path())) {
                    status = 1;
                }
            }
        }
    }
    status
}

/// Reports a failed removal. Without -a, and unless -q silences it, it ends the command, like kmod's lines that are FATAL.
fn fail(flags: &Flags, template: &'static str, name: &[u8]) {
    say(if flags.all { b"WARNING: " } else { b"FATAL: " }, template, &[name]);
    if !flags.all && !flags.quiet {
        exit(1);
    }
}

struct Console<'a> {
    inserter: &'a Inserter<'a>,
    resolver: Resolver<'static>,
    flags: &'a Flags,
}

impl Loaded for Console<'_> {
    fn presence(&mut self, modname: &[u8]) -> Presence {
        // As kmod: --show-depends lists what would be removed, whatever is loaded.
        if self.flags.show_depends { Presence::Loaded } else { presence(modname, &self.resolver) }
    }

    fn refcnt(&mut self, modname: &[u8]) -> Option<u32> {
        refcnt(modname)
    }

    fn holders(&mut self, modname: &[u8], holders: &mut VecView<Modname>) {
        each_holder(modname, &mut |name| {
            if let Ok(name) = self::modname(name) {
                // A holder that does not fit is still there, so the kernel refuses the removal: in use.
                let _ = holders.push(name);
            }
        });
    }

    fn remove(&mut self, modname: &[u8]) -> Result<(), Errno> {
        if self.flags.shows() {
            show("rmmod %\n", &[modname]);
        }
        if self.flags.dry_run {
            return Ok(());
        }
        let (start_ms, wait_ms) = (now_ms(), u64::from(self.flags.wait_ms.unwrap_or(0)));
        let mut pause_ms = 1;
        loop {
            let left_ms = wait_ms.saturating_sub(now_ms().saturating_sub(start_ms));
            match delete_module(modname, self.flags.by_force) {
                Err(Errno::EAGAIN) if left_ms > 0 => {}
                done => return done,
            }
            sleep_ms(left_ms.min(pause_ms));
            pause_ms = pause_ms.saturating_mul(2);
        }
    }

    fn command(&mut self, command: &[u8], modname: &[u8]) -> Result<(), Refusal> {
        if self.flags.shows() {
            show("remove %\n", &[command]);
        }
        if self.flags.dry_run { Ok(()) } else { self.inserter.command(command, modname, b"") }
    }

    fn on_stay(&mut self, modname: &[u8], why: Stays) {
        let template = match why {
            Stays::NotIn => "Module % is not in kernel.",
            Stays::Builtin => "Module % is builtin.",
            Stays::InUse => "Module % is in use.",
            Stays::Command => "Error running remove command for %",
            Stays::Unfit => "Module % has no module's name, or too many softdeps.",
            Stays::Kernel(errno) => return error("could not remove '%': %", &[modname, errno_prose(errno)]),
        };
        fail(self.flags, template, modname);
    }
}
