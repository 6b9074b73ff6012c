// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compression of module files and images, by the fast C libraries. The first bytes decide the format, never the name.
//! Compressing is deterministic: no name, no time, one thread.

use super::error::Error;
use crate::modules::compression::Compression;
use liblzma::stream as xz;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress as inflate};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The compression of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Uncompressed
    None,
    /// gzip
    Gz,
    /// xz
    Xz,
    /// zstd
    Zst,
}

/// Damage of a compressed file.
#[derive(Debug, PartialEq, Eq)]
pub struct Damage {
    /// Offset in the compressed file that the decoder reached, bytes; 0 if it does not report it.
    pub off: u64,
    /// The reason.
    pub what: String,
}

impl Damage {
    /// Makes the error for this damage in the file at `path`.
    pub fn in_file(self, path: &Path) -> Error {
        Error::Damaged { path: path.to_owned(), off: self.off, what: self.what }
    }
}

/// Content of a compressed file, for the limit of what it may unpack to. A small hostile file could fill the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A module, or a file of the size of one: 128 MiB. The largest stripped module has 30 MiB.
    Module,
    /// A kernel: 256 MiB. A kernel with most drivers built in has 100 MiB.
    Kernel,
    /// The archives of an initramfs, each: 512 MiB.
    Image,
}

/// Limit that the user gave, bytes; 0 is none.
static GIVEN_MAX: AtomicUsize = AtomicUsize::new(0);

/// Sets the limit of every content to `mib`, MiB.
pub fn set_unpacked_max(mib: u16) {
    GIVEN_MAX.store(usize::from(mib) << 20, Ordering::Relaxed);
}

impl Content {
    /// Returns the limit of what it may unpack to, bytes.
    pub fn unpacked_max(self) -> usize {
        match (GIVEN_MAX.load(Ordering::Relaxed), self) {
            (0, Content::Module) => 128 << 20,
            (0, Content::Kernel) => 256 << 20,
            (0, Content::Image) => 512 << 20,
            (given, _) => given,
        }
    }
}

/// Minimum growth of the output, bytes.
const GROW_LEN: usize = 256 << 10;

impl Format {
    /// Recognises the format by its magic.
    pub fn of(bytes: &[u8]) -> Format {
        match Compression::of(bytes) {
            Some(Compression::Gz) => Format::Gz,
            Some(Compression::Xz) => Format::Xz,
            Some(Compression::Zst) => Format::Zst,
            None => Format::None,
        }
    }

    /// Returns the suffix of file names, with its dot; empty for [`Format::None`].
    pub const fn suffix(self) -> &'static str {
        match self {
            Format::None => "",
            Format::Gz => ".gz",
            Format::Xz => ".xz",
            Format::Zst => ".zst",
        }
    }
}

/// Unpacks a module, or a file of the size of one, of any format; copies an uncompressed one.
///
/// # Errors
/// [`Damage`] where the decoder stopped.
pub fn decompress(bytes: &[u8]) -> Result<Vec<u8>, Damage> {
    let mut out = Vec::new();
    decompress_into(bytes, &mut out)?;
    Ok(out)
}

