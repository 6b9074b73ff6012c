// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finite State Entropy (FSE) decoding tables: each state gives a symbol, and a few more bits select the next state.
//! Format: RFC 8878, 4.1.

use super::bits::{Backward, Forward};

/// Base-2 logarithm of the largest table's state count.
const LOG_LIMIT: u8 = 9;

/// Largest symbol count of any table: match lengths have 53.
pub(super) const SYMBOL_COUNT: usize = 53;

#[derive(Clone, Copy)]
struct Entry {
    symbol: u8,
    bit_count: u8,
    base: u16,
}

/// A decoding table. A damaged description may leave it half built: decoding of the frame ends then.
pub(super) struct Table {
    entries: [Entry; 1 << LOG_LIMIT],
    /// Base-2 logarithm of the state count; `None` until the table is built.
    log: Option<u8>,
}

/// The current state of a decoder.
#[derive(Clone, Copy)]
pub(super) struct State(Entry);

impl Table {
    pub(super) fn new() -> Self {
        Table { entries: [Entry { symbol: 0, bit_count: 0, base: 0 }; 1 << LOG_LIMIT], log: None }
    }

    /// Builds the table of a single symbol (RLE mode).
    pub(super) fn fill(&mut self, symbol: u8) {
        self.log = Some(0);
        self.entries.iter_mut().take(1).for_each(|entry| *entry = Entry { symbol, bit_count: 0, base: 0 });
    }

    /// Builds a table of 2^`log` states; `counts` has the states of each symbol, -1 for «less than one».
    #[inline(never)] // one copy for all callers
    pub(super) fn build(&mut self, log: u8, counts: &[i16]) -> Option<()> {
        let size = 1usize << log;
        let entries = self.entries.get_mut(..size)?;
        let mut next = [0u16; SYMBOL_COUNT];
        let mut high = size;
        for (symbol, (&count, next)) in (0..).zip(counts.iter().zip(&mut next)) {
            *next = count.unsigned_abs();
            if count < 0 {
                high = high.checked_sub(1)?;
                entries.get_mut(high)?.symbol = symbol;
            }
        }
        let step = (size >> 1).wrapping_add(size >> 3).wrapping_add(3);
        let mut at = 0usize;
        for (symbol, &count) in (0..).zip(counts) {
            for _ in 0..count {
                entries.get_mut(at)?.symbol = symbol;
                loop {
                    // `step` is odd, so it reaches every state, and at least one is below `high`.
                    at = at.wrapping_add(step) & size.wrapping_sub(1);
                    if at < high {
                        break;
                    }
                }
            }
        }
        let state_count = u16::try_from(size).ok()?;
        for entry in entries {
            let next = next.get_mut(usize::from(entry.symbol))?;
            entry.bit_count = log.checked_sub(u8::try_from(next.checked_ilog2()?).ok()?)?;
            entry.base = (*next << entry.bit_count).wrapping_sub(state_count);
            *next = next.wrapping_add(1);
        }
        self.log = Some(log);
        Some(())
    }

    /// Parses a table's description with at most `symbol_count` symbols and 2^`log_limit` states, and builds the table.
    /// Returns the bytes after the description.
    #[inline(never)] // one copy for all callers
    pub(super) fn read<'data>(&mut self, data: &'data [u8], log_limit: u8, symbol_count: usize) -> Option<&'data [u8]> {
        let mut bits = Forward::new(data);
        let log = u8::try_from(bits.peek(4)).ok()?.wrapping_add(5);
        bits.skip(4);
        if log > log_limit {
            return None;
        }
        let mut counts = [0i16; SYMBOL_COUNT];
        let mut slots = counts.get_mut(..symbol_count)?.iter_mut();
        let mut left = 1u32 << log;
        while left > 0 {
            // A number from 0 to left + 1; small ones take one bit less.
            let bit_count = u8::try_from(left.wrapping_add(1).ilog2()).ok()?;
            let small_count = (2u32 << bit_count).wrapping_sub(left).wrapping_sub(2);
            let (low, all) = (bits.peek(bit_count), bits.peek(bit_count.wrapping_add(1)));
            let value = if low < small_count {
                bits.skip(bit_count);
                low
            } else {
                bits.skip(bit_count.wrapping_add(1));
                if all >> bit_count == 0 { all } else { all.wrapping_sub(small_count) }
            };
            let count = i16::try_from(value).ok()?.wrapping_sub(1);
            *slots.next()? = count;
            left = left.checked_sub(count.unsigned_abs().into())?;
            if count == 0 {
                loop {
                    let more = bits.peek(2) as usize;
                    bits.skip(2);
                    if more > slots.len() {
                        return None;
                    }
                    for _ in 0..more {
                        slots.next();
                    }
                    if more < 3 {
                        break;
                    }
                }
            }
        }
        let rest = bits.rest()?;
        self.build(log, &counts)?;
        Some(rest)
    }

    /// Reads the first state.
    pub(super) fn start(&self, bits: &mut Backward<'_>) -> Option<State> {
        let at = bits.take(self.log?) as usize;
        self.entries.get(at).copied().map(State)
    }

    /// Moves `state` to the next state.
    pub(super) fn next(&self, state: &mut State, bits: &mut Backward<'_>) -> Option<()> {
        let at = usize::from(state.0.base).wrapping_add(bits.take(state.0.bit_count) as usize);
        state.0 = *self.entries.get(at)?;
        Some(())
    }
}

impl State {
    pub(super) fn symbol(self) -> u8 {
        self.0.symbol
    }
}
