// SPDX-License-Identifier: MIT OR Apache-2.0
//! Byte strings: checked reads of big-endian integers and NUL-terminated strings, words, and decimal numbers.

/// Reads the byte at `off`; `None` past the end.
pub fn u8_at(data: &[u8], off: usize) -> Option<u8> {
    data.get(off).copied()
}

/// Reads the big-endian 32-bit integer at `off` (unaligned); `None` past the end.
pub fn u32_at(data: &[u8], off: usize) -> Option<u32> {
    data.get(off..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Borrows the string that starts at `off`, without its NUL; `None` if no NUL follows.
pub fn str_at(data: &[u8], off: usize) -> Option<&[u8]> {
    let rest = data.get(off..)?;
    rest.get(..find(rest, 0)?)
}

/// Returns the offset of the first `byte`. Most of a look-up's time goes here: whole words without it are skipped.
#[inline(never)] // one copy for all callers
fn find(text: &[u8], byte: u8) -> Option<usize> {
    const LOW_BITS: usize = usize::MAX / 0xff;
    let (words, _) = text.as_chunks::<{ size_of::<usize>() }>();
    let has_it = |word: &[u8; size_of::<usize>()]| {
        // A byte that is the one becomes zero, and only below zero does a subtraction set the high bit of a low byte.
        let word = usize::from_ne_bytes(*word) ^ LOW_BITS.wrapping_mul(byte.into());
        word.wrapping_sub(LOW_BITS) & !word & LOW_BITS.wrapping_mul(0x80) != 0
    };
    let skipped = words.iter().take_while(|word| !has_it(word)).count().wrapping_mul(size_of::<usize>());
    let at = text.get(skipped..)?.iter().position(|&here| here == byte)?;
    Some(skipped.wrapping_add(at))
}

/// Splits at the first `byte`, which is in neither part; `None` without one.
pub fn split_once(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = find(text, byte)?;
    Some((text.get(..at)?, text.get(at.checked_add(1)?..)?))
}

/// Splits at the first `part`, which is in neither half; `None` without one.
#[inline(never)] // one copy for all callers
pub fn split_around<'map>(text: &'map [u8], part: &[u8]) -> Option<(&'map [u8], &'map [u8])> {
    let at = text.windows(part.len()).position(|window| window == part)?;
    Some((text.get(..at)?, text.get(at.checked_add(part.len())?..)?))
}

/// Whether `byte` is in `text`. For texts of a few bytes: `contains` of slices has code for long ones.
pub fn has_byte(text: &[u8], byte: u8) -> bool {
    find(text, byte).is_some()
}

/// Yields the parts of `text` between the bytes `end`.
pub fn split(text: &[u8], end: u8) -> Split<'_> {
    Split { rest: Some(text), end }
}

/// Iterator of [`split`].
#[derive(Clone)]
pub struct Split<'map> {
    /// The parts that are left; `None` behind the last one.
    rest: Option<&'map [u8]>,
    end: u8,
}

impl<'map> Iterator for Split<'map> {
    type Item = &'map [u8];

    #[inline(never)] // one copy for all callers
    fn next(&mut self) -> Option<&'map [u8]> {
        let text = self.rest?;
        let end = find(text, self.end);
        self.rest = end.and_then(|end| text.get(end.wrapping_add(1)..));
        text.get(..end.unwrap_or(text.len()))
    }
}

/// Returns the part before the first `end`, or all of `text`.
pub fn until(text: &[u8], end: u8) -> &[u8] {
    split_once(text, end).map_or(text, |(part, _)| part)
}

/// Whether two texts differ in the case of ASCII letters at most.
pub fn same_letters(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.eq_ignore_ascii_case(right))
}

/// Parses hexadecimal digits; `None` if there is any other character. Of a number that is too large, the last digits count.
pub fn hexadecimal(text: &[u8]) -> Option<usize> {
    text.iter().try_fold(0usize, |sum, &digit| Some(sum << 4 | char::from(digit).to_digit(16)? as usize))
}

/// Yields the words of `text`, separated by blanks and tabs.
pub fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    text.split(|&b| b == b' ' || b == b'\t').filter(|word| !word.is_empty())
}

/// Returns the part after the last `/`, or the whole path without one.
pub fn basename(path: &[u8]) -> &[u8] {
    path.rsplit(|&b| b == b'/').next().unwrap_or(path)
}

/// Parses `text` as an unsigned decimal number; `None` if it has any other character, or exceeds 32 bits.
pub fn decimal(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u32, |sum, &digit| {
        sum.checked_mul(10)?.checked_add(u32::from(digit.is_ascii_digit().then(|| digit.wrapping_sub(b'0'))?))
    })
}

/// The decimal text of a number.
pub struct Decimal {
    digits: [u8; 20],
    from: usize,
}

impl Decimal {
    /// Formats `number`.
    pub fn new(mut number: u64) -> Self {
        let mut text = Decimal { digits: [b'0'; 20], from: 20 };
        loop {
            text.from = text.from.saturating_sub(1);
            if let Some(digit) = text.digits.get_mut(text.from) {
                *digit = b'0'.wrapping_add((number % 10) as u8);
            }
            number /= 10;
            if number == 0 {
                return text;
            }
        }
    }

    /// Borrows the text.
    pub fn text(&self) -> &[u8] {
        self.digits.get(self.from..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stop_at_the_end() {
        let data = [0, 0, 1, 2, b'a', 0, b'b'];
        assert_eq!(u32_at(&data, 0), Some(258));
        assert_eq!(u32_at(&data, 4), None);
        assert_eq!(u32_at(&data, usize::MAX), None);
        assert_eq!(str_at(&data, 4), Some(&b"a"[..]));
        assert_eq!(str_at(&data, 6), None, "no NUL");
        assert_eq!(u8_at(&data, 7), None);
    }

    #[test]
    fn words_skip_runs_of_blanks() {
        let got: Vec<_> = words(b"  a\t b  ").collect();
        assert_eq!(got, [b"a", b"b"]);
    }

    #[test]
    fn decimal_takes_digits_only() {
        assert_eq!(decimal(b"4095"), Some(4095));
        assert_eq!(decimal(b""), None);
        assert_eq!(decimal(b"1x"), None);
        assert_eq!(decimal(b"4294967296"), None);
    }
}