/// Like [`decompress`], into a buffer, which is cleared first.
///
/// # Errors
/// [`Damage`] where the decoder stopped.
pub fn decompress_into(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Damage> {
    out.clear();
    let max = Content::Module.unpacked_max();
    match Format::of(bytes) {
        Format::None => out.extend(bytes),
        Format::Gz => gunzip(bytes, max, out)?,
        Format::Xz => {
            unlzma(xz::Stream::new_stream_decoder(LZMA_MAX, xz::CONCATENATED), bytes, max, out)?;
        }
        Format::Zst => unzstd(bytes, max, out)?,
    }
    Ok(())
}

/// Compresses `bytes`: xz like the kernel's build, with CRC32 and a dictionary of 1 MiB, which the kernel's decoder can
/// read; zstd at level 19 with the content size; gzip at its highest level.
pub fn compress(bytes: &[u8], format: Format) -> Vec<u8> {
    match format {
        Format::None => bytes.to_vec(),
        Format::Gz => gzip(bytes),
        Format::Xz => xz(bytes),
        Format::Zst => zstd::bulk::compress(bytes, 19).expect("level 19 exists and memory does not fail"),
    }
}

fn gunzip(bytes: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), Damage> {
    // The last four bytes are the length modulo 2^32. If they are wrong, the buffer grows up to the limit.
    let hint = bytes.last_chunk().map_or(0, |len| u32::from_le_bytes(*len));
    let mut len = (hint as usize).clamp(1, (bytes.len() * 1032).clamp(1, max));
    loop {
        out.resize(len, 0);
        match libdeflater::Decompressor::new().gzip_decompress(bytes, out) {
            Ok(len) if len.to_le_bytes().starts_with(&hint.to_le_bytes()) => {
                out.truncate(len);
                return Ok(());
            }
            // only the first of several members was unpacked; gzip(1) writes one
            Ok(_) => return Err(Damage { off: 0, what: "gzip: data after the end of the first member".into() }),
            Err(libdeflater::DecompressionError::InsufficientSpace) if len < max => len = (len * 2).min(max),
            Err(libdeflater::DecompressionError::InsufficientSpace) => {
                return Err(Damage { off: 0, what: format!("gzip: {}", too_much(max)) });
            }
            Err(error) => return Err(Damage { off: 0, what: format!("gzip: {error}").to_lowercase() }),
        }
    }
}

/// Memory limit of an LZMA decoder, bytes. The largest preset of xz(1) takes 65 MiB.
pub const LZMA_MAX: u64 = 512 << 20;

/// Unpacks at most `max` bytes with `decoder`, one of xz or lzma. Returns the number of input bytes it read.
///
/// # Errors
/// [`Damage`] where the decoder stopped.
pub fn unlzma(
    decoder: Result<xz::Stream, xz::Error>,
    bytes: &[u8],
    max: usize,
    out: &mut Vec<u8>,
) -> Result<usize, Damage> {
    let mut stream = decoder.expect("these decoders exist");
    loop {
        let (read, written) = (read_len(&stream), out.len());
        let damage = |what: String| Damage { off: read as u64, what: format!("xz: {what}") };
        if out.capacity() == written {
            // One byte over the limit shows that there is more.
            out.reserve_exact(written.clamp(GROW_LEN, GROW_LEN.max(max / 4)).min((max + 1).saturating_sub(written)));
        }
        let rest = bytes.get(read..).unwrap_or_default();
        match stream.process_vec(rest, out, xz::Action::Finish) {
            Ok(xz::Status::StreamEnd) => return Ok(read_len(&stream)),
            Ok(_) if out.len() > max => return Err(damage(too_much(max))),
            Ok(_) if out.len() == written && read_len(&stream) == read => {
                return Err(damage("truncated".into()));
            }
            Ok(_) => {}
            Err(error) => {
                let what = match error {
                    xz::Error::MemLimit => {
                        format!("xz: its dictionary needs more than {} MiB of memory", LZMA_MAX >> 20)
                    }
                    error => format!("xz: {error}").to_lowercase(),
                };
                return Err(Damage { off: stream.total_in(), what });
            }
        }
    }
}

/// Unpacks frames of zstd to at most `max` bytes.
///
/// # Errors
/// [`Damage`] where the decoder stopped.
pub fn unzstd(bytes: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), Damage> {
    let mut rest = bytes;
    let result = zstd::stream::read::Decoder::with_buffer(&mut rest)
        .and_then(|decoder| decoder.take(max as u64 + 1).read_to_end(out));
    let off = (bytes.len() - rest.len()) as u64;
    match result {
        Ok(len) if len > max => Err(Damage { off, what: format!("zstd: {}", too_much(max)) }),
        Ok(_) => Ok(()),
        Err(error) => Err(Damage { off, what: format!("zstd: {error}").to_lowercase() }),
    }
}

/// Returns the compressed data of a gzip member. Source: RFC 1952.
pub(crate) fn behind_gzip_header(bytes: &[u8]) -> Option<&[u8]> {
    let (&[_, _, 8, flags, ..], mut rest) = bytes.split_first_chunk::<10>()? else { return None };
    let [_, has_crc, has_extra, has_name, has_comment] = [0, 1, 2, 3, 4].map(|bit| flags & 1 << bit != 0);
    if has_extra {
        let (len, behind) = rest.split_first_chunk()?;
        rest = behind.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for _ in [has_name, has_comment].into_iter().filter(|has| *has) {
        rest = rest.get(rest.iter().position(|&byte| byte == 0)? + 1..)?;
    }
    rest.get(if has_crc { 2 } else { 0 }..)
}

/// Length of the pieces of [`each_piece`], bytes. A window of deflate has 32 KiB, and a ring buffer a power of two.
const PIECE_LEN: usize = 64 << 10;

/// Unpacks the stream at the start of `bytes`, whatever follows it, in constant memory. Calls `each` with one piece of its
/// content after the other; stops early if that returns false. Returns false if the stream is damaged.
pub fn each_piece(bytes: &[u8], each: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    let mut from: Box<dyn Read + '_> = match Format::of(bytes) {
        Format::None => return false,
        Format::Gz => return each_piece_of_gzip(bytes, each).is_some(),
        Format::Xz => {
            let stream = xz::Stream::new_stream_decoder(LZMA_MAX, 0).expect("this decoder exists");
            Box::new(liblzma::bufread::XzDecoder::new_stream(bytes, stream))
        }
        Format::Zst => match zstd::stream::read::Decoder::with_buffer(bytes) {
            Ok(decoder) => Box::new(decoder.single_frame()),
            Err(_) => return false,
        },
    };
    let mut piece = vec![0; PIECE_LEN];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return true,
            Ok(len) if each(&piece[..len]) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}

/// Unpacks a gzip member for [`each_piece`]; `None` if it is damaged.
fn each_piece_of_gzip(bytes: &[u8], each: &mut dyn FnMut(&[u8]) -> bool) -> Option<()> {
    let mut rest = behind_gzip_header(bytes)?;
    let mut state = Box::new(DecompressorOxide::new());
    let (mut ring, mut place) = (vec![0; PIECE_LEN], 0);
    loop {
        let (status, read_len, written_len) = inflate(&mut state, rest, &mut ring, place, 0);
        rest = rest.get(read_len..)?;
        if !each(&ring[place..place + written_len]) {
            return Some(());
        }
        place = (place + written_len) % PIECE_LEN;
        match status {
            TINFLStatus::Done => return Some(()),
            TINFLStatus::HasMoreOutput => {}
            _ => return None,
        }
    }
}

/// Returns the message on a content that exceeds its limit.
pub fn too_much(max: usize) -> String {
    format!("unpacks to more than {} MiB; --unpacked-max raises the limit", max >> 20)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = libdeflater::Compressor::new(libdeflater::CompressionLvl::best());
    let mut out = vec![0; packer.gzip_compress_bound(bytes.len())];
    let len = packer.gzip_compress(bytes, &mut out).expect("the bound is large enough");
    out.truncate(len);
    out
}

/// Returns the number of bytes that a stream has read: of a slice, so it is a length.
fn read_len(stream: &xz::Stream) -> usize {
    stream.total_in().try_into().unwrap_or(usize::MAX)
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut options = xz::LzmaOptions::new_preset(6).expect("preset 6 exists");
    options.dict_size(1 << 20);
    let mut stream = xz::Stream::new_stream_encoder(xz::Filters::new().lzma2(&options), xz::Check::Crc32)
        .expect("this filter chain exists");
    let mut out = Vec::with_capacity(bytes.len() / 3 + GROW_LEN);
    loop {
        let rest = bytes.get(read_len(&stream)..).unwrap_or_default();
        match stream.process_vec(rest, &mut out, xz::Action::Finish).expect("encoding fails on a lack of memory only") {
            xz::Status::StreamEnd => return out,
            _ => out.reserve(GROW_LEN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes with repetitions, longer than the first read of any decoder.
    fn plain() -> Vec<u8> {
        (0..400_000u32).flat_map(|at| (at % 977 * (at >> 14)).to_le_bytes()).collect()
    }

    fn xz_with(filters: &xz::Filters, check: xz::Check) -> Vec<u8> {
        let mut stream = xz::Stream::new_stream_encoder(filters, check).unwrap();
        let mut out = Vec::with_capacity(4 << 20);
        assert_eq!(stream.process_vec(&plain(), &mut out, xz::Action::Finish), Ok(xz::Status::StreamEnd));
        out
    }

    #[test]
    fn a_round_trip_in_each_format_and_the_output_is_deterministic() {
        for format in [Format::None, Format::Gz, Format::Xz, Format::Zst] {
            let packed = compress(&plain(), format);
            assert_eq!(Format::of(&packed), format);
            assert_eq!(packed, compress(&plain(), format));
            assert!(decompress(&packed) == Ok(plain()), "{format:?}");
        }
    }

    #[test]
    fn xz_reads_each_check_and_filter() {
        let lzma2 = xz::LzmaOptions::new_preset(1).unwrap();
        for check in [xz::Check::None, xz::Check::Crc32, xz::Check::Crc64, xz::Check::Sha256] {
            assert!(decompress(&xz_with(xz::Filters::new().lzma2(&lzma2), check)) == Ok(plain()), "{check:?}");
        }
        for bcj in
            [xz::Filters::x86, xz::Filters::arm, xz::Filters::arm_thumb, xz::Filters::arm64, xz::Filters::powerpc]
        {
            let mut filters = xz::Filters::new();
            assert!(decompress(&xz_with(bcj(&mut filters).lzma2(&lzma2), xz::Check::Crc32)) == Ok(plain()));
        }
        let two = xz_with(xz::Filters::new().lzma2(&lzma2), xz::Check::Crc32).repeat(2);
        assert!(decompress(&two) == Ok(plain().repeat(2)), "concatenated streams");
    }

    #[test]
    fn zstd_reads_frames_with_and_without_a_content_size() {
        let streamed = zstd::stream::encode_all(&*plain(), 3).unwrap();
        assert_eq!(zstd::zstd_safe::get_frame_content_size(&streamed).unwrap(), None);
        assert!(decompress(&streamed) == Ok(plain()));
        assert!(decompress(&streamed.repeat(2)) == Ok(plain().repeat(2)), "concatenated frames");
        let sized = compress(&plain(), Format::Zst);
        assert_eq!(zstd::zstd_safe::get_frame_content_size(&sized).unwrap(), Some(plain().len() as u64));
    }

    #[test]
    fn gzip_with_trailing_data_is_refused() {
        let packed = compress(&plain(), Format::Gz);
        assert!(decompress(&[&packed[..], b"more"].concat()).is_err());
        assert!(decompress(&[&packed[..], &compress(b"x", Format::Gz)].concat()).is_err());
    }

    #[test]
    fn damage_is_reported_with_its_offset() {
        let mut packed = compress(&plain(), Format::Xz);
        let at = packed.len() / 2;
        packed[at] ^= 0x55;
        let damage = decompress(&packed).unwrap_err();
        assert!(damage.what.starts_with("xz: ") && damage.off > 0 && damage.off <= packed.len() as u64, "{damage:?}");
        packed.truncate(at);
        assert!(decompress(&packed).is_err());
    }
}
