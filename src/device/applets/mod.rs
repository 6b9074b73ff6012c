//! The commands that the loader answers to, by the name it is called by, or by its first argument.
//!
//! Options, output and exit status are kmod's; where a command does better on purpose, README.md says so.

#[cfg(feature = "modinfo")]
mod image;
mod insmod;
#[cfg(feature = "modinfo")]
mod kmod;
mod lsmod;
#[cfg(feature = "modinfo")]
mod modinfo;
mod modprobe;
mod probe;
#[cfg_attr(not(feature = "modinfo"), path = "no_reason.rs")]
mod reason;
mod rmmod;
mod unprobe;

use super::log::{Level, fill, line, put, speak_as, to_kmsg};
use super::room::Room;
use super::rt::Args;
use crate::getopt::{Arg, Getopt, Spec};
use heapless::VecView;

/// A command.
#[derive(Clone, Copy)]
pub(super) struct Command {
    name: &'static [u8],
    main: fn(&'static mut Room, Args, Args) -> i32,
}

const COMMANDS: &[Command] = &[
    Command { name: b"modprobe", main: modprobe::main },
    Command { name: b"insmod", main: insmod::main },
    Command { name: b"rmmod", main: rmmod::main },
    Command { name: b"lsmod", main: lsmod::main },
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
    pub(super) fn run(self, room: &'static mut Room, args: Args, env: Args) -> i32 {
        speak_as(self.name);
        (self.main)(room, args, env)
    }
}

/// Says how the loader is called where it is no PID 1; returns the exit status.
pub(super) fn usage() -> i32 {
    put(true, &[b"usage: initmod COMMAND ..., or by a link of that name; as PID 1 it boots without\ncommands:"]);
    COMMANDS.iter().for_each(|command| put(true, &[b" ", command.name]));
    put(true, &[b"\n"]);
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

/// Takes the options and operands of a command. Each option goes to `each`, which returns whether its value will do.
///
/// # Errors
/// The exit status where that is all there is to do.
fn take(
    spec: Spec,
    synopsis: &'static str,
    next: &mut dyn FnMut() -> Option<&'static [u8]>,
    operands: &mut VecView<&'static [u8]>,
    each: &mut dyn FnMut(u8, &'static [u8]) -> bool,
) -> Result<(), i32> {
    let mut getopt = Getopt::new(spec, next);
    loop {
        let (letter, value) = match getopt.next() {
            Ok(Some(Arg::Option(letter, value))) => (letter, value),
            Ok(Some(Arg::Operand(operand))) => {
                if operands.push(operand).is_err() {
                    error("too many arguments", &[]);
                    return Err(1);
                }
                continue;
            }
            Ok(None) => return Ok(()),
            Err(misuse) => {
                line(Level::Error, &[misuse.prose.as_bytes(), b": ", misuse.option]);
                return Err(1);
            }
        };
        match letter {
            b'V' => put(false, &[b"initmod version ", env!("CARGO_PKG_VERSION").as_bytes(), FEATURES]),
            b'h' => help(spec, synopsis),
            _ => {
                if letter == b's' {
                    to_kmsg();
                }
                if each(letter, value) {
                    continue;
                }
                error("unexpected value '%' of -%", &[value, &[letter]]);
                return Err(1);
            }
        }
        return Err(0);
    }
}

const FEATURES: &[u8] = match (cfg!(feature = "zst"), cfg!(feature = "xz"), cfg!(feature = "gz")) {
    (true, true, true) => b", like kmod 34\n+ZSTD +XZ +ZLIB\n",
    (false, false, false) => b", like kmod 34\n-ZSTD -XZ -ZLIB\n",
    _ => b", like kmod 34\n",
};

/// Prints how a command is called and the names of its options; what they do is in the manual pages of kmod.
fn help(spec: Spec, synopsis: &str) {
    put(false, &[b"usage: ", synopsis.as_bytes(), b"\n"]);
    for entry in spec.as_bytes().split(|&byte| byte == b'\n') {
        let [letter, kind, name @ ..] = entry else { continue };
        let short: &[u8] = if *kind == b'-' { b"    " } else { &[b'-', *letter, b',', b' '] };
        let value: &[u8] = if *kind == b'=' { b" VALUE" } else { b"" };
        put(false, &[b"  ", short, b"--", name, value, b"\n"]);
    }
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
