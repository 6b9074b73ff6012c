// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compression of the image, by a method for which the kernel has a CONFIG_RD_* option.
//!
//! Source: the kernel's init/initramfs.c, `unpack_to_rootfs`, and lib/decompress_*.c.

use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
use liblzma::write::XzEncoder;
use serde::Deserialize;
use std::io::Write;
use std::path::Path;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// Zeros behind the archive's trailer, bytes. QEMU's x86 firmware has overwritten the last bytes of an initrd; then they
/// belong to no file. They are compressed with the archive: behind a zstd frame or lz4 stream other readers refuse them.
const TAIL_LEN: usize = 512;

/// Length that a padded archive is a multiple of, bytes. Source: cpio(1) writes blocks of 512 bytes.
const BLOCK_LEN: usize = 512;

/// Limit of the zstd window and the xz dictionary as a power of two: 8 MiB, as the kernel allocates it.
const WINDOW_LOG: u32 = 23;

/// Compression of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// No compression.
    None,
    /// gzip
    Gz,
    /// xz
    Xz,
    /// zstd
    Zst,
    /// lz4 in its legacy format, the only one that the kernel reads
    Lz4,
}

impl Method {
    /// Returns its name after a comma, for the report; empty for [`Method::None`].
    pub fn named(self) -> &'static str {
        match self {
            Method::None => "",
            Method::Gz => ", gz",
            Method::Xz => ", xz",
            Method::Zst => ", zst",
            Method::Lz4 => ", lz4",
        }
    }

    /// Returns the word that --compress takes for it.
    pub fn word(self) -> &'static str {
        match self {
            Method::None => "none",
            _ => self.named().trim_start_matches(", "),
        }
    }

    /// Returns the compression that the end of an image's name stands for.
    pub fn of_name(path: &Path) -> Option<Method> {
        match path.extension()?.to_str()? {
            "cpio" => Some(Method::None),
            "gz" => Some(Method::Gz),
            "xz" => Some(Method::Xz),
            "zst" | "zstd" => Some(Method::Zst),
            "lz4" => Some(Method::Lz4),
            _ => None,
        }
    }

    /// Returns the kernel's option for its decompressor, without `CONFIG_`.
    pub fn option(self) -> Option<&'static str> {
        match self {
            Method::None => None,
            Method::Gz => Some("RD_GZIP"),
            Method::Xz => Some("RD_XZ"),
            Method::Zst => Some("RD_ZSTD"),
            Method::Lz4 => Some("RD_LZ4"),
        }
    }
}

/// First bytes of lz4's legacy format.
pub(super) const LZ4_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// Uncompressed length of an lz4 block, bytes.
pub(super) const LZ4_BLOCK_LEN: usize = 8 << 20;

/// Pads an archive with zeros to whole blocks and compresses it.
pub fn compress(archive: &[u8], method: Method) -> Vec<u8> {
    let mut archive = archive.to_vec();
    archive.resize((archive.len() + TAIL_LEN).next_multiple_of(BLOCK_LEN), 0);
    match method {
        Method::None => archive,
        Method::Gz => gz(&archive),
        Method::Xz => xz(&archive).expect("the parameters are valid; writing to memory cannot fail"),
        Method::Zst => zst(&archive).expect("the parameters are valid; writing to memory cannot fail"),
        Method::Lz4 => lz4(&archive),
    }
}

fn gz(archive: &[u8]) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::best());
    let mut out = vec![0; compressor.gzip_compress_bound(archive.len())];
    let len = compressor.gzip_compress(archive, &mut out).expect("the buffer has the bound's length");
    out.truncate(len);
    out
}

/// Compresses with CRC32, the only check that the kernel implements, and without BCJ filters, which it may lack.
fn xz(archive: &[u8]) -> std::io::Result<Vec<u8>> {
    const EXTREME: u32 = 1 << 31;
    let mut options = LzmaOptions::new_preset(9 | EXTREME)?;
    // A dictionary longer than the archive would waste memory on the device.
    options.dict_size(u32::try_from(archive.len()).map_or(u32::MAX, |len| len.max(1 << 12)).min(1 << WINDOW_LOG));
    let stream = Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::Crc32)?;
    let mut encoder = XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(archive)?;
    encoder.finish()
}

fn zst(archive: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = Compressor::new(19)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    if archive.len() > 1 << WINDOW_LOG {
        compressor.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    }
    compressor.compress(archive)
}

/// Compresses in lz4's legacy format: magic, then blocks, each after its compressed length. Source: lib/decompress_unlz4.c.
fn lz4(archive: &[u8]) -> Vec<u8> {
    let mut out = LZ4_MAGIC.to_vec();
    for block in archive.chunks(LZ4_BLOCK_LEN) {
        let packed = lz4_flex::block::compress(block);
        let len = u32::try_from(packed.len()).expect("a packed block is little longer than LZ4_BLOCK_LEN");
        out.extend(len.to_le_bytes());
        out.extend(packed);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a long archive, and what its image is to decode to.
    fn archive_and_padded(len: usize) -> (Vec<u8>, Vec<u8>) {
        let archive: Vec<u8> = (0..len as u32).map(|n| (n / 7 % 251) as u8).collect();
        let mut padded = archive.clone();
        padded.resize((len + TAIL_LEN).next_multiple_of(BLOCK_LEN), 0);
        (archive, padded)
    }

    #[test]
    fn other_decoders_read_it_to_the_last_byte() {
        let (archive, padded) = archive_and_padded(400_000);
        let image = compress(&archive, Method::Xz);
        let mut plain = Vec::new();
        lzma_rs::xz_decompress(&mut &image[..], &mut plain).unwrap();
        assert!(plain == padded);

        let image = compress(&archive, Method::Zst);
        assert_eq!(zstd::zstd_safe::find_frame_compressed_size(&image).unwrap(), image.len());
        assert!(zstd::stream::decode_all(&image[..]).unwrap() == padded);

        let image = compress(&archive, Method::Gz);
        plain.fill(0);
        let mut decompressor = libdeflater::Decompressor::new();
        assert_eq!(decompressor.gzip_decompress(&image, &mut plain), Ok(padded.len()));
        assert!(plain == padded);

        assert!(compress(&archive, Method::None) == padded);
    }

    #[test]
    fn lz4_has_the_legacy_format() {
        let (archive, padded) = archive_and_padded(LZ4_BLOCK_LEN + 1000);
        let image = compress(&archive, Method::Lz4);
        let (mut rest, mut plain) = (image.strip_prefix(b"\x02\x21\x4c\x18").unwrap(), Vec::new());
        while let Some((len, blocks)) = rest.split_first_chunk() {
            let (block, behind) = blocks.split_at(u32::from_le_bytes(*len) as usize);
            plain.extend(lz4_flex::block::decompress(block, LZ4_BLOCK_LEN).unwrap());
            rest = behind;
        }
        assert!(rest.is_empty() && plain == padded);
    }

    #[test]
    fn zeros_fill_the_last_block() {
        let image = compress(b"070701 and so on", Method::None);
        assert_eq!(image.len(), 2 * BLOCK_LEN);
        assert!(image.ends_with(&[0; TAIL_LEN]));
    }
}
