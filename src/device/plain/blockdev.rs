// SPDX-License-Identifier: MIT OR Apache-2.0
//! Block devices of a plain loader: found by path only.

use crate::device::io::file::each_entry;
use crate::device::io::path::{Name, Path};
use crate::device::root::node::block_node;
use crate::root::rootdev::RootDev;
use rustix::fs::CWD;

/// Returns the device's node, if it is there.
pub(crate) fn find(wanted: &RootDev<'_>) -> Option<Path> {
    match *wanted {
        RootDev::Path(node) => block_node(node),
        _ => None,
    }
}

/// Parses the value of root=.
pub(crate) fn parse(text: &[u8]) -> Option<RootDev<'_>> {
    text.starts_with(b"/dev/").then_some(RootDev::Path(text))
}

/// The message for a `root=` in another form.
pub(crate) const NOT_UNDERSTOOD: &[u8] = b"root= is not understood: this loader takes root=/dev/... only";

/// Calls `report` with the names of the block devices, each behind a blank.
pub(crate) fn describe(report: &mut dyn FnMut(&[u8])) {
    let mut list = heapless::Vec::<u8, 512>::new();
    each_entry(CWD, b"/sys/class/block", &mut |name, _| {
        // Names that do not fit are left out.
        if list.capacity().saturating_sub(list.len()) > name.len() {
            let _ = list.push(b' ');
            let _ = list.extend_from_slice(name);
        }
    });
    if !list.is_empty() {
        report(&list);
    }
}

/// Leaves `out` empty: the type is unknown. Returns that no device is known to be missing.
pub(crate) fn fs_type(_: &Path, _: &mut Name) -> u32 {
    0
}
