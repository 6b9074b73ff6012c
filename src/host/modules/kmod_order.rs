// SPDX-License-Identifier: MIT OR Apache-2.0
//! The order of kmod's hash table, for modules that modules.order does not list, such as out-of-tree modules. With it
//! their indexes equal kmod's byte for byte; loading would work in any order. Source: kmod, shared/hash.c; the hash
//! function is Paul Hsieh's SuperFastHash.

/// Buckets of the table in which depmod keeps modules by name.
const BUCKETS: u32 = 512;

/// Returns the bucket of `modname`; within a bucket names are in byte order.
pub(crate) fn bucket(modname: &str) -> u32 {
    hash(modname.as_bytes()) & (BUCKETS - 1)
}

fn hash(key: &[u8]) -> u32 {
    let half = |bytes: &[u8]| bytes.first_chunk().map_or(0, |half| u32::from(u16::from_le_bytes(*half)));
    // C's char is signed on x86, and the hash differs by it
    let signed = |byte: u8| i32::from(byte.cast_signed()).cast_unsigned();
    let mut hash = u32::try_from(key.len()).expect("a module's name is short");
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_add(half(word));
        hash = (hash << 16) ^ (half(&word[2..]) << 11) ^ hash;
        hash = hash.wrapping_add(hash >> 11);
    }
    match *tail {
        [_, _, third] => {
            hash = hash.wrapping_add(half(tail));
            hash ^= hash << 16;
            hash ^= signed(third) << 18;
            hash = hash.wrapping_add(hash >> 11);
        }
        [_, _] => {
            hash = hash.wrapping_add(half(tail));
            hash ^= hash << 11;
            hash = hash.wrapping_add(hash >> 17);
        }
        [only] => {
            hash = hash.wrapping_add(signed(only));
            hash ^= hash << 10;
            hash = hash.wrapping_add(hash >> 1);
        }
        _ => {}
    }
    hash ^= hash << 3;
    hash = hash.wrapping_add(hash >> 5);
    hash ^= hash << 4;
    hash = hash.wrapping_add(hash >> 17);
    hash ^= hash << 25;
    hash.wrapping_add(hash >> 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The modules of tests/trees/57-not-in-modules-order, none of them in modules.order, as kmod 34 lists them.
    #[test]
    fn buckets_are_kmods() {
        let dep = include_str!("../../../tests/trees/57-not-in-modules-order/expected/modules.dep");
        let paths = dep.lines().filter_map(|line| line.split(':').next()).filter(|path| path.starts_with("extra/"));
        let names: Vec<String> = paths.map(crate::host::modules::file::modname).collect();
        assert!(names.is_sorted_by_key(|name| (bucket(name), name)), "{names:?}");
        assert!(names.len() > 20);
    }
}
