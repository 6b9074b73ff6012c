// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sequences: each copies a run of literals, then a match, bytes of the content from some distance back. Format: RFC
//! 8878, 3.1.1.3.2 and 3.1.1.4.

use super::bits::Backward;
use super::fse::Table;

/// State that a frame keeps from block to block.
pub(super) struct Sequences {
    literal_lens: Kind,
    offsets: Kind,
    match_lens: Kind,
    /// The last three match distances, the latest first.
    recent: [usize; 3],
}

/// One of the three numbers of a sequence: its decoding table and its constants.
struct Kind {
    table: Table,
    /// By symbol: the lowest number that it stands for, and the count of extra bits added to it.
    numbers: [(u32, u8); 53],
    log_limit: u8,
    symbol_count: usize,
    default_log: u8,
    default: &'static [i16],
}

/// Extra bits of the codes of literal lengths from 16 on, and of match lengths from 32 on.
const LITERAL_BITS: &[u8] = &[1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const MATCH_BITS: &[u8] = &[1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

const DEFAULT_LITERAL_LENS: &[i16] =
    &[4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1];
const DEFAULT_OFFSETS: &[i16] =
    &[1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1];
const DEFAULT_MATCH_LENS: &[i16] = &[
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
];

impl Sequences {
    pub(super) fn new() -> Self {
        let mut offsets = Kind::new(8, 32, 5, DEFAULT_OFFSETS);
        for (code, number) in (0..32).zip(&mut offsets.numbers) {
            *number = (1 << code, code);
        }
        let mut literal_lens = Kind::new(9, 36, 6, DEFAULT_LITERAL_LENS);
        literal_lens.count_from(0, LITERAL_BITS);
        let mut match_lens = Kind::new(9, 53, 6, DEFAULT_MATCH_LENS);
        match_lens.count_from(3, MATCH_BITS);
        Sequences { literal_lens, offsets, match_lens, recent: [1, 4, 8] }
    }

    /// Decodes a block's content into `out`, behind the frame's first `start` bytes; returns the content's new end.
    pub(super) fn run(&mut self, data: &[u8], literals: &[u8], out: &mut [u8], start: usize) -> Option<usize> {
        let mut out = Out { literals, buf: out, end: start };
        let (count, rest) = match *data {
            [0] => (0, &[][..]),
            [count @ 1..128, ref rest @ ..] => (u32::from(count), rest),
            [high @ 128..=254, low, ref rest @ ..] => (u32::from(high & 127) << 8 | u32::from(low), rest),
            [255, low, high, ref rest @ ..] => (u32::from(u16::from_le_bytes([low, high])).wrapping_add(0x7f00), rest),
            _ => return None,
        };
        if count > 0 {
            let (&modes, mut rest) = rest.split_first()?;
            if modes & 3 != 0 {
                return None;
            }
            for (kind, shift) in [(&mut self.literal_lens, 6), (&mut self.offsets, 4), (&mut self.match_lens, 2)] {
                rest = kind.read(modes >> shift & 3, rest)?;
            }
            self.each(count, rest, &mut out)?;
        }
        let last = out.literals.len();
        out.copy_literals(last)?;
        Some(out.end)
    }

    fn each(&mut self, count: u32, data: &[u8], out: &mut Out<'_>) -> Option<()> {
        let mut bits = Backward::new(data)?;
        let mut literal_len = self.literal_lens.table.start(&mut bits)?;
        let mut offset = self.offsets.table.start(&mut bits)?;
        let mut match_len = self.match_lens.table.start(&mut bits)?;
        for left in (0..count).rev() {
            let code = self.offsets.number(offset.symbol(), &mut bits)?;
            let copy_len = self.match_lens.number(match_len.symbol(), &mut bits)?;
            let literals_len = self.literal_lens.number(literal_len.symbol(), &mut bits)?;
            let distance = self.distance(code, literals_len == 0)?;
            out.copy_literals(literals_len)?;
            out.copy_match(distance, copy_len)?;
            if left > 0 {
                self.literal_lens.table.next(&mut literal_len, &mut bits)?;
                self.match_lens.table.next(&mut match_len, &mut bits)?;
                self.offsets.table.next(&mut offset, &mut bits)?;
            }
        }
        bits.is_spent().then_some(())
    }

    /// Returns the match distance of an offset's code: 1 to 3 are recent distances.
    fn distance(&mut self, code: usize, no_literals: bool) -> Option<usize> {
        let [first, second, third] = self.recent;
        let (distance, others) = match code.wrapping_add(usize::from(no_literals && code <= 3)) {
            1 => return Some(first),
            2 => (second, [first, third]),
            3 => (third, [first, second]),
            _ if code == 3 => (first.checked_sub(1)?, [first, second]),
            _ => (code.checked_sub(3)?, [first, second]),
        };
        self.recent = [distance, others[0], others[1]];
        Some(distance)
    }
}

impl Kind {
    fn new(log_limit: u8, symbol_count: usize, default_log: u8, default: &'static [i16]) -> Self {
        Kind { table: Table::new(), numbers: [(0, 0); 53], log_limit, symbol_count, default_log, default }
    }

    /// Assigns the numbers from `base` on to the symbols in order; the last symbols have `bits` extra bits.
    fn count_from(&mut self, mut base: u32, bits: &[u8]) {
        let plain_count = self.symbol_count.saturating_sub(bits.len());
        let bits = core::iter::repeat_n(&0, plain_count).chain(bits);
        for (number, &bit_count) in self.numbers.iter_mut().zip(bits) {
            *number = (base, bit_count);
            base = base.wrapping_add(1 << bit_count);
        }
    }

    /// Sets the table by the block's mode (default, single symbol, described, repeated); returns the bytes after its
    /// description.
    fn read<'data>(&mut self, mode: u8, data: &'data [u8]) -> Option<&'data [u8]> {
        match mode {
            0 => self.table.build(self.default_log, self.default).map(|()| data),
            1 => {
                let (&symbol, rest) = data.split_first()?;
                self.table.fill(symbol);
                Some(rest)
            }
            2 => self.table.read(data, self.log_limit, self.symbol_count),
            _ => Some(data),
        }
    }

    fn number(&self, symbol: u8, bits: &mut Backward<'_>) -> Option<usize> {
        let &(base, bit_count) =
            self.numbers.get(usize::from(symbol)).filter(|_| usize::from(symbol) < self.symbol_count)?;
        Some((base as usize).wrapping_add(bits.take(bit_count) as usize))
    }
}

/// The output of a block, and the literals that are not copied yet.
struct Out<'a> {
    literals: &'a [u8],
    buf: &'a mut [u8],
    end: usize,
}

impl Out<'_> {
    fn copy_literals(&mut self, len: usize) -> Option<()> {
        let literals;
        (literals, self.literals) = self.literals.split_at_checked(len)?;
        let end = self.end.checked_add(len)?;
        self.buf.get_mut(self.end..end)?.copy_from_slice(literals);
        self.end = end;
        Some(())
    }

    fn copy_match(&mut self, distance: usize, len: usize) -> Option<()> {
        let from = self.end.checked_sub(distance).filter(|_| distance > 0)?;
        let end = self.end.checked_add(len)?;
        let span = self.buf.get_mut(from..end)?;
        // A match may overlap its own output and then repeats it: each round copies twice as much.
        let mut have = distance;
        while let Some(left) = span.len().checked_sub(have).filter(|left| *left > 0) {
            let (source, target) = span.split_at_mut(have);
            let part_len = left.min(have);
            target.get_mut(..part_len)?.copy_from_slice(source.get(..part_len)?);
            have = have.wrapping_add(part_len);
        }
        self.end = end;
        Some(())
    }
}
