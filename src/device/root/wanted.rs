// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device that is waited for: by the boot the root, by `initmod wait` its operand.

use super::blockdev;
use crate::device::io::path::Path;
use crate::root::rootdev::RootDev;

/// A device and, once it is there, its node.
pub(crate) struct Wanted {
    dev: RootDev<'static>,
    /// The node, if the last look found it.
    pub(crate) node: Option<Path>,
}

impl Wanted {
    /// Parses a device as `root=` names it.
    ///
    /// # Errors
    /// The forms that are understood, as a message.
    pub(crate) fn parse(text: &'static [u8]) -> Result<Wanted, &'static [u8]> {
        Ok(Wanted { dev: blockdev::parse(text).ok_or(blockdev::NOT_UNDERSTOOD)?, node: None })
    }

    /// Looks for the device. A device that is named by its content is looked for only with
    /// `block_news`, after block devices have changed.
    pub(crate) fn look(&mut self, block_news: bool) {
        if block_news || matches!(self.dev, RootDev::Path(_) | RootDev::Number(..)) {
            self.node = blockdev::find(&self.dev);
        }
    }
}
