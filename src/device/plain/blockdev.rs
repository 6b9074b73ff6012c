//! In the place of `blockdev`, in a build without it: devices by name only.

use crate::device::io::file::each_entry;
use crate::device::io::path::{Name, Path};
use crate::device::root::node::block_node;
use crate::root::rootdev::RootDev;
use rustix::fs::CWD;

/// Finds the device's node.
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

/// What root= takes.
pub(crate) const NOT_UNDERSTOOD: &[u8] = b"this loader was built for root=/dev/... only";

/// Calls `tell` with the block devices that are there, in one line.
pub(crate) fn describe(tell: &mut dyn FnMut(&[&[u8]])) {
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
pub(crate) fn fs_type(_: &Path, _: &mut Name) {}
