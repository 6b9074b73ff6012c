// SPDX-License-Identifier: MIT OR Apache-2.0
//! gzip: one or more members, each with its CRC32 and length. Format: RFC 1952.

use super::check::Crc;
use super::error::CodecError;
use super::mapping::Mapping;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// The decoder needs spare output space to notice the end.
const SLACK_LEN: usize = 64;

/// Decodes every member of `data`. Zero bytes may follow the last, as gzip has it; nothing else.
pub(crate) fn decode(data: &[u8]) -> Result<Mapping, CodecError> {
    // With one member, as always in practice, the last four bytes are the length. A wrong length costs one mapping.
    let claim_len = data.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
    let mut mapping = Mapping::with_capacity(claim_len.saturating_add(SLACK_LEN))?;
    let crc = Crc::crc32();
    let mut state = DecompressorOxide::new();
    let (mut rest, mut len) = (data, 0);
    loop {
        (rest, len) = member(rest, &mut state, &mut mapping, len, &crc)?;
        if rest.iter().all(|&byte| byte == 0) {
            return Ok(mapping.finish(len));
        }
    }
}

/// Decodes the member at the start of `data` behind the `start` bytes that are there; returns what follows both.
fn member<'data>(
    data: &'data [u8],
    state: &mut DecompressorOxide,
    mapping: &mut Mapping,
    start: usize,
    crc: &Crc,
) -> Result<(&'data [u8], usize), CodecError> {
    let mut rest = skip_header(data).ok_or(CodecError::Damaged)?;
    let mut len = 0;
    state.init();
    loop {
        let space = mapping.space().get_mut(start..).ok_or(CodecError::Damaged)?;
        let (status, read_len, written_len) =
            decompress(state, rest, space, len, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF);
        rest = rest.get(read_len..).ok_or(CodecError::Damaged)?;
        len = len.saturating_add(written_len);
        match status {
            TINFLStatus::Done => break,
            TINFLStatus::HasMoreOutput => mapping.grow()?,
            _ => return Err(CodecError::Damaged),
        }
    }
    let end = start.saturating_add(len);
    let content = mapping.space().get(start..end).ok_or(CodecError::Damaged)?;
    let (trailer, rest) = rest.split_first_chunk::<8>().ok_or(CodecError::Damaged)?;
    let claimed = u64::from_le_bytes(*trailer);
    if (len as u64) << 32 | crc.sum(content) == claimed { Ok((rest, end)) } else { Err(CodecError::Damaged) }
}

/// Returns what follows a member's header.
fn skip_header(data: &[u8]) -> Option<&[u8]> {
    let ([0x1f, 0x8b, 8, flags, ..], mut rest) = data.split_first_chunk::<10>()? else { return None };
    if flags & RESERVED != 0 {
        return None;
    }
    if flags & FEXTRA != 0 {
        let (len, tail) = rest.split_first_chunk()?;
        rest = tail.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for text in [FNAME, FCOMMENT] {
        if flags & text != 0 {
            let nul = rest.iter().position(|&byte| byte == 0)?;
            (_, rest) = rest.split_at_checked(nul)?.1.split_first()?;
        }
    }
    if flags & FHCRC != 0 {
        (_, rest) = rest.split_first_chunk::<2>()?;
    }
    Some(rest)
}
