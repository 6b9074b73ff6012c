// SPDX-License-Identifier: MIT OR Apache-2.0
//! xz: the container is read here, the LZMA2 in it by a crate. Format: the .xz file format 1.2.1, tukaani.org.
//!
//! ```text
//! file    stream, zero padding by fours, stream, ...
//! stream  header 12: FD "7zXZ" 00, flags 2, crc32
//!         blocks
//!         index: 00, record count, records, 0..3 zeros, crc32
//!         footer 12: crc32, index length / 4 - 1, flags 2, "YZ"
//! record  block length without padding, content length
//! block   header: length / 4 - 1, flags, [data length], [content length], filters, zeros, crc32
//!         LZMA2 data, 0..3 zeros, check
//! ```
//! All of it is in memory, so it is read from its end: the indexes, which bring checksums of their own, give every
//! block's place in the input and in the output before the first is decoded.

use super::CodecError::{Damaged, NoMemory, Unsupported};
use super::check::Crc;
use super::error::CodecError;
use super::mapping::LIMIT_LEN;
use super::mapping::Mapping;
use super::sha256::sha256;
use lzma_rust2::filter::StreamFilter;
use lzma_rust2::{DICT_SIZE_MIN, FilterConfig, FilterType, Lzma2Reader, Read};

const HEADER_MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const FOOTER_MAGIC: &[u8] = b"YZ";

/// Decodes every stream of `data`.
pub(crate) fn decode(data: &[u8]) -> Result<Mapping, CodecError> {
    let crc32 = Crc::crc32();
    let (mut rest, mut len) = (data, 0usize);
    while !rest.is_empty() {
        let stream = Stream::last_of(rest, &crc32)?;
        len = len.checked_add(stream.content_len).ok_or(NoMemory)?;
        rest = stream.before;
    }
    let mut mapping = Mapping::with_capacity(len)?;
    let (mut rest, mut space) = (data, mapping.space().get_mut(..len).ok_or(Damaged)?);
    while !rest.is_empty() {
        let stream = Stream::last_of(rest, &crc32)?;
        let start = space.len().checked_sub(stream.content_len).ok_or(Damaged)?;
        let (head, content) = space.split_at_mut_checked(start).ok_or(Damaged)?;
        stream.decode(content, &crc32)?;
        (rest, space) = (stream.before, head);
    }
    Ok(mapping.finish(len))
}

/// A stream whose header, index and footer agree.
struct Stream<'data> {
    /// The file's bytes in front of it.
    before: &'data [u8],
    blocks: &'data [u8],
    /// The index from its record count on.
    index: &'data [u8],
    check: Check,
    /// The decoded length of all its blocks.
    content_len: usize,
}

impl<'data> Stream<'data> {
    /// Finds the stream at the end of `data`.
    fn last_of(mut data: &'data [u8], crc32: &Crc) -> Result<Self, CodecError> {
        while let Some((head, [0, 0, 0, 0])) = data.split_last_chunk() {
            data = head;
        }
        let (rest, footer) = split_last(data, 12)?;
        let (sum, fields) = footer.split_first_chunk().ok_or(Damaged)?;
        let fields = fields.strip_suffix(FOOTER_MAGIC).ok_or(Damaged)?;
        let (index_len, flags) = fields.split_first_chunk().ok_or(Damaged)?;
        agree(crc32.sum(fields) == u64::from(u32::from_le_bytes(*sum)))?;
        let index_len =
            usize::try_from((u64::from(u32::from_le_bytes(*index_len)).saturating_add(1)).saturating_mul(4));
        let (rest, index) = split_last(rest, index_len.map_err(|_| Damaged)?)?;
        let index = checked_by_its_sum(index, crc32)?.strip_prefix(&[0]).ok_or(Damaged)?;

        let (mut blocks_len, mut content_len) = (0usize, 0usize);
        for record in Records::of(index)? {
            let record = record?;
            blocks_len = blocks_len.checked_add(record.padded_len()?).ok_or(Damaged)?;
            content_len = content_len.saturating_add(record.content_len);
        }
        if content_len > LIMIT_LEN {
            return Err(NoMemory);
        }
        let (rest, blocks) = split_last(rest, blocks_len)?;
        let (before, header) = split_last(rest, 12)?;
        let header = header.strip_prefix(HEADER_MAGIC).ok_or(Damaged)?;
        agree(checked_by_its_sum(header, crc32)? == flags)?;
        Ok(Stream { before, blocks, index, check: Check::from_flags(flags)?, content_len })
    }

