//! The device node that a path names, where it is a block device.

use crate::device::io::path::{Path, path};
use rustix::fs::{AtFlags, CWD, FileType, statat};

/// Returns the path of a block device that is there.
pub(crate) fn block_node(node: &[u8]) -> Option<Path> {
    let node = path(&[node]).ok()?;
    let stat = statat(CWD, node.as_c_str(), AtFlags::empty()).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice).then_some(node)
}
