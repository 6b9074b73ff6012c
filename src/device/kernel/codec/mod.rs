//! `.ko.gz`, `.ko.xz` and `.ko.zst` to memory, for kernels that do not take a module as it lies.
//!
//! Every byte of the input is hostile: what it claims about sizes is a hint or is checked, lengths end at
//! [`mapping::LIMIT_LEN`], and nothing is returned before its checksums agree. The decoder of xz allocates;
//! where the arena has no memory left the process ends, so decode in a child whose end is one failed module.

#[cfg(any(feature = "gz", feature = "xz"))]
mod check;
#[cfg(feature = "gz")]
mod gz;
mod mapping;
#[cfg(feature = "xz")]
mod sha256;
#[cfg(feature = "xz")]
mod xz;
#[cfg(feature = "zst")]
mod zst;

#[cfg(test)]
mod tests;

use crate::loading::kernel::Refusal;
pub(crate) use mapping::Mapping;

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

/// Why a file can't be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodecError {
    /// The data contradicts its format or its checksum, or it ends too early.
    Damaged,
    /// It uses a part of its format that no module needs: a preset dictionary, a filter for another kind of machine.
    Unsupported,
    /// This loader was built without the decoder.
    NotBuiltIn,
    /// The kernel gives no memory, or the content is past all bounds.
    NoMemory,
}

impl CodecError {
    /// Returns the exit status of a process that failed by it. The kernel's errnos stay below 134.
    pub(crate) fn status(self) -> i32 {
        match self {
            CodecError::Damaged => 200,
            CodecError::Unsupported | CodecError::NotBuiltIn => 201,
            CodecError::NoMemory => 202,
        }
    }

    /// Returns the error that ends a process with this exit status.
    pub(crate) fn of_status(status: i32) -> Option<CodecError> {
        match status {
            200 => Some(CodecError::Damaged),
            201 => Some(CodecError::Unsupported),
            202 => Some(CodecError::NoMemory),
            _ => None,
        }
    }
}

impl From<CodecError> for Refusal {
    fn from(error: CodecError) -> Refusal {
        match error {
            CodecError::Damaged => Refusal::Damaged,
            CodecError::Unsupported | CodecError::NotBuiltIn => Refusal::NoDecoder,
            CodecError::NoMemory => Refusal::NoMemory,
        }
    }
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
