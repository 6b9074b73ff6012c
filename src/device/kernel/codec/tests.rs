// SPDX-License-Identifier: MIT OR Apache-2.0
//! The decoders on files of gzip, xz and zstd (tests/fixtures/codec), whole, cut short and damaged.
#![cfg(all(feature = "gz", feature = "xz", feature = "zst"))]

use super::check::Crc;
use super::mapping::LIMIT_LEN;
use super::{CodecError, decode};
use crate::modules::compression::Compression;

const PLAIN: &[u8] = include_bytes!("../../../../tests/fixtures/codec/plain");

macro_rules! fixtures {
    ($($name:literal)*) => {
        [$(($name, include_bytes!(concat!("../../../../tests/fixtures/codec/", $name)) as &[u8])),*]
    };
}

const GZ: [(&str, &[u8]); 2] = fixtures!["name.gz" "members.gz"];
const XZ: [(&str, &[u8]); 12] = fixtures![
    "crc32.xz" "crc64.xz" "sha256.xz" "none.xz" "blocks.xz" "blocks-sized.xz" "streams.xz"
    "x86.xz" "arm.xz" "armthumb.xz" "arm64.xz" "delta-x86.xz"
];
const ZST: [(&str, &[u8]); 4] = fixtures!["checked.zst" "unchecked.zst" "no-size.zst" "frames.zst"];

fn fixtures() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    GZ.into_iter().chain(XZ).chain(ZST)
}

fn decoded(data: &[u8]) -> Result<Vec<u8>, CodecError> {
    decode(data).map(|mapping| mapping.to_vec())
}

/// A gzip member of stored blocks, with every optional field in its header that `flags` asks for.
fn stored_gz(content: &[u8], flags: u8) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
    for (flag, field) in [(4, &b"\x05\0extra"[..]), (8, b"name\0"), (16, b"comment\0"), (2, b"xx")] {
        if flags & flag != 0 {
            file.extend(field);
        }
    }
    for chunk in content.chunks(0xffff) {
        let len = chunk.len() as u16;
        file.push(0);
        file.extend(len.to_le_bytes());
        file.extend((!len).to_le_bytes());
        file.extend(chunk);
    }
    file.extend([1, 0, 0, 0xff, 0xff]);
    file.extend((Crc::crc32().sum(content) as u32).to_le_bytes());
    file.extend((content.len() as u32).to_le_bytes());
    file
}

/// An xz file without blocks, with these records in its index all the same.
fn xz_without_blocks(check: u8, records: &[u8]) -> Vec<u8> {
    let with_sum = |part: &[u8]| [part, &(Crc::crc32().sum(part) as u32).to_le_bytes()].concat();
    let mut index = [&[0], records].concat();
    index.resize(index.len().next_multiple_of(4), 0);
    let index = with_sum(&index);
    let fields = [&(index.len() as u32 / 4 - 1).to_le_bytes()[..], &[0, check]].concat();
    let sum = Crc::crc32().sum(&fields) as u32;
    [b"\xfd7zXZ\0", &with_sum(&[0, check])[..], &index, &sum.to_le_bytes(), &fields, b"YZ"].concat()
}

#[test]
fn every_fixture_decodes_to_the_same_content() {
    for (name, data) in fixtures() {
        assert_eq!(decoded(data).as_deref(), Ok(PLAIN), "{name}");
    }
}

#[test]
fn lzma_rs_agrees() {
    // It knows neither SHA-256, nor filters, nor concatenated streams.
    for name in ["crc32.xz", "crc64.xz", "none.xz", "blocks.xz", "blocks-sized.xz"] {
        let (_, data) = XZ.into_iter().find(|(fixture, _)| *fixture == name).unwrap();
        let mut theirs = Vec::new();
        lzma_rs::xz_decompress(&mut &*data, &mut theirs).unwrap();
        assert_eq!(decoded(data), Ok(theirs), "{name}");
    }
}

#[test]
fn compressions_are_recognized_by_their_magic() {
    assert_eq!(Compression::of(GZ[0].1), Some(Compression::Gz));
    assert_eq!(Compression::of(XZ[0].1), Some(Compression::Xz));
    assert_eq!(Compression::of(ZST[0].1), Some(Compression::Zst));
    assert_eq!(decoded(b"\x7fELF"), Err(CodecError::Unsupported));
}

