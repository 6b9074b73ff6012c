// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decodes a module file by its compression.

use super::error::CodecError;
#[cfg(feature = "gz")]
use super::gz;
use super::mapping::Mapping;
#[cfg(feature = "xz")]
use super::xz;
#[cfg(feature = "zst")]
use super::zst;
use crate::modules::compression::Compression;

/// Decodes all of `data`, whose compression must be known, into memory mapped for it.
///
/// # Errors
/// See [`CodecError`]; what is not known is `Unsupported`.
pub(crate) fn decode(data: &[u8]) -> Result<Mapping, CodecError> {
    match Compression::of(data) {
        #[cfg(feature = "gz")]
        Some(Compression::Gz) => gz::decode(data),
        #[cfg(feature = "xz")]
        Some(Compression::Xz) => xz::decode(data),
        #[cfg(feature = "zst")]
        Some(Compression::Zst) => zst::decode(data),
        #[allow(unreachable_patterns, reason = "with all three decoders built in, every compression has its arm above")]
        Some(_) => Err(CodecError::NotBuiltIn),
        None => Err(CodecError::Unsupported),
    }
}
