// SPDX-License-Identifier: MIT OR Apache-2.0
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
mod main;
#[cfg(not(test))]
mod start;

pub use io::log::died;
