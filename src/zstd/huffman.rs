// SPDX-License-Identifier: MIT OR Apache-2.0
//! Literals of a block: stored, one byte repeated, or Huffman-coded by a tree of this block or of an earlier one.
//! Format: RFC 8878, 3.1.1.3.1 and 4.2.

use super::bits::Backward;
use super::fse;

/// Length of the longest code, bits.
const LOG_LIMIT: u8 = 11;

/// A Huffman tree as a look-up table: the next `log` bits of the stream are the index of an entry.
pub(super) struct Tree {
    /// The symbol, and the length of its code in bits.
    entries: [[u8; 2]; 1 << LOG_LIMIT],
    /// Length of the longest code, bits; 0 until a tree was read.
    log: u8,
}

impl Tree {
    pub(super) fn new() -> Self {
        Tree { entries: [[0; 2]; 1 << LOG_LIMIT], log: 0 }
    }

    /// Parses a tree's description; returns the bytes after it.
    fn read<'data>(&mut self, data: &'data [u8]) -> Option<&'data [u8]> {
        let (&head, rest) = data.split_first()?;
        // The last symbol's weight is not stored: it is what the others leave.
        let mut weights = [0u8; 256];
        let (count, rest) = match head {
            0..128 => {
                let (description, rest) = rest.split_at_checked(head.into())?;
                (fse_weights(description, weights.get_mut(..255)?)?, rest)
            }
            128.. => {
                let count = usize::from(head & 127).wrapping_add(1);
                let (nibbles, rest) = rest.split_at_checked(count.div_ceil(2))?;
                for (pair, byte) in weights.chunks_exact_mut(2).zip(nibbles) {
                    pair.copy_from_slice(&[byte >> 4, byte & 15]);
                }
                (count, rest)
            }
        };
        let (stored, implied) = weights.split_at_mut_checked(count)?;
        implied.fill(0); // an odd count leaves a nibble here
        let mut sum = 0u32;
        for &weight in stored.iter() {
            sum = sum.wrapping_add((1 << weight) >> 1);
        }
        let log = u8::try_from(sum.checked_ilog2()?).ok()?.wrapping_add(1);
        let left = (1u32 << (log & 31)).checked_sub(sum)?;
        if log > LOG_LIMIT || !left.is_power_of_two() {
            return None;
        }
        *implied.first_mut()? = u8::try_from(left.ilog2()).ok()?.wrapping_add(1);
        self.log = log;
        let mut entries = self.entries.iter_mut();
        for weight in 1..=log {
            let bit_count = log.wrapping_add(1).wrapping_sub(weight);
            for (symbol, _) in (0..=255).zip(&weights).filter(|(_, of)| **of == weight) {
                for entry in entries.by_ref().take((1 << weight) >> 1) {
                    *entry = [symbol, bit_count];
                }
            }
        }
        Some(rest)
    }

    /// Fills `out` from one stream, which has to end exactly there.
    fn decode(&self, data: &[u8], out: &mut [u8]) -> Option<()> {
        let mut bits = Backward::new(data)?;
        for byte in out {
            let bit_count;
            [*byte, bit_count] = *self.entries.get(bits.peek(self.log) as usize)?;
            bits.skip(bit_count);
        }
        bits.is_spent().then_some(())
    }
}

/// Decodes weights that are FSE-coded, with two states that take turns; returns their count.
fn fse_weights(data: &[u8], weights: &mut [u8]) -> Option<usize> {
    let mut table = fse::Table::new();
    let mut bits = Backward::new(table.read(data, 6, 12)?)?;
    let (mut this, mut other) = (table.start(&mut bits)?, table.start(&mut bits)?);
    let mut count = 0usize;
    let mut put = |weight| {
        *weights.get_mut(count)? = weight;
        count = count.wrapping_add(1);
        Some(count)
    };
    loop {
        put(this.symbol())?;
        table.next(&mut this, &mut bits)?;
        if bits.is_overdrawn() {
            return put(other.symbol());
        }
        (this, other) = (other, this);
    }
}

/// Decodes the literals section at the start of a block; returns the literals and the bytes after the section. Stored
/// literals are borrowed from `data`, others from `buf`.
pub(super) fn literals<'a>(tree: &mut Tree, data: &'a [u8], buf: &'a mut [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let &head = data.first()?;
    let (kind, size) = (head & 3, head >> 2 & 3);
    let number = |len: usize| {
        let bytes = data.get(..len)?;
        Some(bytes.iter().rev().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte)) >> 4)
    };
    if kind < 2 {
        let (len, head_len) = match size {
            1 => (number(2)?, 2),
            3 => (number(3)?, 3),
            _ => (u64::from(head >> 3), 1),
        };
        let (len, rest) = (usize::try_from(len).ok()?, data.get(head_len..)?);
        if kind == 0 {
            return rest.split_at_checked(len);
        }
        let (&byte, rest) = rest.split_first()?;
        let literals = buf.get_mut(..len)?;
        literals.fill(byte);
        return Some((literals, rest));
    }
    let (head_len, bit_count) = match size {
        2 => (4, 14),
        3 => (5, 18),
        _ => (3, 10),
    };
    let lens = number(head_len)?;
    let mask = !(u64::MAX << bit_count);
    let len = usize::try_from(lens & mask).ok()?;
    let packed_len = usize::try_from(lens >> bit_count & mask).ok()?;
    let (mut packed, rest) = data.get(head_len..)?.split_at_checked(packed_len)?;
    if kind == 2 {
        packed = tree.read(packed)?;
    }
    if tree.log == 0 {
        return None;
    }
    let literals = buf.get_mut(..len)?;
    if size == 0 {
        tree.decode(packed, literals)?;
        return Some((literals, rest));
    }
    let (lens, mut packed) = packed.split_first_chunk::<6>()?;
    let mut lens = lens.as_chunks::<2>().0.iter();
    let part_len = len.div_ceil(4);
    let mut out = &mut *literals;
    for _ in 0..4 {
        let stream;
        // The fourth stream has no length: it is the rest.
        let stream_len = lens.next().map_or(packed.len(), |len| u16::from_le_bytes(*len).into());
        (stream, packed) = packed.split_at_checked(stream_len)?;
        let (part, rest) = out.split_at_mut(part_len.min(out.len()));
        tree.decode(stream, part)?;
        out = rest;
    }
    Some((literals, rest))
}
