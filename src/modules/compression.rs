// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compressions of module files, recognized by their first bytes and never by the name.

/// A compression that modules come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gz,
    /// The .xz file format, version 1.2.1.
    Xz,
    /// RFC 8878.
    Zst,
}

impl Compression {
    /// Returns the compression of a file that starts with `head`, 6 bytes or more; `None` if it is plain or unknown.
    pub fn of(head: &[u8]) -> Option<Compression> {
        match head {
            [0x1f, 0x8b, ..] => Some(Compression::Gz),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Compression::Xz),
            // A frame, or a skippable one before it.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zst),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Compression;

    #[test]
    fn a_skippable_frame_is_zstd() {
        assert_eq!(Compression::of(b"R*M\x18"), Some(Compression::Zst));
        assert_eq!(Compression::of(b"\x7fELF"), None);
        assert_eq!(Compression::of(b""), None);
    }
}
