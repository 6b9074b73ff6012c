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
    let mut command = applets::find(called);
    if command.is_none() && rustix::process::getpid().is_init() {
        boot::boot(buffers, args, env);
    }
    if command.is_none() {
        command = rest.next().and_then(|name| applets::find(name.to_bytes()));
    }
    match command {
        Some(command) => command.run(buffers, rest, env),
        None => applets::usage(),
    }
}
