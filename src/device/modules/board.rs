// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of the board, in an image for several: /etc/initmod/boards/COMPATIBLE.conf replaces initmod.conf of
//! modules-load.d, which has the modules of all boards, and COMPATIBLE.order replaces initmod-order.conf of modprobe.d.
//! COMPATIBLE is the first of the device tree's compatible strings that has such a file.

use crate::bytes::split_once;
use crate::device::io::file::read;
use crate::device::io::path::{c_str, join};
use crate::loading::kernel::Errno;
use heapless::VecView;
use rustix::fs::{AtFlags, CWD, statat};

/// Writes to `out`, which is empty, the path of a file of modules-load.d or modprobe.d, or of the board's file in its
/// place, with a NUL.
pub(crate) fn locate(place: &[u8], name: &[u8], out: &mut VecView<u8>) -> Result<(), Errno> {
    let suffix: &[u8] = match (place.ends_with(b"/modules-load.d"), name) {
        (true, b"initmod.conf") => b".conf",
        (false, b"initmod-order.conf") => b".order",
        _ => b"",
    };
    if !suffix.is_empty() {
        let mut buf = [0; 1024];
        let mut rest = read(CWD, b"/proc/device-tree/compatible", &mut buf).unwrap_or_default();
        while let Some((compatible, behind)) = split_once(rest, 0) {
            rest = behind;
            join("/etc/initmod/boards/%%", &[compatible, suffix], out)?;
            if statat(CWD, c_str(out), AtFlags::empty()).is_ok() {
                return Ok(());
            }
            out.clear();
        }
    }
    join("%/%", &[place, name], out)
}