#[test]
fn a_file_cut_short_is_damaged_or_whole_members_of_it() {
    for (name, data) in fixtures() {
        for len in 0..data.len() {
            if let Ok(content) = decoded(&data[..len]) {
                assert!(name == "members.gz" || name == "streams.xz" || name == "frames.zst", "{name} to {len}");
                assert!(PLAIN.starts_with(&content), "{name} to {len}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_is_found() {
    for (name, data) in fixtures() {
        for at in 0..data.len() {
            let mut flipped = data.to_vec();
            flipped[at] ^= 1 << (at % 8);
            if let Ok(content) = decoded(&flipped) {
                let has_no_sum = name == "none.xz" || name == "unchecked.zst" || name == "frames.zst";
                assert!(has_no_sum || content == PLAIN, "{name} flipped at {at}");
            }
        }
    }
}

#[test]
fn gz_header_fields_and_trailing_zeros_are_skipped() {
    for flags in 0..32 {
        let mut file = stored_gz(b"content", flags);
        assert_eq!(decoded(&file).as_deref(), Ok(&b"content"[..]), "flags {flags:#x}");
        file.extend([0; 7]);
        assert_eq!(decoded(&file).as_deref(), Ok(&b"content"[..]), "flags {flags:#x}");
        file.push(1);
        assert_eq!(decoded(&file), Err(CodecError::Damaged), "garbage behind");
    }
    assert_eq!(decoded(&stored_gz(b"content", 32)), Err(CodecError::Damaged), "reserved flag");
}

#[test]
fn room_grows_past_a_claim_that_is_too_small() {
    let content: Vec<u8> = (0..200_000u32).map(|n| (n >> 3) as u8).collect();
    let file = [stored_gz(&content, 0), stored_gz(b"!", 0)].concat();
    assert_eq!(decoded(&file), Ok([&content[..], b"!"].concat()), "gz: the claim is of the last member");

    // A zstd frame without content size, window 1 MiB, of three runs of 100 000.
    let mut file = b"\x28\xb5\x2f\xfd\0\x50".to_vec();
    for last in [0, 0, 1] {
        file.extend(&(100_000u32 << 3 | 1 << 1 | last).to_le_bytes()[..3]);
        file.push(b'z');
    }
    assert_eq!(decoded(&file), Ok(vec![b'z'; 300_000]));
}

#[test]
fn wrong_claims_are_refused() {
    let mut file = stored_gz(b"content", 0);
    let isize_off = file.len() - 4;
    for claim in [0, 6, 8, u32::MAX] {
        file[isize_off..].copy_from_slice(&claim.to_le_bytes());
        assert!(decoded(&file).is_err(), "ISIZE {claim}");
    }
    // zstd: content size of 8 bytes, one raw block of one byte.
    for (claim, error) in
        [(2, CodecError::Damaged), (LIMIT_LEN as u64 + 1, CodecError::NoMemory), (u64::MAX, CodecError::NoMemory)]
    {
        let file = [b"\x28\xb5\x2f\xfd\xc0\x50", &u64::to_le_bytes(claim)[..], &[9, 0, 0, b'z']].concat();
        assert_eq!(decoded(&file), Err(error), "{claim}");
    }
    for (records, error) in [
        (&[1, 5, 1][..], CodecError::Damaged),
        (&[1, 5, 0x81, 0x80, 0x80, 0x80, 0x04], CodecError::NoMemory),
        (&[2, 5, 1], CodecError::Damaged),
        (&[1, 0x85, 0, 1], CodecError::Damaged),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], CodecError::Damaged),
    ] {
        assert_eq!(decoded(&xz_without_blocks(1, records)), Err(error), "{records:x?}");
    }
    let longest = [&[1][..], &[0xff; 8], &[0x7f], &[0xff; 8], &[0x7f]].concat();
    assert!(decoded(&xz_without_blocks(1, &longest)).is_err());
}

#[test]
fn what_no_module_needs_is_unsupported() {
    // zstd: a frame that names dictionary 7.
    assert_eq!(decoded(b"\x28\xb5\x2f\xfd\x01\x50\x07\x09\0\0z"), Err(CodecError::Unsupported));
    // xz: a check of kind 2, which has a length but no meaning yet.
    assert_eq!(decoded(&xz_without_blocks(2, &[0])), Err(CodecError::Unsupported));
}

#[test]
fn empty_content_is_no_error() {
    assert_eq!(decoded(&stored_gz(b"", 0)), Ok(Vec::new()));
    assert_eq!(decoded(&xz_without_blocks(1, &[0])), Ok(Vec::new()));
    assert_eq!(decoded(b"\x28\xb5\x2f\xfd\x20\0\x01\0\0"), Ok(Vec::new()));
}
