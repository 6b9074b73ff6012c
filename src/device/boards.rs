//! Which of several boards this is: an image for a family has /etc/initmod/boards/COMPATIBLE.conf for each, which stands
//! in for initmod.conf of modules-load.d, where all boards' modules are, and COMPATIBLE.order for initmod-order.conf of
//! modprobe.d. The first of the device tree's compatible strings that has a file counts.

use super::file::{append_config, path, read};
use crate::bytes::split_once;
use crate::load::Errno;
use heapless::VecView;
use rustix::fd::BorrowedFd;
use rustix::fs::CWD;

/// Appends a file of the modules-load.d or modprobe.d that is open as `dir`, or what stands in for it.
pub(super) fn append(dir: BorrowedFd<'_>, place: &[u8], name: &[u8], text: &mut VecView<u8>) -> Result<(), Errno> {
    let suffix: &[u8] = match (place.ends_with(b"/modules-load.d"), name) {
        (true, b"initmod.conf") => b".conf",
        (false, b"initmod-order.conf") => b".order",
        _ => b"",
    };
    if !suffix.is_empty() {
        let mut buf = [0; 1024];
        let mut rest = read(CWD, b"/proc/device-tree/compatible", &mut buf).unwrap_or_default();
        while let Some((compatible, behind)) = split_once(rest, 0) {
            rest = behind;
            let lane = path(&[b"/etc/initmod/boards/", compatible, suffix])?;
            let lane = lane.as_bytes();
            match append_config(CWD, lane, &[lane], text) {
                Err(Errno::ENOENT) => {}
                done => return done,
            }
        }
    }
    append_config(dir, name, &[place, b"/", name], text)
}
