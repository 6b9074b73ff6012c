// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decoders of a compressed archive in an initramfs. They unpack piece by piece, stop at the end of their stream, and know
//! what follows it. Refuse an archive that is damaged, cut short, or unpacks to more than its limit.
//!
//! Sources: RFC 1952 for gzip; the kernel's lib/decompress_unlz4.c for lz4.

use super::compress::{LZ4_BLOCK_LEN, LZ4_MAGIC};
use crate::host::codec;
use crate::host::codec::LZMA_MAX;
use liblzma::stream as xz;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use std::io::{self, Read};

/// Length of the ring buffer that deflate unpacks into, bytes: a power of two, and no shorter than its window of 32 KiB.
const RING_LEN: usize = 64 << 10;

/// A decoder, which reads the unpacked bytes.
pub(super) trait Member: Read {
    /// Returns the input behind the stream, once all of it was read.
    fn left(&self) -> &[u8];
}

/// The reason why a stream cannot be unpacked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Undecodable(String);

fn undecodable(what: impl Into<String>) -> io::Error {
    io::Error::other(Undecodable(what.into()))
}

/// Counts unpacked bytes.
struct Limit {
    /// Name of the compression.
    name: &'static str,
    max: usize,
    left: usize,
}

impl Limit {
    fn new(name: &'static str, max: usize) -> Limit {
        Limit { name, max, left: max }
    }

    fn take(&mut self, len: usize) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(len)
            .ok_or_else(|| undecodable(format!("{}: {}", self.name, codec::too_much(self.max))))?;
        Ok(len)
    }
}

/// One gzip member.
pub(super) struct Gunzip<'a> {
    left: &'a [u8],
    state: Box<DecompressorOxide>,
    ring: Vec<u8>,
    /// The part of `ring` that is unpacked and not read yet.
    unread: std::ops::Range<usize>,
    is_done: bool,
    len: usize,
    crc: libdeflater::Crc,
    limit: Limit,
}

impl<'a> Gunzip<'a> {
    pub(super) fn new(bytes: &'a [u8], max: usize) -> Result<Self, String> {
        Ok(Gunzip {
            left: codec::behind_gzip_header(bytes).ok_or("gzip: damaged")?,
            state: Box::default(),
            ring: vec![0; RING_LEN],
            unread: 0..0,
            is_done: false,
            len: 0,
            crc: libdeflater::Crc::new(),
            limit: Limit::new("gzip", max),
        })
    }

    /// Unpacks more into the ring, behind what was read.
    fn unpack(&mut self) -> io::Result<()> {
        let place = self.unread.end % RING_LEN;
        let (status, read_len, written_len) = decompress(&mut self.state, self.left, &mut self.ring, place, 0);
        self.left = self.left.get(read_len..).unwrap_or_default();
        self.unread = place..place + self.limit.take(written_len)?;
        self.crc.update(&self.ring[self.unread.clone()]);
        self.len += written_len;
        match status {
            TINFLStatus::Done => self.is_done = true,
            TINFLStatus::HasMoreOutput => return Ok(()),
            _ => return Err(undecodable("gzip: damaged")),
        }
        // Behind the stream: its checksum, and its length modulo 2^32.
        let trailer = self.left.split_first_chunk::<8>();
        let (claimed, rest) = trailer.ok_or_else(|| undecodable("gzip: damaged"))?;
        self.left = rest;
        let is_good = u64::from_le_bytes(*claimed) == (self.len as u64) << 32 | u64::from(self.crc.sum());
        if is_good { Ok(()) } else { Err(undecodable("gzip: damaged")) }
    }
}

impl Read for Gunzip<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.unread.is_empty() && !self.is_done {
            self.unpack()?;
        }
        let len = self.unread.len().min(buf.len());
        buf[..len].copy_from_slice(&self.ring[self.unread.start..][..len]);
        self.unread.start += len;
        Ok(len)
    }
}

impl Member for Gunzip<'_> {
    fn left(&self) -> &[u8] {
        self.left
    }
}

/// One stream of xz or lzma.
pub(super) struct Unlzma<'a> {
    stream: xz::Stream,
    left: &'a [u8],
    is_done: bool,
    limit: Limit,
}

