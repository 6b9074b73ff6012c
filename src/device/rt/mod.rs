// SPDX-License-Identifier: MIT OR Apache-2.0
//! The parts of a libc that the loader needs: the process entry, memory functions, and the few system calls
//! that rustix keeps to itself. Nothing of a libc is linked, so one source and one set of flags serve every Rust Linux
//! target.
#![allow(unsafe_code, reason = "this is the floor: entry, memory and raw system calls")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a system call's results are in registers, wider than what they hold"
)]

#[cfg(not(test))]
mod mem;
mod args;
mod raw;
pub(crate) mod clock;
#[cfg(feature = "boot")]
pub(crate) mod ioctl;
#[cfg(feature = "nfs")]
pub(crate) mod net;
#[cfg(feature = "xz")]
pub(crate) mod arena;

pub(crate) use args::{Args, Strings};
#[cfg(feature = "nfs")]
pub(crate) use raw::bind_to_device;
pub(crate) use raw::{BusInfo, execve, exit, fork, on_bus, working_dir};
