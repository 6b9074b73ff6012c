// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands that the loader answers to, by the name it is called by, or by its first argument.
//!
//! Options, output and exit status are kmod's; initmod-kmod(8) lists the intended differences.

mod print;
#[cfg(feature = "tools")]
#[cfg_attr(not(feature = "modinfo"), path = "../plain/module_file.rs")]
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
use super::io::log::{put, speak_as};
use super::rt::Args;

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
        #[cfg(any(feature = "tools", feature = "boot"))]
        env.keep();
        (self.main)(buffers, args, env)
    }
}

const SYNOPSIS: &[u8] =
    b"usage: initmod COMMAND [ARG...]  (a link named COMMAND does the same; PID 1 boots)\ncommands:\n";

/// Prints how the loader is called when it is not PID 1, and that it does not know `word`; returns the exit status.
#[cfg(not(feature = "modinfo"))]
pub(super) fn usage(_: &[u8]) -> i32 {
    put(true, SYNOPSIS);
    COMMANDS.iter().flat_map(|command| [command.name, b"\n"]).for_each(|text| put(true, text));
    1
}

/// Prints how the loader is called when it is not PID 1: for --help and --version on standard output. Another word is
/// unknown. Returns the exit status.
#[cfg(feature = "modinfo")]
pub(super) fn usage(word: &[u8]) -> i32 {
    if matches!(word, b"-V" | b"--version") {
        put(false, options::VERSION.as_bytes());
        return 0;
    }
    let is_wrong = !matches!(word, b"-h" | b"--help" | b"help");
    if is_wrong && !word.is_empty() {
        print::error("unknown command '%'", &[word]);
    }
    put(is_wrong, SYNOPSIS);
    put(is_wrong, STEPS);
    put(is_wrong, TOOLS);
    is_wrong.into()
}

/// The commands of the feature `boot`.
#[cfg(feature = "modinfo")]
const STEPS: &[u8] = if cfg!(feature = "boot") {
    b"load      load modules in parallel
coldplug  load the modules of all devices
wait      load modules until a device is there
explain   report why devices are missing
"
} else {
    b""
};

/// The other commands.
#[cfg(feature = "modinfo")]
const TOOLS: &[u8] = b"modprobe  load or remove a module with what it needs
insmod    load one file
rmmod     remove one module
lsmod     list the loaded modules
modinfo   print a module's description
kmod      list; static-nodes
snapshot  print devices and modules for mkinitmod
COMMAND --help lists its options
";
