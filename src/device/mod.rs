//! The loader. As PID 1 it boots: mounts the kernel's file systems, loads the modules on the way to the root, then
//! those of the devices that are there, waits for the root, mounts it and starts the real init. Under the name of a
//! command it is that command.
//!
//! A step that fails is a line on the console, and the boot goes on where it can.

#![cfg_attr(test, allow(dead_code, reason = "tests have an entry of their own"))]

mod rt;
mod io;
mod buffers;
mod kernel;
mod modules;
mod loading;
mod root;
mod boot;
mod applets;

use crate::bytes::basename;
use rt::Args;

pub use io::log::died;

/// Does what the name asks for that the loader is called by; returns the exit status.
fn main(args: Args, env: Args) -> i32 {
    let Some(room) = buffers::take() else { return 1 };
    let mut rest = args;
    let called = rest.next().map_or(&b""[..], |arg| basename(arg.to_bytes()));
    let mut command = applets::find(called);
    if command.is_none() && rustix::process::getpid().is_init() {
        boot::boot(room, args, env);
    }
    if command.is_none() {
        command = rest.next().and_then(|name| applets::find(name.to_bytes()));
    }
    match command {
        Some(command) => command.run(room, rest, env),
        None => applets::usage(),
    }
}
