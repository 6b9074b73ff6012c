// SPDX-License-Identifier: MIT OR Apache-2.0
//! Block devices: finds the one that `root=` names, and describes those that are there. Names come from
//! /sys/class/block, file systems and partition tables from the devices.

use super::node::block_node;
use crate::bytes::decimal;
use crate::device::io::file::{each_entry, open, read_joined};
use crate::device::io::log::Decimal;
use crate::device::io::path::{Name, Path, path};
use crate::device::rt::ioctl::scan_device;
use crate::modules::uevent::Uevent;
use crate::root::partition::{BLOCK_LENS, ENTRY_LEN, SECTOR_LEN, gpt_entry_off, of_gpt, of_mbr};
use crate::root::rootdev::{RootDev, Tag};
use crate::root::superblock::{BTRFS_LEN, BTRFS_OFF, HEAD_LEN, Label, Superblock, Uuid, identify};
use heapless::VecView;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};

/// Returns the device's node, if it is there. If several match, returns the first by name.
pub(crate) fn find(wanted: &RootDev<'_>) -> Option<Path> {
    match *wanted {
        RootDev::Path(node) => block_node(node),
        RootDev::Number(major, minor) => numbered_node(major, minor),
        RootDev::Tag(tag, text) => first(&mut |name| matches_tag(name, tag, text)).and_then(|name| node(&name)),
        RootDev::Beside(uuid, distance) => {
            let anchor = first(&mut |name| matches_tag(name, Tag::PartUuid, uuid))?;
            let (disk, number) = partition(&anchor)?;
            let wanted = u32::try_from(i64::from(number).checked_add(distance)?).ok()?;
            let name = first(&mut |name| {
                partition(name).is_some_and(|(its_disk, number)| number == wanted && its_disk == disk)
            });
            node(&name?)
        }
    }
}

/// Parses the value of root=.
pub(crate) fn parse(text: &[u8]) -> Option<RootDev<'_>> {
    RootDev::parse(text)
}

/// The message for a `root=` in another form.
pub(crate) const NOT_UNDERSTOOD: &[u8] =
    b"root= is not understood: a device in /dev, MAJOR:MINOR, UUID=, LABEL=, PARTUUID= or PARTLABEL=";

/// Returns the node of the block device with this number.
fn numbered_node(major: u32, minor: u32) -> Option<Path> {
    let [major, minor] = [major, minor].map(|number| Decimal::new(number.into()));
    let mut text = [0; 1024];
    let uevent = read_joined(CWD, "/sys/dev/block/%:%/uevent", &[major.text(), minor.text()], &mut text)?;
    path("/dev/%", &[Uevent::file(uevent).get(b"DEVNAME")?]).ok()
}

/// Calls `report` with the name and the content of each block device that is not empty.
pub(crate) fn describe(report: &mut dyn FnMut(&[u8], &[u8])) {
    let mut last = Name::new();
    while let Some(name) = first(&mut |name| name > last.as_slice() && !is_idle(name)) {
        let mut text = heapless::Vec::<u8, 900>::new();
        let mut add = |word: &[u8], write: &dyn Fn(&mut VecView<u8>)| {
            let len = text.len();
            let _ = text.extend_from_slice(word);
            let filled = text.len();
            write(&mut text);
            if text.len() == filled && word.ends_with(b"=") {
                text.truncate(len);
            }
        };
        with_superblock(&name, &mut |found| {
            add(b" ", &|text| drop(text.extend_from_slice(found.fs_type)));
            add(b" UUID=", &|text| found.uuid().emit(text));
            add(b" LABEL=", &|text| found.label().emit(text));
        });
        with_partition(&name, &mut |uuid, label| {
            add(b" PARTUUID=", &|text| uuid.emit(text));
            add(b" PARTLABEL=", &|text| label.emit(text));
        });
        report(&name, if text.is_empty() { b" no known file system or partition" } else { &text });
        last = name;
    }
}

