// SPDX-License-Identifier: MIT OR Apache-2.0
//! XXH64, the checksum of zstd frames. Source: the xxHash specification, 0.1.1.

/// Computes XXH64 with seed 0; a zstd frame stores the lower 32 bits.
pub fn xxh64(data: &[u8]) -> u64 {
    const P1: u64 = 0x9e37_79b1_85eb_ca87;
    const P2: u64 = 0xc2b2_ae3d_27d4_eb4f;
    const P3: u64 = 0x1656_67b1_9e37_79f9;
    const P4: u64 = 0x85eb_ca77_c2b2_ae63;
    const P5: u64 = 0x27d4_eb2f_1656_67c5;

    fn round(sum: u64, word: u64) -> u64 {
        sum.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
    }
    fn rest(hash: u64, word: u64) -> u64 {
        (hash ^ round(0, word)).rotate_left(27).wrapping_mul(P1).wrapping_add(P4)
    }

    let (stripes, tail) = data.as_chunks::<32>();
    let mut hash = P5;
    if !stripes.is_empty() {
        let mut sums = [P1.wrapping_add(P2), P2, 0, 0u64.wrapping_sub(P1)];
        for stripe in stripes {
            for (sum, word) in sums.iter_mut().zip(stripe.as_chunks::<8>().0) {
                *sum = round(*sum, u64::from_le_bytes(*word));
            }
        }
        hash = sums.iter().zip([1, 7, 12, 18]).fold(0, |hash, (sum, by)| hash.wrapping_add(sum.rotate_left(by)));
        hash = sums.iter().fold(hash, |hash, &sum| (hash ^ round(0, sum)).wrapping_mul(P1).wrapping_add(P4));
    }
    hash = hash.wrapping_add(data.len() as u64);

    let (words, tail) = tail.as_chunks::<8>();
    for word in words {
        hash = rest(hash, u64::from_le_bytes(*word));
    }
    let (halves, tail) = tail.as_chunks::<4>();
    for half in halves {
        hash = (hash ^ u64::from(u32::from_le_bytes(*half)).wrapping_mul(P1)).rotate_left(23);
        hash = hash.wrapping_mul(P2).wrapping_add(P3);
    }
    for &byte in tail {
        hash = (hash ^ u64::from(byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(P3);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    #[test]
    fn xxh64_has_its_published_values() {
        assert_eq!(super::xxh64(b""), 0xef46_db37_51d8_e999);
        assert_eq!(super::xxh64(b"abc"), 0x44bc_2cf5_ad77_0999);
        assert_eq!(super::xxh64(b"Nobody inspects the spammish repetition"), 0xfbce_a83c_8a37_8bf1);
    }
}
