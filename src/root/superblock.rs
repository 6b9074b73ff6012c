// SPDX-License-Identifier: MIT OR Apache-2.0
//! Superblocks: identifies a file system and reads its UUID and label, for `root=UUID=` and `root=LABEL=`.
//!
//! Knows ext2 to ext4, btrfs, xfs, f2fs, erofs, squashfs (which has neither UUID nor label) and FAT. Reads only at fixed
//! offsets, so damaged bytes give a wrong name at worst. Source: each file system's header in the kernel
//! (fs/ext4/ext4.h, fs/btrfs/…/btrfs_tree.h, …); `blkid` for the written form of UUIDs.

use crate::bytes::{same_letters, until};
use heapless::VecView;

/// Bytes to read from the start of a device for [`identify`].
pub const HEAD_LEN: usize = 2048;

/// Offset of the superblock of btrfs, bytes from the device's start.
pub const BTRFS_OFF: u64 = 0x1_0000;

/// Bytes to read at [`BTRFS_OFF`] for [`identify`].
pub const BTRFS_LEN: usize = 1024;

/// Type, UUID and label of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock<'map> {
    /// The type's name, as mount(2) takes it.
    pub fs_type: &'static [u8],
    uuid: Uuid<'map>,
    label: Label<'map>,
    /// The number of devices that it lies on.
    pub device_count: u32,
}

/// A UUID, or the shorter identifier that FAT and the MBR have in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uuid<'map> {
    /// The file system has none.
    None,
    /// 16 bytes, printed in this order.
    Plain(&'map [u8; 16]),
    /// A GUID: its first three groups are little-endian.
    Guid(&'map [u8; 16]),
    /// FAT's serial number, printed `1A2B-3C4D`.
    Serial(u32),
    /// A partition of an MBR: the disk's signature and the partition's number, printed `1a2b3c4d-01`.
    Numbered(u32, u8),
}

/// A label of a file system, or the name of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label<'map> {
    /// Bytes up to the first NUL.
    Bytes(&'map [u8]),
    /// UTF-16, little-endian, up to the first NUL.
    Utf16(&'map [u8]),
}

/// Identifies the file system of a device; `None` if it is unknown. `head` holds the device's first [`HEAD_LEN`] bytes,
/// `btrfs` the [`BTRFS_LEN`] bytes at [`BTRFS_OFF`]. Both may be shorter if the device ends early.
pub fn identify<'map>(head: &'map [u8], btrfs: &'map [u8]) -> Option<Superblock<'map>> {
    let at_1k = head.get(1024..).unwrap_or_default();
    let fs = |fs_type: &'static [u8], uuid, label| Some(Superblock { fs_type, uuid, label, device_count: 1 });
    let no_label = Label::Bytes(&[]);
    if has(head, 0, b"XFSB") {
        return fs(b"xfs", plain(head, 32), bytes(head, 108, 12));
    }
    if has(head, 0, b"hsqs") {
        return fs(b"squashfs", Uuid::None, no_label);
    }
    if has(btrfs, 0x40, b"_BHRfS_M") {
        let device_count = le32(btrfs, 0x88).unwrap_or(1); // of 64 bits
        let found = fs(b"btrfs", plain(btrfs, 0x20), bytes(btrfs, 0x12b, 256));
        return found.map(|found| Superblock { device_count, ..found });
    }
    if has(at_1k, 0x38, &[0x53, 0xef]) {
        return fs(ext_type(at_1k), plain(at_1k, 0x68), bytes(at_1k, 0x78, 16));
    }
    if has(at_1k, 0, &0xf2f5_2010_u32.to_le_bytes()) {
        return fs(b"f2fs", plain(at_1k, 108), Label::Utf16(at_1k.get(124..).unwrap_or_default()));
    }
    if has(at_1k, 0, &0xe0f5_e1e2_u32.to_le_bytes()) {
        return fs(b"erofs", plain(at_1k, 48), bytes(at_1k, 64, 16));
    }
    // FAT comes last: a boot sector may be left over in front of a newer file system.
    let (serial_off, label_off) = match () {
        () if has(head, 82, b"FAT32   ") => (67, 71),
        () if has(head, 54, b"FAT1") => (39, 43),
        () => return None,
    };
    if !has(head, 510, &[0x55, 0xaa]) {
        return None;
    }
    let label = head.get(label_off..)?.get(..11)?.trim_ascii_end();
    let label = if label == b"NO NAME" { no_label } else { Label::Bytes(label) };
    fs(b"vfat", le32(head, serial_off).map_or(Uuid::None, Uuid::Serial), label)
}

impl Superblock<'_> {
    /// Returns the UUID.
    pub fn uuid(&self) -> Uuid<'_> {
        self.uuid
    }

    /// Returns the label.
    pub fn label(&self) -> Label<'_> {
        self.label
    }
}