    /// Decodes its blocks into `space`, which is as long as its content.
    fn decode(&self, mut space: &mut [u8], crc32: &Crc) -> Result<(), CodecError> {
        let mut blocks = self.blocks;
        for record in Records::of(self.index)? {
            let record = record?;
            let (block, following) = blocks.split_at_checked(record.padded_len()?).ok_or(Damaged)?;
            let (content, tail) = space.split_at_mut_checked(record.content_len).ok_or(Damaged)?;
            self.decode_block(block, record.block_len, content, crc32)?;
            (blocks, space) = (following, tail);
        }
        Ok(())
    }

    /// Decodes the padded `block`, `block_len` long without padding, into `content`, which it has to fill.
    fn decode_block(&self, block: &[u8], block_len: usize, content: &mut [u8], crc32: &Crc) -> Result<(), CodecError> {
        let header_len = usize::from(*block.first().ok_or(Damaged)?).saturating_add(1).saturating_mul(4);
        let (header, rest) = block.split_at_checked(header_len).ok_or(Damaged)?;
        let (padded, sum) = split_last(rest, self.check.sum_len())?;
        let padding_len = block.len().saturating_sub(block_len);
        let (data, padding) = split_last(padded, padding_len)?;
        agree(padding.iter().all(|&byte| byte == 0))?;
        let header = Header::parse(checked_by_its_sum(header, crc32)?)?;
        agree(header.data_len.is_none_or(|len| len == data.len() as u64))?;
        agree(header.content_len.is_none_or(|len| len == content.len() as u64))?;

        // The window never needs to be longer than what goes through it, whatever size the header gives.
        let window_len = u32::try_from(content.len()).map_err(|_| NoMemory)?.max(DICT_SIZE_MIN).min(header.window_len);
        let mut reader = Lzma2Reader::new(data, window_len, None);
        reader.read_exact(content)?;
        agree(reader.read(&mut [0])? == 0 && reader.inner().is_empty())?;
        for filter in header.filters.into_iter().rev().flatten() {
            stream_filter(filter)?.decode(content);
        }
        self.check.verify(content, sum, crc32)
    }
}

/// Sets a filter up. Branch filters of other machines, which no module of this one went through, are left out: 2 kB.
fn stream_filter(filter: FilterConfig) -> Result<StreamFilter, CodecError> {
    let FilterConfig { filter_type, property } = filter;
    // Named one by one, so that the others are not linked.
    let known = |filter_type| Ok(StreamFilter::new(&FilterConfig { filter_type, property })?);
    match filter_type {
        FilterType::Delta => known(FilterType::Delta),
        #[cfg(any(test, target_arch = "x86_64"))]
        FilterType::BcjX86 => known(FilterType::BcjX86),
        #[cfg(any(test, target_arch = "aarch64"))]
        FilterType::BcjArm64 => known(FilterType::BcjArm64),
        #[cfg(any(test, target_arch = "arm"))]
        FilterType::BcjArm => known(FilterType::BcjArm),
        #[cfg(any(test, target_arch = "arm"))]
        FilterType::BcjArmThumb => known(FilterType::BcjArmThumb),
        #[cfg(test)]
        _ => known(filter_type),
        #[cfg(not(test))]
        _ => Err(Unsupported),
    }
}

/// Yields the records of an index; the first that is malformed is the last.
struct Records<'data> {
    rest: &'data [u8],
    left_count: u64,
}

struct Record {
    /// Header, data and check of the block.
    block_len: usize,
    content_len: usize,
}

impl<'data> Records<'data> {
    fn of(mut index: &'data [u8]) -> Result<Self, CodecError> {
        let left_count = number(&mut index)?;
        Ok(Records { rest: index, left_count })
    }

    fn record(&mut self) -> Result<Record, CodecError> {
        let mut length = || usize::try_from(number(&mut self.rest)?).map_err(|_| NoMemory);
        Ok(Record { block_len: length()?, content_len: length()? })
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left_count == 0 {
            // Padding follows the last record.
            let padding = core::mem::take(&mut self.rest);
            return (padding.len() > 3 || padding.iter().any(|&byte| byte != 0)).then_some(Err(Damaged));
        }
        let record = self.record();
        self.left_count = if record.is_ok() { self.left_count.saturating_sub(1) } else { 0 };
        Some(record)
    }
}

impl Record {
    fn padded_len(&self) -> Result<usize, CodecError> {
        self.block_len.checked_next_multiple_of(4).ok_or(Damaged)
    }
}

/// The header of a block.
struct Header {
    data_len: Option<u64>,
    content_len: Option<u64>,
    /// The dictionary size of LZMA2, bytes.
    window_len: u32,
    /// The filters in front of LZMA2, in the order of compression.
    filters: [Option<FilterConfig>; 3],
}

