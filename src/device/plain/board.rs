// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration files of a plain loader: each from its own directory, as the image is for one board.

use crate::device::io::path::join;
use crate::loading::kernel::Errno;
use heapless::VecView;

pub(crate) fn locate(place: &[u8], name: &[u8], out: &mut VecView<u8>) -> Result<(), Errno> {
    join("%/%", &[place, name], out)
}
