// SPDX-License-Identifier: MIT OR Apache-2.0
//! `initmod snapshot`: prints the modaliases of the machine's devices and the loaded modules, for `mkinitmod snapshot
//! import`.

use super::lsmod::loaded;
use super::print::{Out, error};
use crate::device::buffers::Buffers;
use crate::device::loading::coldplug::each_device;
use crate::device::rt::Args;

/// Runs the command; `args` begins behind its name. Returns the exit status.
pub(super) fn main(buffers: &'static mut Buffers, mut args: Args, _: Args) -> i32 {
    if args.next_bytes().is_some() {
        error("too many arguments provided.", &[]);
        return 1;
    }
    let mut out = Out::new();
    each_device(&mut |device, _| {
        if let Some(modalias) = device.get(b"MODALIAS") {
            out.fill("MODALIAS=%\n", &[modalias]);
        }
    });
    match loaded(&mut buffers.config) {
        Ok(modules) => out.part(modules),
        Err(status) => return status,
    }
    0
}
