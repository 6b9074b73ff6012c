//! What a libc would bring: the process entry, the memory functions that compiled code calls, and the few system calls
//! that rustix keeps to itself. Nothing of a libc is linked, so one source and one set of flags serve every Rust Linux
//! target.
#![allow(unsafe_code, reason = "this is the floor: entry, memory and raw system calls")]

mod args;
#[cfg(not(test))]
mod mem;
mod raw;
#[cfg(not(test))]
mod start;

pub(super) use args::{Args, Strings};
#[cfg(feature = "nfs")]
pub(super) use raw::bind_to_device;
pub(super) use raw::{execve, exit, fork, uptime, working_dir};
