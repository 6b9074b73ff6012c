// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bit readers for zstd: table descriptions are read forward, lowest bit first; all other streams are read backward
//! from their end, highest bit first.

/// Bit reader that starts at the first byte.
pub(super) struct Forward<'data> {
    data: &'data [u8],
    bit_off: usize,
}

impl<'data> Forward<'data> {
    pub(super) fn new(data: &'data [u8]) -> Self {
        Forward { data, bit_off: 0 }
    }

    /// Returns the next `count` bits, at most 32, without consuming them; zeros past the end.
    pub(super) fn peek(&self, count: u8) -> u32 {
        low(window(self.data, self.bit_off), count)
    }

    /// Consumes `count` bits.
    pub(super) fn skip(&mut self, count: u8) {
        self.bit_off = self.bit_off.saturating_add(count.into());
    }

    /// Returns the bytes after the last one that was read from, even if only in part; `None` if that is past the end.
    pub(super) fn rest(self) -> Option<&'data [u8]> {
        self.data.get(self.bit_off.div_ceil(8)..)
    }
}

/// Bit reader that starts at the last byte. Bits before the start of the data read as zeros, and the reader is then
/// overdrawn.
pub(super) struct Backward<'data> {
    data: &'data [u8],
    left_count: isize,
}

impl<'data> Backward<'data> {
    /// Starts below the end mark, the highest set bit of the last byte; `None` if that byte is 0 or missing.
    pub(super) fn new(data: &'data [u8]) -> Option<Self> {
        let above = data.last()?.checked_ilog2()?;
        let whole = isize::try_from(data.len().checked_sub(1)?.checked_mul(8)?).ok()?;
        Some(Backward { data, left_count: whole.checked_add_unsigned(above as usize)? })
    }

    /// Consumes and returns the next `count` bits, at most 32.
    pub(super) fn take(&mut self, count: u8) -> u32 {
        self.skip(count);
        usize::try_from(self.left_count).map_or(0, |bit_off| low(window(self.data, bit_off), count))
    }

    /// Returns the next `count` bits, at most 32, without consuming them.
    pub(super) fn peek(&self, count: u8) -> u32 {
        let off = self.left_count.wrapping_sub(count.into());
        match usize::try_from(off) {
            Ok(bit_off) => low(window(self.data, bit_off), count),
            Err(_) => low(window(self.data, 0) << (off.unsigned_abs() & 63), count),
        }
    }

    /// Consumes `count` bits.
    pub(super) fn skip(&mut self, count: u8) {
        self.left_count = self.left_count.wrapping_sub(count.into());
    }

    /// Whether more bits were consumed than the data has.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.left_count < 0
    }

    /// Whether all bits were consumed and no more than these.
    pub(super) fn is_spent(&self) -> bool {
        self.left_count == 0
    }
}

/// Returns a word whose lowest bit is the one at `bit_off`; its upper 7 bits may be missing.
fn window(data: &[u8], bit_off: usize) -> u64 {
    let rest = data.get(bit_off / 8..).unwrap_or_default();
    let word = match rest.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    };
    word >> (bit_off % 8)
}

#[expect(clippy::cast_possible_truncation, reason = "a number in a zstd stream has at most 32 bits")]
fn low(word: u64, count: u8) -> u32 {
    (word & !(u64::MAX << (count & 63))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_gives_low_bits_first() {
        let mut bits = Forward::new(&[0b1010_0110, 0xff, 1]);
        assert_eq!(bits.peek(4), 0b0110);
        bits.skip(4);
        assert_eq!(bits.peek(6), 0b11_1010);
        bits.skip(6);
        assert_eq!(bits.rest(), Some(&[1][..]));
        assert_eq!(Forward { data: &[1], bit_off: 9 }.rest(), None);
    }

    #[test]
    fn the_end_gives_high_bits_first() {
        let mut bits = Backward::new(&[0b1010_0110, 0b0000_0101]).unwrap();
        assert_eq!(bits.take(4), 0b0110);
        assert_eq!(bits.peek(8), 0b1001_1000, "zeros follow");
        assert_eq!((bits.take(6), bits.is_spent()), (0b10_0110, true));
        assert_eq!((bits.take(1), bits.is_overdrawn()), (0, true));
        assert!(Backward::new(&[1, 0]).is_none() && Backward::new(&[]).is_none());
    }
}
