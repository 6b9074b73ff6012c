// SPDX-License-Identifier: MIT OR Apache-2.0
//! The network of a loader without the feature `nfs`, which mounts no root on NFS.

use crate::device::io::path::Path;
use crate::loading::options::BootOptions;

/// The network: never there.
pub(crate) enum Net {}

impl Net {
    pub(crate) fn of(_: &BootOptions<'static>) -> Result<Option<Net>, &'static [u8]> {
        Ok(None)
    }

    pub(crate) fn turn(&mut self) -> bool {
        match *self {}
    }

    pub(crate) fn report(&self) {}

    pub(crate) fn source(&self) -> Option<Path> {
        match *self {}
    }

    pub(crate) fn options(&self, _: &[u8], _: &mut heapless::Vec<u8, 1024>) {}
}
