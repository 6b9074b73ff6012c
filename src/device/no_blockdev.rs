//! In the place of `blockdev`, in a build without it: devices by name only.

use super::file::{Name, Path, each_entry};
use crate::rootdev::RootDev;
use rustix::fs::CWD;

/// Finds the device's node.
pub(super) fn find(wanted: &RootDev<'_>) -> Option<Path> {
    match *wanted {
        RootDev::Path(node) => super::root::block_node(node),
        _ => None,
    }
}

/// Parses the value of root=.
pub(super) fn parse(text: &[u8]) -> Option<RootDev<'_>> {
    text.starts_with(b"/dev/").then_some(RootDev::Path(text))
}

/// What root= takes.
pub(super) const NOT_UNDERSTOOD: &[u8] = b"this loader was built for root=/dev/... only";

/// Calls `tell` with the block devices that are there, in one line.
pub(super) fn describe(tell: &mut dyn FnMut(&[&[u8]])) {
    let mut list = heapless::Vec::<u8, 512>::new();
    each_entry(CWD, b"/sys/class/block", &mut |name, _| {
        // What does not fit is left out: the first dozens tell enough.
        if list.capacity().saturating_sub(list.len()) > name.len() {
            let _ = list.push(b' ');
            let _ = list.extend_from_slice(name);
        }
    });
    if !list.is_empty() {
        tell(&[b"here:", &list]);
    }
}

/// Is never known.
pub(super) fn fs_type(_: &Path, _: &mut Name) {}