/// Writes the device's file system type to `out`, which stays empty if it is unknown. Returns how many other devices of the
/// file system are missing. For btrfs on several, makes those that are there known to the kernel: a mount looks for them
/// among the known ones.
///
/// Source: btrfs-device(8), `scan`.
pub(crate) fn fs_type(node: &Path, out: &mut Name) -> u32 {
    let (mut uuid, mut missing_count) = (heapless::Vec::<u8, 36>::new(), 0);
    if let Ok(device) = open(CWD, node.as_bytes()) {
        with_superblock_of(&device, &mut |found| {
            let _ = out.extend_from_slice(found.fs_type);
            missing_count = found.device_count;
            found.uuid().emit(&mut uuid);
        });
    }
    if missing_count < 2 {
        return 0;
    }
    // The module makes this node. As long as it is not loaded, all count as missing; a mount loads it.
    let control = openat(CWD, c"/dev/btrfs-control", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    if let Ok(control) = control {
        first(&mut |name| {
            if matches_tag(name, Tag::Uuid, &uuid)
                && self::node(name).is_some_and(|node| scan_device(&control, node.as_bytes()).is_ok())
            {
                missing_count = missing_count.saturating_sub(1);
            }
            false
        });
    }
    missing_count
}

/// Returns the first device by name for which `fits` is true.
fn first(fits: &mut dyn FnMut(&[u8]) -> bool) -> Option<Name> {
    let mut best: Option<Name> = None;
    each_entry(CWD, b"/sys/class/block", &mut |name, _| {
        if best.as_ref().is_none_or(|best| name < best.as_slice())
            && fits(name)
            && let Ok(name) = Name::from_slice(name)
        {
            best = Some(name);
        }
    });
    best
}

/// Whether a device is empty: a loop device without a file, a RAM disk. Floppy drives count as empty, as reads take long.
fn is_idle(name: &[u8]) -> bool {
    let mut text = [0; 32];
    name.starts_with(b"fd")
        || name.starts_with(b"ram")
        || read_joined(CWD, "/sys/class/block/%/size", &[name], &mut text) == Some(b"0\n")
}

fn matches_tag(name: &[u8], tag: Tag, text: &[u8]) -> bool {
    let mut fits = false;
    match tag {
        _ if is_idle(name) => {}
        Tag::Uuid => with_superblock(name, &mut |found| fits = found.uuid().is(text)),
        Tag::Label => with_superblock(name, &mut |found| fits = found.label().is(text)),
        Tag::PartUuid => with_partition(name, &mut |uuid, _| fits = uuid.is(text)),
        Tag::PartLabel => with_partition(name, &mut |_, label| fits = label.is(text)),
    }
    fits
}

/// Returns a device's path. `!` in its name in /sys is `/` in /dev.
fn node(name: &[u8]) -> Option<Path> {
    let mut text = Name::from_slice(name).ok()?;
    text.iter_mut().filter(|byte| **byte == b'!').for_each(|byte| *byte = b'/');
    path("/dev/%", &[&text]).ok()
}

fn with_superblock(name: &[u8], each: &mut dyn FnMut(Superblock<'_>)) {
    if let Some(device) = node(name).and_then(|node| open(CWD, node.as_bytes()).ok()) {
        with_superblock_of(&device, each);
    }
}

fn with_superblock_of(device: &OwnedFd, each: &mut dyn FnMut(Superblock<'_>)) {
    let (mut head, mut btrfs) = ([0; HEAD_LEN], [0; BTRFS_LEN]);
    if let Some(found) = identify(read_at(device, 0, &mut head), read_at(device, BTRFS_OFF, &mut btrfs)) {
        each(found);
    }
}

/// Calls `each` with the partition's UUID and label in its disk's partition table.
fn with_partition(name: &[u8], each: &mut dyn FnMut(Uuid<'_>, Label<'_>)) {
    let Some((disk, number)) = partition(name) else { return };
    let Some(disk) = node(&disk).and_then(|node| open(CWD, node.as_bytes()).ok()) else { return };
    let (mut sector, mut entry) = ([0; SECTOR_LEN], [0; ENTRY_LEN]);
    for block_len in BLOCK_LENS {
        if let Some(entry_off) = gpt_entry_off(read_at(&disk, block_len, &mut sector), block_len, number) {
            if let Some((uuid, label)) = of_gpt(read_at(&disk, entry_off, &mut entry)) {
                each(uuid, label);
            }
            return;
        }
    }
    if let Some(uuid) = of_mbr(read_at(&disk, 0, &mut sector), number) {
        each(uuid, Label::Bytes(&[]));
    }
}

/// Returns a partition's disk and number; `None` for other devices.
fn partition(name: &[u8]) -> Option<(Name, u32)> {
    let mut text = [0; 16];
    let number = read_joined(CWD, "/sys/class/block/%/partition", &[name], &mut text)?;
    let number = decimal(number.trim_ascii())?;
    // ../../devices/.../block/DISK/NAME
    let link = crate::device::io::file::link("/sys/class/block/%", &[name])?;
    let disk = link.as_bytes().rsplit(|&byte| byte == b'/').nth(1)?;
    Some((Name::from_slice(disk).ok()?, number))
}

/// Reads from `from` on, up to the length of `buf`.
fn read_at<'buf>(device: &OwnedFd, from: u64, buf: &'buf mut [u8]) -> &'buf [u8] {
    // A bad sector, or a device that goes away, counts as empty.
    let len = rustix::io::pread(device, &mut *buf, from).unwrap_or(0);
    buf.get(..len).unwrap_or_default()
}
