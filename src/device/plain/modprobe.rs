//! `modprobe [-a] [-q] [-v] [-n] [-D] NAME [PARAM...]` of a loader without the feature `tools`: what the kernel's own
//! request_module and a boot need. Loading itself is in probe.rs, with either.

use super::flags::Flags;
use super::insert;
use crate::device::applets::error;
use crate::device::buffers::{AppletRoom, Room};
use crate::device::io::file::read;
use crate::device::io::log::errno_prose;
use crate::device::kernel::insert::Sys;
use crate::device::modules::tree::{Tree, or_failed, tell_bad_lines};
use crate::device::rt::Args;
use rustix::fs::CWD;

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