impl Uuid<'_> {
    /// Appends its usual text form; the part that does not fit is dropped.
    pub fn emit(&self, out: &mut VecView<u8>) {
        const ORDER: [u8; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        match *self {
            Uuid::None => {}
            Uuid::Plain(bytes) | Uuid::Guid(bytes) => {
                for (at, place) in (0u8..).zip(ORDER) {
                    let place = if matches!(self, Uuid::Guid(_)) { place } else { at };
                    if matches!(at, 4 | 6 | 8 | 10) {
                        let _ = out.push(b'-');
                    }
                    emit_hex(bytes.get(usize::from(place)).copied().unwrap_or(0), b'a', out);
                }
            }
            Uuid::Serial(serial) => {
                for (at, byte) in serial.to_be_bytes().into_iter().enumerate() {
                    if at == 2 {
                        let _ = out.push(b'-');
                    }
                    emit_hex(byte, b'A', out);
                }
            }
            Uuid::Numbered(signature, number) => {
                for byte in signature.to_be_bytes() {
                    emit_hex(byte, b'a', out);
                }
                let _ = out.push(b'-');
                emit_hex(number, b'a', out);
            }
        }
    }

    /// Whether `text` is this UUID, in upper or lower case. `Uuid::None` equals no text.
    pub fn is(&self, text: &[u8]) -> bool {
        let mut own = heapless::Vec::<u8, 36>::new();
        self.emit(&mut own);
        !own.is_empty() && same_letters(&own, text)
    }
}

impl Label<'_> {
    /// Appends it as UTF-8; the part that does not fit is dropped.
    pub fn emit(&self, out: &mut VecView<u8>) {
        match *self {
            Label::Bytes(text) => {
                let len = text.len().min(out.capacity().saturating_sub(out.len()));
                let _ = out.extend_from_slice(text.get(..len).unwrap_or_default());
            }
            Label::Utf16(text) => {
                let (units, _) = text.as_chunks::<2>();
                let units = units.iter().map(|unit| u16::from_le_bytes(*unit)).take_while(|&unit| unit != 0);
                for char in char::decode_utf16(units) {
                    let char = char.unwrap_or(char::REPLACEMENT_CHARACTER);
                    let _ = out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
    }

    /// Whether `text` is this label, as it is or with `\x20` for a blank, like udev's links in /dev/disk/by-label. An
    /// empty label equals no text.
    ///
    /// Source: libudev's `udev_util_encode_string`.
    pub fn is(&self, text: &[u8]) -> bool {
        let mut own = heapless::Vec::<u8, 512>::new();
        self.emit(&mut own);
        !own.is_empty() && (own == text || is_unescaped(&own, text))
    }
}

/// Whether `own` is `escaped` with its bytes in the place of `\xHH`.
fn is_unescaped(own: &[u8], mut escaped: &[u8]) -> bool {
    let is_same = own.iter().all(|&byte| {
        let mut plain = heapless::Vec::<u8, 4>::from_array([b'\\', b'x']);
        emit_hex(byte, b'a', &mut plain);
        let is_escaped = escaped.get(..4).is_some_and(|escape| same_letters(escape, &plain));
        let (first, rest) = escaped.split_at_checked(if is_escaped { 4 } else { 1 }).unwrap_or_default();
        escaped = rest;
        is_escaped || *first == [byte]
    });
    is_same && escaped.is_empty()
}

/// Returns ext2, ext3 or ext4, by the features in the superblock. The ext4 driver mounts all three.
fn ext_type(superblock: &[u8]) -> &'static [u8] {
    let [compat, incompat, ro_compat] =
        [0x5c, 0x60, 0x64].map(|feature_off| le32(superblock, feature_off).unwrap_or(0));
    match () {
        // ext3 knows only filetype, recover, journal_dev, meta_bg; sparse_super, large_file, btree_dir.
        () if incompat & !0x1e != 0 || ro_compat & !0x7 != 0 => b"ext4",
        () if compat & 0x4 != 0 => b"ext3",
        () => b"ext2",
    }
}

fn has(data: &[u8], magic_off: usize, magic: &[u8]) -> bool {
    data.get(magic_off..).is_some_and(|rest| rest.starts_with(magic))
}

fn plain(data: &[u8], uuid_off: usize) -> Uuid<'_> {
    let uuid = data.get(uuid_off..).and_then(|rest| rest.first_chunk());
    uuid.filter(|uuid| **uuid != [0; 16]).map_or(Uuid::None, Uuid::Plain)
}

