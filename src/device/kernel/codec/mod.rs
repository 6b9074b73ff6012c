// SPDX-License-Identifier: MIT OR Apache-2.0
//! `.ko.gz`, `.ko.xz` and `.ko.zst` to memory, for kernels that do not take a module as it lies.
//!
//! Every byte of the input is hostile: what it claims about sizes is a hint or is checked, lengths end at
//! [`mapping::LIMIT_LEN`], and nothing is returned before its checksums agree. The decoder of xz allocates;
//! where the arena has no memory left the process ends, so decode in a child whose end is one failed module.

mod error;
#[cfg(any(feature = "gz", feature = "xz"))]
mod check;
pub(crate) mod mapping;
#[cfg(feature = "gz")]
mod gz;
#[cfg(feature = "xz")]
mod sha256;
#[cfg(feature = "xz")]
mod xz;
#[cfg(feature = "zst")]
mod zst;
mod decode;

#[cfg(test)]
mod tests;

pub(crate) use decode::decode;
pub(crate) use error::CodecError;
