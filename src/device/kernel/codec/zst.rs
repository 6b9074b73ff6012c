// SPDX-License-Identifier: MIT OR Apache-2.0
//! zstd: what [`crate::zstd`] decodes, into memory mapped for it.

use super::error::CodecError;
use super::mapping::Mapping;
use crate::zstd;

/// Decodes every frame of `data`.
pub(crate) fn decode(data: &[u8]) -> Result<Mapping, CodecError> {
    let needs = zstd::needs(data).ok_or(CodecError::Damaged)?;
    if needs.dictionary {
        return Err(CodecError::Unsupported);
    }
    let content_len = usize::try_from(needs.len).map_err(|_| CodecError::NoMemory)?;
    // Literals are kept behind the content; of both only the pages that are written cost memory.
    let mut mapping = Mapping::with_capacity(content_len.saturating_add(zstd::BLOCK_LEN))?;
    let (content, literals) = mapping.space().split_at_mut_checked(content_len).ok_or(CodecError::Damaged)?;
    let len = zstd::decode(data, content, literals).ok_or(CodecError::Damaged)?;
    Ok(mapping.finish(len))
}
