// SPDX-License-Identifier: MIT OR Apache-2.0
//! The post-mortem of a plain loader: a line for the failure, and no shell.

use super::blockdev;
use super::mount::{Root, mount_prose};
use crate::device::io::log::{Level, line};
use crate::device::modules::tree::Modules;
use crate::device::rt::Args;
use crate::loading::kernel::Errno;

/// Reports nothing.
pub(crate) fn report(_: Option<&Modules>) {}

/// Reports why the root cannot be mounted.
pub(crate) fn report_unmountable(root: &Root<'_>, errno: Errno) {
    line(Level::Error, "mounting % failed: %", &[root.node_path(), mount_prose(errno, false)]);
}

/// Returns the end of the message that the root did not appear in time: the unit of seconds.
pub(crate) fn seconds_and_advice(_: &Root<'_>) -> &'static [u8] {
    b" s"
}

/// Reports nothing.
pub(crate) fn report_left_behind(_: &[u8], _: &Root<'_>, _: Errno, _: bool) {}

/// Reports the block devices that are there.
pub(crate) fn report_devices() {
    blockdev::describe(&mut |names| line(Level::Error, "block devices here:%", &[names]));
}

/// Continues without a shell.
pub(crate) fn pause(_: Args) {}

/// Starts no shell. Returns whether there is one.
pub(crate) fn shell(_: Args) -> bool {
    false
}
