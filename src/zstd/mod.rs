// SPDX-License-Identifier: MIT OR Apache-2.0
//! zstd decoder: data and skippable frames; a frame's checksum is verified if present. Format: RFC 8878.
//!
//! Decodes straight into the caller's buffer, which also serves as the window for matches. Allocates nothing.
//! Dictionaries are refused: no module needs one.

mod bits;
mod fse;
mod huffman;
mod sequences;
mod xxh64;

use huffman::Tree;
use sequences::Sequences;
pub use xxh64::xxh64;

/// Longest content of a block, bytes; its literals fit in a buffer of this length.
pub const BLOCK_LEN: usize = 1 << 17;

/// Requirements of a file's frames, for whoever decodes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Upper bound of the content's length, bytes: the length in each frame's header, or else what its blocks can hold.
    pub len: u64,
    /// Whether a frame needs a dictionary, so that [`decode`] can't decode it.
    pub dictionary: bool,
}

/// Returns the requirements of the frames of `data`, from the headers alone; `None` if they are damaged.
pub fn needs(data: &[u8]) -> Option<Needs> {
    let (mut rest, mut needs) = (data, Needs::default());
    while !rest.is_empty() {
        let frame;
        (frame, rest) = Frame::split(rest)?;
        let Some(mut frame) = frame else { continue };
        let mut blocks_len = 0u64;
        while let Some(block) = frame.next_block()? {
            blocks_len = blocks_len.saturating_add(match block {
                Block::Raw(content) => content.len() as u64,
                Block::Run(_, len) => len as u64,
                Block::Packed(_) => BLOCK_LEN as u64,
            });
        }
        rest = frame.rest.get(if frame.has_sum { 4 } else { 0 }..)?;
        needs.len = needs.len.saturating_add(frame.content_len.unwrap_or(blocks_len));
        needs.dictionary |= frame.dictionary;
    }
    Some(needs)
}

/// Decodes every frame of `data` into `out` and returns the content's length. `out` has at least the length that
/// [`needs`] returns; `literals` is a scratch buffer of [`BLOCK_LEN`] bytes.
///
/// Returns `None` if `data` is damaged, a checksum does not match, or `out` is too short.
pub fn decode(data: &[u8], out: &mut [u8], literals: &mut [u8]) -> Option<usize> {
    let (mut rest, mut start) = (data, 0usize);
    while !rest.is_empty() {
        let frame;
        (frame, rest) = Frame::split(rest)?;
        let Some(mut frame) = frame else { continue };
        let len = frame.decode(out.get_mut(start..)?, literals)?;
        rest = frame.rest;
        let content = out.get(start..)?.get(..len)?;
        if frame.has_sum {
            let sum: &[u8; 4];
            (sum, rest) = rest.split_first_chunk()?;
            if !xxh64(content).to_le_bytes().starts_with(sum) {
                return None;
            }
        }
        if frame.content_len.is_some_and(|claimed| claimed != len as u64) {
            return None;
        }
        start = start.checked_add(len)?;
    }
    Some(start)
}

/// A frame whose blocks are read one by one.
struct Frame<'data> {
    /// The file from the next block's header on.
    rest: &'data [u8],
    content_len: Option<u64>,
    has_sum: bool,
    dictionary: bool,
    is_last: bool,
}

