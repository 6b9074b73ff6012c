//! zstd: frames, skippable or not, each with its checksum if it brings one. Format: RFC 8878.

use super::check::xxh64;
use super::{CodecError, Mapping};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::io::Read;

/// How much is decoded before it is moved out of the window: the decoder's memory is the window and this.
const BATCH_LEN: usize = 1 << 18;

/// zstd's own bound, without `--long`. The memory is taken as the content fills it.
const WINDOW_LIMIT_LEN: u64 = 128 << 20;

/// Decodes every frame of `data`.
pub(super) fn decode(data: &[u8]) -> Result<Mapping, CodecError> {
    let mut mapping = Mapping::with_capacity(data.len())?;
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(WINDOW_LIMIT_LEN);
    let (mut rest, mut len) = (data, 0);
    while !rest.is_empty() {
        match decoder.init(&mut rest) {
            Ok(()) => len = frame(&mut decoder, &mut rest, &mut mapping, len)?,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                rest = rest.get(length as usize..).ok_or(CodecError::Damaged)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(mapping.finish(len))
}

/// Decodes the frame that `decoder` has begun behind the `start` bytes that are there; returns where it ends.
fn frame(
    decoder: &mut FrameDecoder,
    rest: &mut &[u8],
    mapping: &mut Mapping,
    start: usize,
) -> Result<usize, CodecError> {
    // Zero is: not told.
    let claim_len = usize::try_from(decoder.content_size()).map_err(|_| CodecError::NoMemory)?;
    mapping.reserve(start.saturating_add(claim_len))?;
    let mut end = start;
    while !decoder.is_finished() {
        decoder.decode_blocks(&mut *rest, BlockDecodingStrategy::UptoBytes(BATCH_LEN))?;
        loop {
            let room = mapping.room().get_mut(end..).ok_or(CodecError::Damaged)?;
            end = end.saturating_add(decoder.read(room).map_err(|_| CodecError::Damaged)?);
            if decoder.can_collect() == 0 {
                break;
            }
            mapping.grow()?;
        }
    }
    let content = mapping.room().get(start..end).ok_or(CodecError::Damaged)?;
    let length_agrees = claim_len == 0 || claim_len == content.len();
    let sum_agrees = decoder.get_checksum_from_data().is_none_or(|sum| sum == xxh64(content) as u32);
    if length_agrees && sum_agrees { Ok(end) } else { Err(CodecError::Damaged) }
}

impl From<FrameDecoderError> for CodecError {
    fn from(error: FrameDecoderError) -> CodecError {
        match error {
            FrameDecoderError::DictNotProvided { .. } => CodecError::Unsupported,
            FrameDecoderError::WindowSizeTooBig { .. } => CodecError::NoMemory,
            _ => CodecError::Damaged,
        }
    }
}
