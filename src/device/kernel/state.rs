// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state of a module in the kernel, by /sys/module.

use crate::device::io::file::read_joined;
use crate::loading::kernel::State;
use rustix::fs::CWD;

/// Reads /sys/module/MODNAME/initstate.
pub(crate) fn state_of(modname: &[u8]) -> State {
    let mut text = [0; 16];
    match read_joined(CWD, "/sys/module/%/initstate", &[modname], &mut text) {
        Some(b"live\n") => State::Live,
        _ => State::Unknown,
    }
}