/// The content of a block, as stored.
enum Block<'data> {
    Raw(&'data [u8]),
    /// One byte and its repeat count.
    Run(u8, usize),
    Packed(&'data [u8]),
}

impl<'data> Frame<'data> {
    /// Parses the header at the start of `data`. For a skippable frame, returns no frame and the bytes after it.
    #[allow(clippy::type_complexity, reason = "a name would say less")]
    fn split(data: &'data [u8]) -> Option<(Option<Self>, &'data [u8])> {
        let (magic, rest) = data.split_first_chunk()?;
        match u32::from_le_bytes(*magic) {
            0xfd2f_b528 => {}
            0x184d_2a50..=0x184d_2a5f => {
                let (len, rest) = rest.split_first_chunk()?;
                return Some((None, rest.get(u32::from_le_bytes(*len) as usize..)?));
            }
            _ => return None,
        }
        let (&flags, mut rest) = rest.split_first()?;
        if flags & 8 != 0 {
            return None;
        }
        let is_single = flags & 0x20 != 0;
        if !is_single {
            rest = rest.get(1..)?; // the window's size, not needed: `out` keeps all content
        }
        let mut number = |len: usize| {
            let bytes;
            (bytes, rest) = rest.split_at_checked(len)?;
            Some(bytes.iter().rev().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte)))
        };
        let dictionary = number((1 << (flags & 3)) >> 1)? != 0;
        let content_len = match flags >> 6 {
            0 if !is_single => None,
            1 => Some(number(2)?.wrapping_add(256)),
            log => Some(number(1 << log)?),
        };
        Some((Some(Frame { rest, content_len, has_sum: flags & 4 != 0, dictionary, is_last: false }), &[]))
    }

    /// Reads the next block. The outer `None` is damage, the inner one the end of the frame.
    fn next_block(&mut self) -> Option<Option<Block<'data>>> {
        if self.is_last {
            return Some(None);
        }
        let (&[low, middle, high], rest) = self.rest.split_first_chunk()?;
        let head = u32::from_le_bytes([low, middle, high, 0]);
        let len = (head >> 3) as usize;
        if len > BLOCK_LEN {
            return None;
        }
        self.is_last = head & 1 != 0;
        let (content, rest) = rest.split_at_checked(if head & 6 == 2 { 1 } else { len })?;
        self.rest = rest;
        Some(Some(match (head >> 1 & 3, content) {
            (0, content) => Block::Raw(content),
            (1, &[byte]) => Block::Run(byte, len),
            (2, content) => Block::Packed(content),
            _ => return None,
        }))
    }

    /// Decodes all blocks into the beginning of `out`; returns the content's length.
    fn decode(&mut self, out: &mut [u8], literals_buf: &mut [u8]) -> Option<usize> {
        let (mut tree, mut sequences) = (Tree::new(), Sequences::new());
        let mut end = 0usize;
        while let Some(block) = self.next_block()? {
            end = match block {
                Block::Raw(content) => {
                    out.get_mut(end..)?.get_mut(..content.len())?.copy_from_slice(content);
                    end.wrapping_add(content.len())
                }
                Block::Run(byte, len) => {
                    out.get_mut(end..)?.get_mut(..len)?.fill(byte);
                    end.wrapping_add(len)
                }
                Block::Packed(data) => {
                    let (literals, rest) = huffman::literals(&mut tree, data, literals_buf)?;
                    // A block may not decode to more than BLOCK_LEN bytes.
                    let limit = out.len().min(end.saturating_add(BLOCK_LEN));
                    sequences.run(rest, literals, out.get_mut(..limit)?, end)?
                }
            };
        }
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = include_bytes!("../../tests/fixtures/codec/plain");

    #[test]
    fn files_of_all_kinds_decode() {
        for file in [
            &include_bytes!("../../tests/fixtures/codec/checked.zst")[..],
            include_bytes!("../../tests/fixtures/codec/unchecked.zst"),
            include_bytes!("../../tests/fixtures/codec/no-size.zst"),
            include_bytes!("../../tests/fixtures/codec/frames.zst"),
        ] {
            assert_eq!(decoded(file).as_deref(), Some(PLAIN));
        }
        assert_eq!(needs(b"\x28\xb5\x2f\xfd\x01\x50\x07\x09\0\0z"), Some(Needs { len: 1, dictionary: true }));
    }

    #[test]
    fn ruzstd_agrees() {
        use ruzstd::decoding::StreamingDecoder;
        use ruzstd::encoding::{CompressionLevel, compress_to_vec};
        use std::io::Read;
        let mut theirs = Vec::new();
        let file = &include_bytes!("../../tests/fixtures/codec/checked.zst")[..];
        StreamingDecoder::new(file).unwrap().read_to_end(&mut theirs).unwrap();
        assert_eq!(decoded(file), Some(theirs));
        for level in [CompressionLevel::Uncompressed, CompressionLevel::Fastest] {
            assert_eq!(decoded(&compress_to_vec(PLAIN, level)).as_deref(), Some(PLAIN));
        }
    }

    fn decoded(data: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; usize::try_from(needs(data)?.len).ok()?.min(1 << 24)];
        let len = decode(data, &mut out, &mut vec![0; BLOCK_LEN])?;
        out.truncate(len);
        Some(out)
    }

    /// Frames packed by libzstd.
    #[cfg(feature = "host")]
    mod by_zstd {
        use super::*;
        use std::io::Write;

        /// Returns contents of several kinds: text, numbers, runs, noise.
        fn contents() -> Vec<Vec<u8>> {
            let mut state = 7u32;
            let mut random = move |below: u32| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) % below
            };
            let words = ["alias", "pci:v", "00008086", "\0\0\0", "module_layout", " ", "e1000e", "=", "\n"];
            let text = |random: &mut dyn FnMut(u32) -> u32, count| {
                (0..count).flat_map(|_| words[random(9) as usize].bytes()).collect::<Vec<u8>>()
            };
            let mut all = vec![Vec::new(), vec![b'x'], vec![0; 300_000], b"abcabcabcabcabd".to_vec()];
            all.extend([10, 200, 5_000, 100_000].map(|count| text(&mut random, count)));
            all.push((0..70_000).map(|_| random(256) as u8).collect());
            all.push(
                (0..200_000u32).map(|at| if random(20) == 0 { random(256) as u8 } else { (at / 700) as u8 }).collect(),
            );
            all.push((0..150_000).map(|_| (random(16) * random(16)) as u8).collect());
            all
        }

        #[test]
        fn what_zstd_packs_comes_out_the_same() {
            for content in contents() {
                for level in [-5, 1, 3, 9, 19] {
                    let packed = zstd_of(&content, level, true);
                    assert_eq!(needs(&packed).map(|needs| needs.len), Some(content.len() as u64));
                    assert!(decoded(&packed).as_deref() == Some(&content), "{} bytes, level {level}", content.len());
                    let streamed = zstd_of(&content, level, false);
                    assert!(decoded(&streamed).as_deref() == Some(&content), "{} bytes, level {level}", content.len());
                }
            }
        }

        fn zstd_of(content: &[u8], level: i32, has_size: bool) -> Vec<u8> {
            let mut packer = ::zstd::Encoder::new(Vec::new(), level).unwrap();
            packer.include_checksum(true).unwrap();
            if has_size {
                packer.set_pledged_src_size(Some(content.len() as u64)).unwrap();
            }
            packer.write_all(content).and_then(|()| packer.finish()).unwrap()
        }

        #[test]
        fn cut_or_flipped_it_is_damaged() {
            let packed = zstd_of(&contents()[5], 19, true);
            for len in 1..packed.len() {
                assert_eq!(decoded(&packed[..len]), None, "cut to {len}");
            }
            let window = packed.clone();
            for at in 0..packed.len() * 8 {
                let mut flipped = packed.clone();
                flipped[at / 8] ^= 1 << (at % 8);
                // Some bits of the header do not change the content: the window's size, or the flag of the checksum.
                let content = decoded(&flipped);
                assert!(content.is_none() || at / 8 < 6 || content == decoded(&window), "bit {at}");
            }
        }
    }
}
