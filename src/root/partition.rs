// SPDX-License-Identifier: MIT OR Apache-2.0
//! Partition tables, MBR and GPT: reads a partition's UUID and name, for `root=PARTUUID=` and `root=PARTLABEL=`.
//!
//! The kernel finds the partitions; only their identity is read here. Checksums are not verified: a damaged table gives
//! a wrong name at worst. Source: the UEFI specification, section 5.3; the kernel's block/partitions/efi.h and msdos.c.
//!
//! ```text
//! MBR, sector 0    440 u32 signature    510 55 aa                                            all little-endian
//! GPT, block 1     0 "EFI PART"    72 u64 block of the entries    80 u32 entry_count    84 u32 entry_len
//! GPT entry        0 type GUID    16 partition GUID    56 name, UTF-16, 72 bytes
//! ```

use super::superblock::{Label, Uuid, le32};

/// Bytes to read of sector 0 and of a GPT header.
pub const SECTOR_LEN: usize = 512;

/// Bytes to read of a GPT entry.
pub const ENTRY_LEN: usize = 128;

/// Block sizes of a GPT, bytes. The header is in block 1, so it starts at one of these offsets.
pub const BLOCK_LENS: [u64; 2] = [512, 4096];

/// Returns the PARTUUID of partition `number`, counted from 1, if `sector`, the disk's first, has an MBR with a
/// signature.
pub fn of_mbr(sector: &[u8], number: u32) -> Option<Uuid<'static>> {
    let signed = sector.get(510..)?.starts_with(&[0x55, 0xaa]);
    let signature = le32(sector, 440)?;
    (signed && signature != 0).then_some(Uuid::Numbered(signature, u8::try_from(number).ok()?))
}

/// Returns the offset of the entry of partition `number`, counted from 1, in bytes from the disk's start.
///
/// `header` was read at the offset `block_len`, one of [`BLOCK_LENS`]. Returns `None` if it is not a GPT header, or has
/// no such entry.
pub fn gpt_entry_off(header: &[u8], block_len: u64, number: u32) -> Option<u64> {
    if !header.starts_with(b"EFI PART") {
        return None;
    }
    let block = header.get(72..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))?;
    let (entry_count, entry_len) = (le32(header, 80)?, le32(header, 84)?);
    let index = number.checked_sub(1).filter(|index| *index < entry_count)?;
    if usize::try_from(entry_len).is_ok_and(|len| len < ENTRY_LEN) {
        return None;
    }
    block.checked_mul(block_len)?.checked_add(u64::from(index).checked_mul(entry_len.into())?)
}

/// Returns the GUID and the name in a GPT entry; `None` if the entry is unused.
pub fn of_gpt(entry: &[u8]) -> Option<(Uuid<'_>, Label<'_>)> {
    let used = entry.first_chunk::<16>()? != &[0; 16];
    let guid = entry.get(16..)?.first_chunk()?;
    let name = entry.get(56..128)?;
    used.then_some((Uuid::Guid(guid), Label::Utf16(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(block: u64, entry_count: u32, entry_len: u32) -> Vec<u8> {
        let mut header = [&b"EFI PART"[..], &[0; 64], &block.to_le_bytes()].concat();
        header.extend([entry_count.to_le_bytes(), entry_len.to_le_bytes()].concat());
        header
    }

    #[test]
    fn an_mbr_numbers_its_partitions() {
        let mut sector = vec![0; SECTOR_LEN];
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(of_mbr(&sector, 1), None, "a signature of 0 is none");
        sector[440..444].copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(of_mbr(&sector, 5), Some(Uuid::Numbered(0x0403_0201, 5)));
        for len in 0..SECTOR_LEN {
            assert_eq!(of_mbr(&sector[..len], 1), None);
        }
    }

    #[test]
    fn an_entry_is_found_where_the_header_says() {
        assert_eq!(gpt_entry_off(&header(2, 128, 128), 512, 3), Some(1024 + 256));
        assert_eq!(gpt_entry_off(&header(2, 128, 256), 4096, 1), Some(8192));
    }

    #[test]
    fn headers_that_lie_lead_nowhere() {
        assert_eq!(gpt_entry_off(&header(2, 128, 128), 512, 0), None);
        assert_eq!(gpt_entry_off(&header(2, 128, 128), 512, 129), None);
        assert_eq!(gpt_entry_off(&header(2, 128, 64), 512, 1), None, "entries shorter than their fields");
        assert_eq!(gpt_entry_off(&header(u64::MAX, 128, 128), 512, 1), None);
        let max = gpt_entry_off(&header(u64::MAX >> 12, u32::MAX, u32::MAX), 4096, u32::MAX);
        assert_eq!(max, None, "past what 64 bits count");
        let good = header(2, 128, 128);
        for len in 0..good.len() {
            assert_eq!(gpt_entry_off(&good[..len], 512, 1), None);
        }
    }

    #[test]
    fn an_entry_has_a_guid_and_a_name() {
        let mut entry = vec![0; ENTRY_LEN];
        assert_eq!(of_gpt(&entry), None, "not in use");
        entry[0] = 1;
        entry[16] = 0xab;
        entry[56..60].copy_from_slice(b"r\0\xe9\0");
        let (uuid, label) = of_gpt(&entry).unwrap();
        assert!(uuid.is(b"000000ab-0000-0000-0000-000000000000") && label.is("ré".as_bytes()));
        for len in 0..ENTRY_LEN {
            assert_eq!(of_gpt(&entry[..len]), None);
        }
    }
}