impl Header {
    /// Parses a header without its checksum.
    fn parse(header: &[u8]) -> Result<Header, CodecError> {
        const LZMA2: u64 = 0x21;
        let [_, flags, rest @ ..] = header else { return Err(Damaged) };
        if flags & 0b0011_1100 != 0 {
            return Err(Unsupported);
        }
        let mut rest = rest;
        let data_len = if flags & 0x40 != 0 { Some(number(&mut rest)?) } else { None };
        let content_len = if flags & 0x80 != 0 { Some(number(&mut rest)?) } else { None };
        let mut filters = [None, None, None];
        for slot in filters.iter_mut().take(usize::from(flags & 3)) {
            let (id, properties) = filter(&mut rest)?;
            *slot = Some(FilterConfig {
                filter_type: FilterType::try_from(id).map_err(|()| Unsupported)?,
                property: property(id, properties)?,
            });
        }
        let (LZMA2, &[exponent]) = filter(&mut rest)? else { return Err(Unsupported) };
        agree(rest.iter().all(|&byte| byte == 0))?;
        // 2^12, 2^12 + 2^11, 2^13, ... 2^32 - 1
        let window_len = match exponent {
            0..40 => (2 | u32::from(exponent & 1)) << (exponent / 2).saturating_add(11),
            40 => u32::MAX,
            _ => return Err(Damaged),
        };
        Ok(Header { data_len, content_len, window_len, filters })
    }
}

/// Takes a filter's number and properties off the front of `rest`.
fn filter<'data>(rest: &mut &'data [u8]) -> Result<(u64, &'data [u8]), CodecError> {
    let id = number(rest)?;
    let len = usize::try_from(number(rest)?).map_err(|_| Damaged)?;
    let (properties, tail) = rest.split_at_checked(len).ok_or(Damaged)?;
    *rest = tail;
    Ok((id, properties))
}

/// Reads the one property a filter has: delta's distance, or where a branch filter starts to count.
fn property(id: u64, properties: &[u8]) -> Result<u32, CodecError> {
    const DELTA: u64 = 3;
    match *properties {
        [distance] if id == DELTA => Ok(u32::from(distance).saturating_add(1)),
        [] if id != DELTA => Ok(0),
        [a, b, c, d] if id != DELTA => Ok(u32::from_le_bytes([a, b, c, d])),
        _ => Err(Damaged),
    }
}

/// Returns the four bytes of a CRC-32.
fn low_bytes(crc: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = crc.to_le_bytes();
    [a, b, c, d]
}

/// The kind of checksum of each block.
#[derive(Clone, Copy)]
enum Check {
    None,
    Crc32,
    Crc64,
    Sha256,
}

impl Check {
    fn from_flags(flags: &[u8]) -> Result<Check, CodecError> {
        match flags {
            [0, 0] => Ok(Check::None),
            [0, 1] => Ok(Check::Crc32),
            [0, 4] => Ok(Check::Crc64),
            [0, 10] => Ok(Check::Sha256),
            _ => Err(Unsupported),
        }
    }

    fn sum_len(self) -> usize {
        match self {
            Check::None => 0,
            Check::Crc32 => 4,
            Check::Crc64 => 8,
            Check::Sha256 => 32,
        }
    }

    fn verify(self, content: &[u8], sum: &[u8], crc32: &Crc) -> Result<(), CodecError> {
        agree(match self {
            Check::None => true,
            Check::Crc32 => sum == low_bytes(crc32.sum(content)),
            Check::Crc64 => sum == Crc::crc64().sum(content).to_le_bytes(),
            Check::Sha256 => sum == sha256(content),
        })
    }
}

/// Takes a number off the front of `rest`: seven bits a byte, lowest first, at most nine bytes, no needless ones.
fn number(rest: &mut &[u8]) -> Result<u64, CodecError> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, tail) = rest.split_first().ok_or(Damaged)?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            agree(byte != 0 || shift == 0)?;
            return Ok(value);
        }
    }
    Err(Damaged)
}

/// Splits off the last `len` bytes.
fn split_last(data: &[u8], len: usize) -> Result<(&[u8], &[u8]), CodecError> {
    data.len().checked_sub(len).and_then(|at| data.split_at_checked(at)).ok_or(Damaged)
}

/// Returns what comes before the CRC32 at the end of `part`, if it agrees with it.
fn checked_by_its_sum<'data>(part: &'data [u8], crc32: &Crc) -> Result<&'data [u8], CodecError> {
    let (body, sum) = part.split_last_chunk().ok_or(Damaged)?;
    agree(crc32.sum(body) == u64::from(u32::from_le_bytes(*sum)))?;
    Ok(body)
}

fn agree(yes: bool) -> Result<(), CodecError> {
    if yes { Ok(()) } else { Err(Damaged) }
}

impl From<lzma_rust2::Error> for CodecError {
    fn from(error: lzma_rust2::Error) -> CodecError {
        match error {
            lzma_rust2::Error::OutOfMemory(_) => NoMemory,
            lzma_rust2::Error::Unsupported(_) => Unsupported,
            _ => Damaged,
        }
    }
}
