// SPDX-License-Identifier: MIT OR Apache-2.0
//! Device nodes.

use crate::device::io::path::{Path, path};
use rustix::fs::{AtFlags, CWD, FileType, statat};

/// Returns the path if it is that of a block device.
pub(crate) fn block_node(node: &[u8]) -> Option<Path> {
    let node = path("%", &[node]).ok()?;
    let stat = statat(CWD, node.as_c_str(), AtFlags::empty()).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice).then_some(node)
}
