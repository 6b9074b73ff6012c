// SPDX-License-Identifier: MIT OR Apache-2.0
//! Child processes: started, waited for, reaped.

use crate::device::io::path::errno;
use crate::device::rt::{exit, fork};
use crate::loading::kernel::{Errno, Refusal};
use rustix::process::{Pid, WaitOptions, waitpid};

/// Reaps orphans, such as the command of a killed worker, so that the real init starts without zombies.
pub(crate) fn reap() {
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
}

/// Runs `job` in a child process and returns what it returned, 0 to 255.
pub(crate) fn in_child(job: impl FnOnce() -> i32) -> Result<i32, Refusal> {
    wait_for(start(job).map_err(Refusal::Kernel)?)
}

/// Starts a child process that ends with what `job` returns, 0 to 255.
pub(crate) fn start(job: impl FnOnce() -> i32) -> Result<Option<Pid>, Errno> {
    match fork() {
        Ok(None) => exit(job()),
        Ok(Some(child)) => Ok(Pid::from_raw(child)),
        Err(error) => Err(Errno(error)),
    }
}

/// Waits for a child's end and returns its exit status.
///
/// # Errors
/// [`Refusal::Killed`] with the signal that ended it.
pub(crate) fn wait_for(child: Option<Pid>) -> Result<i32, Refusal> {
    loop {
        match waitpid(child, WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                let killed = Refusal::Killed(status.terminating_signal().unwrap_or(0));
                return status.exit_status().ok_or(killed);
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Refusal::Kernel(errno(error))),
        }
    }
}
