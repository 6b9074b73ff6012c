// SPDX-License-Identifier: MIT OR Apache-2.0
//! The choice between the boot and a command.

use super::io::cut;
use super::rt::Args;
use super::{applets, boot, buffers};
use crate::bytes::basename;

/// Boots, or runs the command that the loader is called by. Returns the exit status.
pub(super) fn main(args: Args, env: Args) -> i32 {
    cut::survive();
    let Some(buffers) = buffers::take() else { return 1 };
    let mut rest = args;
    let called = rest.next().map_or(&b""[..], |arg| basename(arg.to_bytes()));
    let mut word = &b""[..];
    let mut command = applets::find(called);
    if command.is_none() && rustix::process::getpid().is_init() {
        boot::boot(buffers, args, env);
    }
    if command.is_none() {
        word = rest.next_bytes().unwrap_or_default();
        command = applets::find(word);
    }
    match command {
        Some(command) => command.run(buffers, rest, env),
        None => applets::usage(word),
    }
}
