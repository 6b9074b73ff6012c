// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writing an index, byte for byte as kmod's depmod (34 and later) lays it out: nodes in pre-order, each followed by
//! its children's subtrees in slot order.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "the host writes what it has sorted itself"
)]

use super::format::{CHILDREN, HEADER_LEN, MAGIC, OFF_MASK, PREFIX, VALUES, VERSION};
use std::ops::Range;

/// Collects keys and values, then emits them as an index.
#[derive(Debug, Default)]
pub struct Builder {
    /// All keys and values in one buffer: an alias index has fifty thousand.
    text: Vec<u8>,
    entries: Vec<Place>,
}

/// Ranges of an entry's key and value in the text.
#[derive(Debug)]
struct Place {
    key: Range<usize>,
    value: Range<usize>,
    priority: u32,
}

/// A key or value that the format can't hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A byte outside 1 to 127.
    #[error("byte {byte:#04x} at {at} of {text:?}: an index holds 7-bit ASCII only")]
    NotAscii {
        /// The offending byte.
        byte: u8,
        /// Its offset in the text.
        at: usize,
        /// The whole key or value.
        text: String,
    },
    /// An offset above the 28 bits of a node reference.
    #[error("the index would pass 256 MiB, more than the format can address")]
    TooLarge,
}

impl Builder {
    /// Makes an empty index.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value to `key`. The values of a key are ordered by priority, lower first; of equal priorities the later
    /// insert comes first, as in kmod's `index_add_value`.
    ///
    /// # Errors
    /// [`WriteError::NotAscii`] for a byte outside 1 to 127 in the key or the value; nothing is added then.
    pub fn insert(&mut self, key: &[u8], value: &[u8], priority: u32) -> Result<(), WriteError> {
        for text in [key, value] {
            if let Some(at) = text.iter().position(|byte| !(1..0x80).contains(byte)) {
                return Err(WriteError::NotAscii {
                    byte: text[at],
                    at,
                    text: String::from_utf8_lossy(text).into_owned(),
                });
            }
        }
        let key_off = self.text.len();
        self.text.extend(key);
        let value_off = self.text.len();
        self.text.extend(value);
        self.entries.push(Place { key: key_off..value_off, value: value_off..self.text.len(), priority });
        Ok(())
    }

    /// Emits the file.
    ///
    /// # Errors
    /// [`WriteError::TooLarge`] past 256 MiB.
    pub fn emit(&self) -> Result<Vec<u8>, WriteError> {
        // Reversed: the sort is stable, and the later of two equal entries comes first.
        let mut entries: Vec<Entry<'_>> = self
            .entries
            .iter()
            .rev()
            .map(|place| Entry {
                key: &self.text[place.key.clone()],
                value: &self.text[place.value.clone()],
                priority: place.priority,
            })
            .collect();
        entries.sort_by(|a, b| a.key.cmp(b.key).then(a.priority.cmp(&b.priority)));
        let mut out = Vec::with_capacity(self.text.len() * 2);
        for word in [MAGIC, VERSION, 0] {
            out.extend(word.to_be_bytes());
        }
        let root = if entries.is_empty() { offset(HEADER_LEN)? } else { emit_node(&entries, 0, &mut out)? };
        out[8..HEADER_LEN].copy_from_slice(&root.to_be_bytes());
        Ok(out)
    }
}

/// A key with one of its values.
struct Entry<'a> {
    key: &'a [u8],
    value: &'a [u8],
    priority: u32,
}

/// Returns an offset of the file, or a count of values, which is below one.
fn offset(off: usize) -> Result<u32, WriteError> {
    u32::try_from(off).ok().filter(|off| *off <= OFF_MASK).ok_or(WriteError::TooLarge)
}

/// Emits the node of all `entries` (sorted, not empty) and returns the reference to it. The path to the node has
/// consumed the first `depth` bytes of the keys.
fn emit_node(entries: &[Entry<'_>], depth: usize, out: &mut Vec<u8>) -> Result<u32, WriteError> {
    let (first_key, last_key) = (entries[0].key, entries[entries.len() - 1].key);
    // The keys are sorted, so a prefix of the first and the last is a prefix of all. The root never has one: kmod
    // starts with an empty root and puts even a single key below it.
    let shared = first_key[depth..].iter().zip(&last_key[depth..]).take_while(|(a, b)| depth > 0 && a == b);
    let shared_len = depth + shared.count();
    let (prefix, below) = (&first_key[depth..shared_len], shared_len + 1);
    let (values, entries) = entries.split_at(entries.partition_point(|entry| entry.key.len() == shared_len));

    let mut reference = offset(out.len())?;
    if !prefix.is_empty() {
        reference |= PREFIX;
        out.extend(prefix);
        out.push(0);
    }
    let children_off = out.len() + 2;
    if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
        reference |= CHILDREN;
        let (first, last) = (first.key[shared_len], last.key[shared_len]);
        out.extend([first, last]);
        out.resize(children_off + 4 * (usize::from(last - first) + 1), 0);
    }
    if !values.is_empty() {
        reference |= VALUES;
        out.extend(offset(values.len())?.to_be_bytes());
        for Entry { value, priority, .. } in values {
            out.extend(priority.to_be_bytes());
            out.extend(*value);
            out.push(0);
        }
    }
    for subtree in entries.chunk_by(|a, b| a.key[shared_len] == b.key[shared_len]) {
        let slot = usize::from(subtree[0].key[shared_len] - entries[0].key[shared_len]);
        let child = emit_node(subtree, below, out)?;
        out[children_off + 4 * slot..][..4].copy_from_slice(&child.to_be_bytes());
    }
    Ok(reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_index_is_a_header() {
        assert_eq!(Builder::new().emit().unwrap(), [0xB0, 0x07, 0xF4, 0x57, 0, 2, 0, 1, 0, 0, 0, 12]);
    }

    #[test]
    fn a_single_key_hangs_below_an_empty_root() {
        let mut index = Builder::new();
        index.insert(b"ab", b"v", 7).unwrap();
        let file = index.emit().unwrap();
        assert_eq!(file[8..], *b"\x20\0\0\x0caa\xc0\0\0\x12b\0\0\0\0\x01\0\0\0\x07v\0");
    }

    #[test]
    fn of_equal_priorities_the_later_comes_first() {
        let mut index = Builder::new();
        for (value, priority) in [(b"a", 2), (b"b", 1), (b"c", 2)] {
            index.insert(b"k", value, priority).unwrap();
        }
        let file = index.emit().unwrap();
        let values: Vec<u8> = file.iter().copied().filter(|byte| (b'a'..=b'c').contains(byte)).collect();
        assert_eq!(values, *b"bca");
    }

    #[test]
    fn bytes_past_ascii_are_refused_and_named() {
        let error = Builder::new().insert(b"k\xc3", b"v", 0).unwrap_err();
        assert!(matches!(error, WriteError::NotAscii { byte: 0xc3, at: 1, .. }));
        assert!(Builder::new().insert(b"k", b"v\0", 0).is_err());
    }
}
