// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checksums of gzip and xz. Their tables are made when needed: 8 kB of stack for 10 us, not of the binary.

/// A CRC, reflected, of up to 64 bits; one routine serves CRC32 (gz, xz) and CRC64 (xz).
pub(crate) struct Crc {
    /// `tables[n][byte]`: what `byte` leaves in the register after n zero bytes more.
    tables: [[u64; 256]; 4],
    ones: u64,
}

impl Crc {
    /// CRC-32/ISO-HDLC.
    pub(crate) fn crc32() -> Crc {
        Crc::new(0xedb8_8320, 0xffff_ffff)
    }

    /// CRC-64/XZ.
    #[cfg(feature = "xz")]
    pub(crate) fn crc64() -> Crc {
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
    pub(crate) fn sum(&self, data: &[u8]) -> u64 {
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
fn at(table: &[u64; 256], index: u64) -> u64 {
    table.get((index & 0xff) as usize).copied().unwrap_or(0)
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
}
