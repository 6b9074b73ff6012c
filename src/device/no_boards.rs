//! In the place of `boards`: an image for one board.

use super::file::join;
use crate::load::Errno;
use heapless::VecView;

pub(super) fn locate(place: &[u8], name: &[u8], out: &mut VecView<u8>) -> Result<(), Errno> {
    join(&[place, b"/", name], out)
}
