// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mapped files that are cut short while they are in use, or whose disk fails: reading them is a SIGBUS, which ends a
//! process, and the machine if that is PID 1. The handler names the file and puts zeros in the place of the rest of its
//! mapping: whoever reads it finds damage, or nothing.
//!
//! Source: sigaction(2), proc_pid_maps(5).

use super::file::read;
use super::log::{FAILED, Level, line};
use crate::bytes::{hexadecimal, split_once, until};
use crate::device::rt::{BusInfo, exit, on_bus};
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::Ordering;
use rustix::fs::CWD;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// Longest /proc/self/maps, bytes: about 80 mappings.
const MAPS_LEN: usize = 8192;

/// The `si_code` of a file that cannot be read. Another one is memory that fails.
const BUS_ADRERR: i32 = 2;

/// Keeps this process and its children alive when a mapped file is cut short.
pub(crate) fn survive() {
    on_bus(handle);
}

extern "C" fn handle(_: i32, info: &BusInfo) {
    if info.code != BUS_ADRERR {
        exit(1);
    }
    FAILED.store(true, Ordering::Relaxed);
    let mut maps = [0; MAPS_LEN];
    let maps = read(CWD, b"/proc/self/maps", &mut maps).unwrap_or_default();
    // Without /proc, one page at a time.
    let (end, path) = mapping(maps, info.address).unwrap_or((info.address.wrapping_add(1), b"?"));
    line(Level::Error, "/%: cut short while in use, or its disk fails", &[path]);
    // The page length of the kernel is one of three.
    let mut page_len = 0x1000_usize;
    while page_len <= 0x1_0000 {
        if zero(info.address & page_len.wrapping_neg(), end) {
            return;
        }
        page_len <<= 2;
    }
    exit(1)
}

/// Returns the end of the mapping at `address`, and its file's path without the first `/`. `maps`: lines of `START-END ...
/// PATH` in hexadecimal, sorted.
fn mapping(mut maps: &[u8], address: usize) -> Option<(usize, &[u8])> {
    loop {
        let (entry, rest) = split_once(maps, b'\n')?;
        let (_, range_end) = split_once(entry, b'-')?;
        let end = hexadecimal(until(range_end, b' '))?;
        if address < end {
            return Some((end, split_once(range_end, b'/')?.1));
        }
        maps = rest;
    }
}

/// Maps zeros in the place of what is mapped from `start` to `end`. Returns whether the kernel takes these addresses.
#[allow(unsafe_code, reason = "mmap")]
fn zero(start: usize, end: usize) -> bool {
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::FIXED);
    let len = end.wrapping_sub(start);
    // SAFETY: by `BUS_ADRERR` there is a mapping of a file, whose bytes may change at any time
    unsafe { mmap_anonymous(with_exposed_provenance_mut(start), len, protection, flags) }.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_at_an_address_is_found() {
        let maps = b"00200000-00204000 r-xp 00000000 00:02 12     /init\n\
            7f10a000-7f10c000 r--p 00000000 fe:01 1234      /lib/modules/6.1.0/modules.dep.bin\n\
            7ffe0000-7fff0000 rw-p 00000000 00:00 0      [stack]\n";
        let path = &b"lib/modules/6.1.0/modules.dep.bin"[..];
        assert_eq!(mapping(maps, 0x7f10_a000), Some((0x7f10_c000, path)));
        assert_eq!(mapping(maps, 0x7f10_bfff), Some((0x7f10_c000, path)));
        assert_eq!(mapping(maps, 0x20_0000), Some((0x20_4000, &b"init"[..])));
        assert_eq!(mapping(maps, 0x7ffe_1000), None);
        assert_eq!(mapping(maps, 0x8000_0000), None);
    }
}