impl<'a> Unlzma<'a> {
    pub(super) fn new(decoder: Result<xz::Stream, xz::Error>, bytes: &'a [u8], max: usize) -> Self {
        let stream = decoder.expect("these decoders exist");
        Unlzma { stream, left: bytes, is_done: false, limit: Limit::new("xz", max) }
    }
}

impl Read for Unlzma<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.is_done || buf.is_empty() {
            return Ok(0);
        }
        let count = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
        loop {
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.process(self.left, buf, xz::Action::Finish);
            let read_len = count(self.stream.total_in(), read);
            self.left = self.left.get(read_len..).unwrap_or_default();
            let len = self.limit.take(count(self.stream.total_out(), written))?;
            match status {
                Ok(xz::Status::StreamEnd) => self.is_done = true,
                Ok(_) if len == 0 && read_len == 0 => return Err(undecodable("xz: truncated")),
                Ok(_) if len == 0 => continue,
                Ok(_) => {}
                Err(xz::Error::MemLimit) => {
                    let limit = LZMA_MAX >> 20;
                    return Err(undecodable(format!("xz: its dictionary needs more than {limit} MiB of memory")));
                }
                Err(error) => return Err(undecodable(format!("xz: {error}").to_lowercase())),
            }
            return Ok(len);
        }
    }
}

impl Member for Unlzma<'_> {
    fn left(&self) -> &[u8] {
        self.left
    }
}

/// One frame of zstd.
pub(super) struct Unzstd<'a> {
    decoder: zstd::stream::read::Decoder<'static, &'a [u8]>,
    left: &'a [u8],
    limit: Limit,
}

impl<'a> Unzstd<'a> {
    pub(super) fn new(bytes: &'a [u8], max: usize) -> Result<Self, String> {
        let len = zstd::zstd_safe::find_frame_compressed_size(bytes).map_err(|_| "zstd: damaged")?;
        let (frame, left) = bytes.split_at_checked(len).ok_or("zstd: damaged")?;
        let decoder = zstd::stream::read::Decoder::with_buffer(frame);
        let decoder = decoder.map_err(|error| format!("zstd: {error}").to_lowercase())?;
        Ok(Unzstd { decoder, left, limit: Limit::new("zstd", max) })
    }
}

impl Read for Unzstd<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.decoder.read(buf);
        self.limit.take(len.map_err(|error| undecodable(format!("zstd: {error}").to_lowercase()))?)
    }
}

impl Member for Unzstd<'_> {
    fn left(&self) -> &[u8] {
        self.left
    }
}

/// Blocks of lz4, each after its length, up to a length of 0 or the end.
pub(super) struct Unlz4<'a> {
    left: &'a [u8],
    block: Vec<u8>,
    read_len: usize,
    limit: Limit,
}

impl<'a> Unlz4<'a> {
    /// `blocks` is the input behind the magic.
    pub(super) fn new(blocks: &'a [u8], max: usize) -> Self {
        Unlz4 { left: blocks, block: Vec::new(), read_len: 0, limit: Limit::new("lz4", max) }
    }

    /// Unpacks the next block. Returns false at the end.
    fn unpack(&mut self) -> io::Result<bool> {
        let head = self.left.split_first_chunk::<4>().filter(|(len, _)| **len != [0; 4]);
        let Some((&len, behind)) = head else { return Ok(false) };
        if len == LZ4_MAGIC {
            self.left = behind;
            return Ok(true);
        }
        let block = behind.split_at_checked(u32::from_le_bytes(len) as usize);
        let (block, rest) = block.ok_or_else(|| undecodable("lz4: truncated"))?;
        let plain = lz4_flex::block::decompress(block, LZ4_BLOCK_LEN);
        self.block = plain.map_err(|error| undecodable(format!("lz4: {error}")))?;
        self.limit.take(self.block.len())?;
        (self.left, self.read_len) = (rest, 0);
        Ok(true)
    }
}

impl Read for Unlz4<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.read_len == self.block.len() {
            if !self.unpack()? {
                return Ok(0);
            }
        }
        let unread = &self.block[self.read_len..];
        let len = unread.len().min(buf.len());
        buf[..len].copy_from_slice(&unread[..len]);
        self.read_len += len;
        Ok(len)
    }
}

impl Member for Unlz4<'_> {
    fn left(&self) -> &[u8] {
        self.left
    }
}
