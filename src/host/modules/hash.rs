// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fast hash for names: a tree has half a million look-ups, for which the standard library's hash is slow. Its seed
//! is random in each process, so that nobody can prepare names that collide.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

/// A hash map with names as keys.
pub(crate) type FastMap<K, V> = HashMap<K, V, Seeded>;

static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));

/// Makes a [`Fold`] for each key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeded(u64);

/// The hash state. Multiplies each word of eight bytes into it.
pub(crate) struct Fold(u64);

impl Default for Seeded {
    fn default() -> Self {
        Seeded(*SEED)
    }
}

impl BuildHasher for Seeded {
    type Hasher = Fold;

    fn build_hasher(&self) -> Fold {
        Fold(self.0)
    }
}

impl Fold {
    fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0x9E37_79B9_7F4A_7C15;
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of the product are wanted")]
        let (low, high) = (product as u64, (product >> 64) as u64);
        self.0 = low ^ high;
    }
}

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
        self.word(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn write_usize(&mut self, number: usize) {
        self.word(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
