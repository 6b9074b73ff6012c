//! The checksums of the three formats. Their tables are made when needed: 8 kB of stack for 10 us, not of the binary.

/// A CRC, reflected, of up to 64 bits; one routine serves CRC32 (gz, xz) and CRC64 (xz).
#[cfg(any(feature = "gz", feature = "xz"))]
pub(super) struct Crc {
    /// `tables[n][byte]`: what `byte` leaves in the register after n zero bytes more.
    tables: [[u64; 256]; 4],
    ones: u64,
}

#[cfg(any(feature = "gz", feature = "xz"))]
impl Crc {
    /// CRC-32/ISO-HDLC.
    pub(super) fn crc32() -> Crc {
        Crc::new(0xedb8_8320, 0xffff_ffff)
    }

    /// CRC-64/XZ.
    #[cfg(feature = "xz")]
    pub(super) fn crc64() -> Crc {
        Crc::new(0xc96c_5795_d787_0f42, u64::MAX)
    }

    fn new(polynomial: u64, ones: u64) -> Crc {
        let mut tables = [[0; 256]; 4];
        let [first, rest @ ..] = &mut tables;
        for (byte, entry) in (0u64..).zip(first.iter_mut()) {
            *entry = (0..8).fold(byte, |crc, _| (crc >> 1) ^ if crc & 1 == 1 { polynomial } else { 0 });
        }
        let mut previous = *first;
        for table in rest {
            for (entry, &before) in table.iter_mut().zip(&previous) {
                *entry = (before >> 8) ^ at(first, before);
            }
            previous = *table;
        }
        Crc { tables, ones }
    }

    /// Computes the checksum of `data`.
    pub(super) fn sum(&self, data: &[u8]) -> u64 {
        let [table0, table1, table2, table3] = &self.tables;
        let (words, tail) = data.as_chunks::<4>();
        let mut crc = self.ones;
        for word in words {
            let low = crc ^ u64::from(u32::from_le_bytes(*word));
            crc = (crc >> 32) ^ at(table3, low) ^ at(table2, low >> 8) ^ at(table1, low >> 16) ^ at(table0, low >> 24);
        }
        for &byte in tail {
            crc = (crc >> 8) ^ at(table0, crc ^ u64::from(byte));
        }
        crc ^ self.ones
    }
}

/// Looks up the low byte of `index`, which no table is too short for.
#[cfg(any(feature = "gz", feature = "xz"))]
fn at(table: &[u64; 256], index: u64) -> u64 {
    table.get(usize::from(index as u8)).copied().unwrap_or(0)
}

/// Computes XXH64 with seed 0, of which a zstd frame keeps the lower half.
#[cfg(feature = "zst")]
pub(super) fn xxh64(data: &[u8]) -> u64 {
    const P1: u64 = 0x9e37_79b1_85eb_ca87;
    const P2: u64 = 0xc2b2_ae3d_27d4_eb4f;
    const P3: u64 = 0x1656_67b1_9e37_79f9;
    const P4: u64 = 0x85eb_ca77_c2b2_ae63;
    const P5: u64 = 0x27d4_eb2f_1656_67c5;

    fn round(lane: u64, word: u64) -> u64 {
        lane.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
    }
    fn rest(hash: u64, word: u64) -> u64 {
        (hash ^ round(0, word)).rotate_left(27).wrapping_mul(P1).wrapping_add(P4)
    }

    let (stripes, tail) = data.as_chunks::<32>();
    let mut hash = P5;
    if !stripes.is_empty() {
        let mut lanes = [P1.wrapping_add(P2), P2, 0, 0u64.wrapping_sub(P1)];
        for stripe in stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<8>().0) {
                *lane = round(*lane, u64::from_le_bytes(*word));
            }
        }
        hash = lanes.iter().zip([1, 7, 12, 18]).fold(0, |sum, (lane, by)| sum.wrapping_add(lane.rotate_left(by)));
        hash = lanes.iter().fold(hash, |hash, &lane| (hash ^ round(0, lane)).wrapping_mul(P1).wrapping_add(P4));
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
    #[cfg(feature = "xz")]
    #[test]
    fn crcs_have_their_catalogue_values() {
        assert_eq!(super::Crc::crc32().sum(b"123456789"), 0xcbf4_3926);
        assert_eq!(super::Crc::crc64().sum(b"123456789"), 0x995d_c9bb_df19_39fa);
        assert_eq!(super::Crc::crc32().sum(b""), 0);
    }

    #[cfg(feature = "zst")]
    #[test]
    fn xxh64_has_its_published_values() {
        assert_eq!(super::xxh64(b""), 0xef46_db37_51d8_e999);
        assert_eq!(super::xxh64(b"abc"), 0x44bc_2cf5_ad77_0999);
        assert_eq!(super::xxh64(b"Nobody inspects the spammish repetition"), 0xfbce_a83c_8a37_8bf1);
    }
}
