//! In the place of `boards`: an image for one board.

use super::file::append_config;
use crate::load::Errno;
use heapless::VecView;
use rustix::fd::BorrowedFd;

pub(super) fn append(dir: BorrowedFd<'_>, place: &[u8], name: &[u8], text: &mut VecView<u8>) -> Result<(), Errno> {
    append_config(dir, name, &[place, b"/", name], text)
}
