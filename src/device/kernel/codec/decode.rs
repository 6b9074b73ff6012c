//! Recognizes the compression of a module file and decodes it.

use super::error::CodecError;
#[cfg(feature = "gz")]
use super::gz;
use super::mapping::Mapping;
#[cfg(feature = "xz")]
use super::xz;
#[cfg(feature = "zst")]
use super::zst;

/// A compression that modules come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// RFC 1952.
    Gz,
    /// The .xz file format, version 1.2.1.
    Xz,
    /// RFC 8878.
    Zst,
}

/// Returns the compression of `data` by its magic; `None` if it is plain or unknown.
pub(crate) fn sniff(data: &[u8]) -> Option<Format> {
    match data {
        [0x1f, 0x8b, ..] => Some(Format::Gz),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Format::Xz),
        // A frame, or a skippable one before it.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Format::Zst),
        _ => None,
    }
}

/// Decodes all of `data`, which [`sniff`] must know, into memory mapped for it.
///
/// # Errors
/// See [`CodecError`]; what `sniff` does not know is `Unsupported`.
pub(crate) fn decode(data: &[u8]) -> Result<Mapping, CodecError> {
    match sniff(data) {
        #[cfg(feature = "gz")]
        Some(Format::Gz) => gz::decode(data),
        #[cfg(feature = "xz")]
        Some(Format::Xz) => xz::decode(data),
        #[cfg(feature = "zst")]
        Some(Format::Zst) => zst::decode(data),
        #[allow(unreachable_patterns, reason = "with all three decoders built in, every format has its arm above")]
        Some(_) => Err(CodecError::NotBuiltIn),
        None => Err(CodecError::Unsupported),
    }
}
