//! Writing an index, byte for byte as kmod's depmod (34 and later) lays it out: nodes in pre-order, each followed by
//! its children's subtrees in slot order.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "the host writes what it has sorted itself"
)]

use super::format::{CHILDREN, HEADER_LEN, MAGIC, OFF_MASK, PREFIX, VALUES, VERSION};
use std::collections::BTreeMap;

/// Collects keys and values, then emits them as an index.
#[derive(Debug, Default)]
pub struct Builder {
    /// Values in file order.
    keys: BTreeMap<Vec<u8>, Vec<(u32, Vec<u8>)>>,
}

/// A key or value that the format can't hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Bytes 1 to 127 can be written.
    #[error("byte {byte:#04x} at {at} of {text:?}: an index holds 7-bit ASCII only")]
    NotAscii {
        /// The offending byte.
        byte: u8,
        /// Its offset in the text.
        at: usize,
        /// The whole key or value.
        text: String,
    },
    /// Node references have 28 bits of offset.
    #[error("the index would pass 256 MiB, more than the format can address")]
    TooLarge,
}

impl Builder {
    /// Makes an empty index.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value to `key`. Among the values of one key the lower priority comes first; of equal ones the later
    /// insert, as in kmod's `index_add_value`.
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
        let values = self.keys.entry(key.to_vec()).or_default();
        let at = values.partition_point(|(other, _)| *other < priority);
        values.insert(at, (priority, value.to_vec()));
        Ok(())
    }

    /// Emits the file.
    ///
    /// # Errors
    /// [`WriteError::TooLarge`] past 256 MiB.
    pub fn emit(&self) -> Result<Vec<u8>, WriteError> {
        let keys: Vec<Entry<'_>> = self.keys.iter().map(|(key, values)| (key.as_slice(), values.as_slice())).collect();
        let mut out = Vec::new();
        for word in [MAGIC, VERSION, 0] {
            out.extend(word.to_be_bytes());
        }
        let root = if keys.is_empty() { HEADER_LEN as u32 } else { emit_node(&keys, 0, &mut out)? };
        out[8..HEADER_LEN].copy_from_slice(&root.to_be_bytes());
        Ok(out)
    }
}

type Entry<'a> = (&'a [u8], &'a [(u32, Vec<u8>)]);

/// Emits the node of all `keys` (sorted, not empty), of which the first `depth` bytes are already spelt by the path to
/// it, and returns the reference to it.
fn emit_node(keys: &[Entry<'_>], depth: usize, out: &mut Vec<u8>) -> Result<u32, WriteError> {
    let (first_key, last_key) = (keys[0].0, keys[keys.len() - 1].0);
    // Sorted keys: what the first and the last share, all share. The root has no prefix, whatever they share: kmod
    // begins with an empty root and hangs even a single key below it.
    let shared = first_key.iter().zip(last_key).take_while(|(a, b)| depth > 0 && a == b);
    let shared_len = shared.count();
    let (prefix, below) = (&first_key[depth..shared_len], shared_len + 1);
    let (values, keys) = if first_key.len() == shared_len { (keys[0].1, &keys[1..]) } else { (&[][..], keys) };

    let off = u32::try_from(out.len()).ok().filter(|off| *off <= OFF_MASK).ok_or(WriteError::TooLarge)?;
    let mut reference = off;
    if !prefix.is_empty() {
        reference |= PREFIX;
        out.extend(prefix);
        out.push(0);
    }
    let children_off = out.len() + 2;
    if let (Some(first), Some(last)) = (keys.first(), keys.last()) {
        reference |= CHILDREN;
        let (first, last) = (first.0[shared_len], last.0[shared_len]);
        out.extend([first, last]);
        out.resize(children_off + 4 * (usize::from(last - first) + 1), 0);
    }
    if !values.is_empty() {
        reference |= VALUES;
        out.extend((values.len() as u32).to_be_bytes());
        for (priority, text) in values {
            out.extend(priority.to_be_bytes());
            out.extend(text);
            out.push(0);
        }
    }
    for subtree in keys.chunk_by(|a, b| a.0[shared_len] == b.0[shared_len]) {
        let slot = usize::from(subtree[0].0[shared_len] - keys[0].0[shared_len]);
        let child = emit_node(subtree, below, out)?;
        out[children_off + 4 * slot..][..4].copy_from_slice(&child.to_be_bytes());
    }
    Ok(reference)
}
