// SPDX-License-Identifier: MIT OR Apache-2.0
//! `modprobe [-a] [-q] [-v] [-n] [-D] NAME [PARAM...]` of a loader without the feature `tools`: what the kernel's own
//! request_module and a boot need. Loading itself is in insert.rs, with either.

use super::flags::Flags;
use super::insert;
use crate::device::applets::print::error;
use crate::device::buffers::{AppletBuffers, Buffers};
use crate::device::io::log::errno_prose;
use crate::device::kernel::insert::Inserter;
use crate::device::modules::tree::{Tree, or_failed, read_cmdline};
use crate::device::rt::Args;
use crate::modules::config::MODPROBE_DIRS;
use rustix::fd::AsFd;

/// Runs the command; `args` begins behind its name. Returns the exit status.
pub(crate) fn main(buffers: &'static mut Buffers, mut args: Args, env: Args) -> i32 {
    let Buffers { names, config, cmdline, plan, applet: AppletBuffers { operands, lines, named, .. }, .. } = buffers;
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
    let resolver = tree.with_config(MODPROBE_DIRS, names, config, read_cmdline(cmdline));
    let sys = Inserter::at(tree.dir.as_fd(), env);
    or_failed(insert::Insertion::new(&sys, &tree, resolver, plan, lines, named, &flags).all(operands))
}

fn misuse(template: &'static str, what: &[u8]) -> i32 {
    error(template, &[what]);
    1
}