fn bytes(data: &[u8], label_off: usize, max_len: usize) -> Label<'_> {
    let field = data.get(label_off..).unwrap_or_default();
    let field = field.get(..max_len).unwrap_or(field);
    Label::Bytes(until(field, 0))
}

/// Reads the little-endian 32-bit integer at `off`; `None` past the end.
pub fn le32(data: &[u8], off: usize) -> Option<u32> {
    data.get(off..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn emit_hex(byte: u8, ten: u8, out: &mut VecView<u8>) {
    for digit in [byte >> 4, byte & 15] {
        let _ = out.push(if digit < 10 { b'0'.wrapping_add(digit) } else { ten.wrapping_add(digit.wrapping_sub(10)) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: [u8; 16] = [0x1a, 0x0b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0xff];
    const TEXT: &[u8] = b"1a0b0102-0304-0506-0708-090a0b0c0dff";

    /// Returns the head of a device, zeros except for `parts`.
    fn device(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; HEAD_LEN];
        for (off, part) in parts {
            head[*off..off + part.len()].copy_from_slice(part);
        }
        head
    }

    fn all() -> Vec<(&'static [u8], Vec<u8>, Vec<u8>)> {
        let none = Vec::new;
        let btrfs = device(&[(0x40, b"_BHRfS_M"), (0x20, &UUID), (0x88, &[2]), (0x12b, b"top\0")]);
        let ext4 =
            device(&[(1080, &[0x53, 0xef]), (1024 + 0x60, &[0x40]), (1024 + 0x68, &UUID), (1024 + 0x78, b"top")]);
        let f2fs = [(1024, &[0x10, 0x20, 0xf5, 0xf2][..]), (1132, &UUID), (1148, b"t\0o\0p\0\0\0")];
        vec![
            (b"xfs", device(&[(0, b"XFSB"), (32, &UUID), (108, b"top")]), none()),
            (b"btrfs", none(), btrfs[..BTRFS_LEN].to_vec()),
            (b"ext4", ext4, none()),
            (b"f2fs", device(&f2fs), none()),
            (b"erofs", device(&[(1024, &[0xe2, 0xe1, 0xf5, 0xe0]), (1072, &UUID), (1088, b"top")]), none()),
        ]
    }

    #[test]
    fn each_file_system_has_a_name_uuid_and_label() {
        for (fs_type, head, btrfs) in all() {
            let found = identify(&head, &btrfs).unwrap();
            assert_eq!((found.fs_type, found.device_count), (fs_type, if fs_type == b"btrfs" { 2 } else { 1 }));
            assert!(found.uuid().is(TEXT) && found.uuid().is(&TEXT.to_ascii_uppercase()));
            assert!(found.label().is(b"top") && !found.label().is(b"to"));
        }
    }

    #[test]
    fn a_label_is_compared_with_udevs_escapes() {
        let is = |label: &'static str, text: &str| Label::Bytes(label.as_bytes()).is(text.as_bytes());
        assert!(is("my root", "my root") && is("my root", r"my\x20root") && is("a/b\\c", r"a\x2fb\x5Cc"));
        assert!(is(r"a\x20b", r"a\x20b"), "a label that looks like one with an escape");
        for text in [r"my\x20roo", r"my\x20root2", r"my\x2", r"my\xzzroot", r"my\x21root", "my"] {
            assert!(!is("my root", text), "{text}");
        }
        let utf16 = Label::Utf16(b"a\0 \0b\0\0\0");
        assert!(utf16.is(br"a\x20b") && !utf16.is(br"a\x20c"));
    }

    #[test]
    fn squashfs_has_neither_uuid_nor_label() {
        let head = device(&[(0, b"hsqs")]);
        let found = identify(&head, &[]).unwrap();
        assert_eq!((found.fs_type, found.uuid()), (&b"squashfs"[..], Uuid::None));
        assert!(!found.uuid().is(b"") && !found.label().is(b""));
    }

    #[test]
    fn ext2_and_ext3_differ() {
        let ext = |features: &[(usize, &[u8])]| {
            let magic: (usize, &[u8]) = (1080, &[0x53, 0xef]);
            identify(&device(&[&[magic][..], features].concat()), &[]).unwrap().fs_type
        };
        assert_eq!(ext(&[]), b"ext2");
        assert_eq!(ext(&[(1024 + 0x5c, &[4]), (1024 + 0x60, &[2])]), b"ext3");
        assert_eq!(ext(&[(1024 + 0x64, &[8])]), b"ext4");
    }

    #[test]
    fn fat_has_a_short_serial_number() {
        let signature: (usize, &[u8]) = (510, &[0x55, 0xaa]);
        for (magic_off, magic, serial_off, label_off) in [(82, &b"FAT32   "[..], 67, 71), (54, b"FAT16", 39, 43)] {
            let serial: (usize, &[u8]) = (serial_off, &[0x4d, 0x3c, 0x2b, 0x1a]);
            let head = device(&[(magic_off, magic), serial, (label_off, b"BOOT       "), signature]);
            let found = identify(&head, &[]).unwrap();
            assert!(found.fs_type == b"vfat" && found.uuid().is(b"1A2B-3C4D") && found.label().is(b"BOOT"));
            let head = device(&[(magic_off, magic), serial, (label_off, b"NO NAME    "), signature]);
            assert!(!identify(&head, &[]).unwrap().label().is(b"NO NAME"));
            assert_eq!(identify(&head[..500], &[]), None, "no boot signature");
        }
    }

    #[test]
    fn nothing_is_nobodys() {
        assert_eq!(identify(&device(&[]), &[]), None);
        let head = device(&[(0, b"XFSB")]);
        let blank = identify(&head, &[]).unwrap();
        assert!(!blank.uuid().is(b"") && !blank.label().is(b""));
        assert!(!blank.uuid().is(b"00000000-0000-0000-0000-000000000000"));
    }

    #[test]
    fn partitions_are_numbered_or_have_a_guid() {
        assert!(Uuid::Numbered(0x1a2b_3c4d, 2).is(b"1a2b3c4d-02"));
        assert!(Uuid::Guid(&UUID).is(b"02010b1a-0403-0605-0708-090a0b0c0dff"));
    }

    #[test]
    fn every_prefix_is_read_within_bounds() {
        for (_, head, btrfs) in all() {
            // Miri would take an hour for all lengths.
            for len in (0..=head.len().max(btrfs.len())).step_by(if cfg!(miri) { 509 } else { 1 }) {
                let cut = |data: &[u8]| data[..len.min(data.len())].to_vec();
                if let Some(found) = identify(&cut(&head), &cut(&btrfs)) {
                    found.uuid().is(TEXT);
                    found.label().is(b"top");
                }
            }
        }
    }
}
