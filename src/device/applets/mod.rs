//! The commands that the loader answers to, by the name it is called by, or by its first argument.
//!
//! Options, output and exit status are kmod's; where a command does better on purpose, README.md says so.

#[cfg(feature = "modinfo")]
mod module_file;
#[cfg_attr(not(feature = "modinfo"), path = "../plain/refusal.rs")]
mod refusal;
#[cfg(any(feature = "tools", feature = "boot"))]
mod options;
mod modprobe;
#[cfg(feature = "tools")]
mod insmod;
#[cfg(feature = "tools")]
mod rmmod;
#[cfg(feature = "tools")]
mod lsmod;
#[cfg(feature = "modinfo")]
mod modinfo;
#[cfg(feature = "modinfo")]
mod kmod;
#[cfg(feature = "modinfo")]
mod snapshot;
#[cfg(feature = "boot")]
mod boot_steps;

use super::buffers::Buffers;
use super::io::log::{Level, fill, line, put, speak_as};
use super::modules::tree::{Tree, report_failure};
use super::rt::Args;
use crate::modules::resolve::Failure;
#[cfg(any(feature = "tools", feature = "boot"))]
use options::take;

/// A command.
#[derive(Clone, Copy)]
pub(super) struct Command {
    name: &'static [u8],
    main: fn(&'static mut Buffers, Args, Args) -> i32,
}

const COMMANDS: &[Command] = &[
    #[cfg(feature = "boot")]
    Command { name: b"load", main: boot_steps::load },
    #[cfg(feature = "boot")]
    Command { name: b"coldplug", main: boot_steps::coldplug },
    #[cfg(feature = "boot")]
    Command { name: b"wait", main: boot_steps::wait },
    #[cfg(feature = "boot")]
    Command { name: b"explain", main: boot_steps::explain },
    Command { name: b"modprobe", main: modprobe::main },
    #[cfg(feature = "tools")]
    Command { name: b"insmod", main: insmod::main },
    #[cfg(feature = "tools")]
    Command { name: b"rmmod", main: rmmod::main },
    #[cfg(feature = "tools")]
    Command { name: b"lsmod", main: lsmod::main },
    #[cfg(feature = "modinfo")]
    Command { name: b"snapshot", main: snapshot::main },
    #[cfg(feature = "modinfo")]
    Command { name: b"modinfo", main: modinfo::main },
    #[cfg(feature = "modinfo")]
    Command { name: b"kmod", main: kmod::main },
];

/// Finds a command by its name.
pub(super) fn find(name: &[u8]) -> Option<Command> {
    COMMANDS.iter().find(|command| command.name == name).copied()
}

impl Command {
    /// Runs it; `args` begins behind its name. Returns the exit status.
    pub(super) fn run(self, buffers: &'static mut Buffers, args: Args, env: Args) -> i32 {
        speak_as(self.name);
        (self.main)(buffers, args, env)
    }
}

/// Says how the loader is called where it is no PID 1; returns the exit status.
pub(super) fn usage() -> i32 {
    put(true, &[b"usage: initmod COMMAND ..., or by a link of that name; as PID 1 it boots without; commands:\n"]);
    COMMANDS.iter().for_each(|command| put(true, &[command.name, b"\n"]));
    1
}

/// Says what failed; each `%` of the template stands for the next of `args`.
fn error(template: &'static str, args: &[&[u8]]) {
    say(b"ERROR: ", template, args);
}

/// Says why nothing goes on.
fn fatal(template: &'static str, args: &[&[u8]]) {
    say(b"FATAL: ", template, args);
}

fn say(grade: &[u8], template: &'static str, args: &[&[u8]]) {
    let mut text = heapless::Vec::<u8, 1024>::new();
    // What does not fit is cut, as every line is.
    fill(template, args, &mut |part| {
        for &byte in part {
            let _ = text.push(byte);
        }
    });
    line(Level::Error, &[grade, &text]);
}

/// Says why a name can't be looked up; returns the exit status.
fn failed(tree: &Tree, name: &[u8], failure: Failure) -> i32 {
    report_failure(&tree.path, name, failure);
    1
}

/// Prints one action at once, as commands may print between them; each `%` of the template stands for the next of `args`.
fn show(template: &'static str, args: &[&[u8]]) {
    Out::new().fill(template, args);
}

/// What a command prints, collected so that long lists cost few writes.
struct Out(heapless::Vec<u8, 4096>);

impl Out {
    fn new() -> Self {
        Out(heapless::Vec::new())
    }

    #[cfg_attr(not(feature = "tools"), allow(dead_code, reason = "of the tools"))]
    fn put(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.part(part));
    }

    /// Prints a template, each `%` of which stands for the next of `args`.
    fn fill(&mut self, template: &'static str, args: &[&[u8]]) {
        fill(template, args, &mut |part| self.part(part));
    }

    fn part(&mut self, part: &[u8]) {
        if self.0.extend_from_slice(part).is_err() {
            self.flush();
            if self.0.extend_from_slice(part).is_err() {
                put(false, &[part]);
            }
        }
    }

    fn flush(&mut self) {
        put(false, &[&self.0]);
        self.0.clear();
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.flush();
    }
}
