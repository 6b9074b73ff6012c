//! /sys/devices: the devices that are there already.
//!
//! Read from `uevent` files, not from `modalias` ones: some buses (`mmc:block`, PHYs) put theirs only there. Source:
//! the kernel's drivers/base/core.c, `uevent_show`.

use crate::device::io::file::{EntryType, each_entry_of, open, read};
use crate::modules::name::ALIAS_LEN;
use crate::modules::uevent::Uevent;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::CWD;

/// Deepest that /sys/devices is followed. USB behind seven hubs, the deepest there is, ends at about 20.
const DEPTH: u8 = 40;

/// Who asks for a module.
#[cfg_attr(not(feature = "boot"), allow(dead_code, reason = "nobody writes it down"))]
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    /// A file, or a word of the command line.
    Word(&'a [u8]),
    /// A device by its path.
    Path(&'a [u8]),
    /// A device by its directory.
    Device(&'a OwnedFd),
}

/// What hears of a device: its keys, and the directory that it is.
type Each<'a> = dyn FnMut(Uevent<'_>, &OwnedFd) + 'a;

/// Calls `each` with every device under /sys/devices.
pub(crate) fn each_device(each: &mut Each<'_>) {
    if let Ok(devices) = open(CWD, b"/sys/devices") {
        walk(&devices, DEPTH, &mut [0; ALIAS_LEN], each);
    }
}

fn walk(dir: &OwnedFd, depth: u8, buf: &mut [u8], each: &mut Each<'_>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    each_entry_of(dir, &mut |name, entry_type| {
        if entry_type == EntryType::Directory
            && let Ok(child) = open(dir.as_fd(), name)
        {
            walk(&child, depth, buf, each);
        } else if name == b"uevent" {
            // A device that is going away gives an error: it needs no module any more.
            each(Uevent::file(read(dir.as_fd(), name, buf).unwrap_or_default()), dir);
        }
    });
}
