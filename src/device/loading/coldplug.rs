// SPDX-License-Identifier: MIT OR Apache-2.0
//! The devices that are there already: /sys/devices.
//!
//! Reads `uevent` files instead of `modalias` files, as some buses (`mmc:block`, PHYs) have their modalias only there.
//! Source: the kernel's drivers/base/core.c, `uevent_show`.

use crate::device::io::file::{EntryType, each_entry_of, open, read};
use crate::modules::name::ALIAS_LEN;
use crate::modules::uevent::Uevent;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::CWD;

/// Most levels of /sys/devices that are read. A USB device behind seven hubs, the most that USB allows, is at about 20.
const DEPTH: u8 = 40;

/// The source of a request.
#[cfg_attr(not(feature = "boot"), allow(dead_code, reason = "nobody writes it down"))]
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    /// A file, or a word of the command line, that lists modules.
    Word(&'a [u8]),
    /// A device, by its path.
    Path(&'a [u8]),
    /// A device, by its directory.
    Device(&'a OwnedFd),
}

/// Callback for each device, with its keys and its directory.
type Each<'a> = dyn FnMut(Uevent<'_>, &OwnedFd) + 'a;

/// Calls `each` with every device under /sys/devices.
pub(crate) fn each_device(each: &mut Each<'_>) {
    if let Ok(devices) = open(CWD, b"/sys/devices") {
        walk(&devices, DEPTH, &mut [0; ALIAS_LEN], each);
    }
}

fn walk(dir: &OwnedFd, depth: u8, buf: &mut [u8], each: &mut Each<'_>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    // An error means that the device is going away.
    let _ = each_entry_of(dir, &mut |name, entry_type| {
        if entry_type == EntryType::Directory
            && let Ok(child) = open(dir.as_fd(), name)
        {
            walk(&child, depth, buf, each);
        } else if name == b"uevent" {
            // An error means that the device is going away.
            each(Uevent::file(read(dir.as_fd(), name, buf).unwrap_or_default()), dir);
        }
    });
}
