//! The loader. As PID 1 it boots: mounts the kernel's file systems, loads the listed modules and those that devices
//! request, waits for the root, mounts it and starts the real init. Called by the name of a command it runs that command.
//!
//! A step that fails is reported on the console, and the boot continues if it can.
//!
//! `#[inline(never)]` without a reason beside it makes the loader smaller.

#![cfg_attr(test, allow(dead_code, reason = "tests have an entry of their own"))]

mod rt;
mod io;
mod kernel;
mod modules;
mod loading;
mod root;
mod buffers;
mod boot;
mod applets;

use crate::bytes::basename;
use rt::Args;

pub use io::log::died;

/// Boots, or runs the command that the loader is called by. Returns the exit status.
fn main(args: Args, env: Args) -> i32 {
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
