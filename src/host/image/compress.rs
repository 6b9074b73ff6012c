//! The image as the kernel unpacks it: compressed by one of its CONFIG_RD_* methods, zeros behind.
//!
//! Source: the kernel's init/initramfs.c, `unpack_to_rootfs`, and lib/decompress_*.c.

use crate::host::codec::Format;
use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
use liblzma::write::XzEncoder;
use std::io::Write;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// Zeros behind the archive, bytes. The kernel skips them; QEMU's x86 firmware was seen to overwrite the end of an
/// initrd.
const TAIL_LEN: usize = 512;

/// What boot loaders copy in, bytes.
const BLOCK_LEN: usize = 512;

/// Window of zstd and dictionary of xz, bytes as a power of two: at most 8 MiB, for the kernel allocates it.
const WINDOW_LOG: u32 = 23;

/// Compresses an archive and pads it with zeros, to whole blocks.
pub fn compress(archive: &[u8], format: Format) -> Vec<u8> {
    let mut image = match format {
        Format::None => archive.to_vec(),
        Format::Gz => gz(archive),
        Format::Xz => xz(archive).expect("parameters are good, memory takes it"),
        Format::Zst => zst(archive).expect("parameters are good, memory takes it"),
    };
    image.resize((image.len() + TAIL_LEN).next_multiple_of(BLOCK_LEN), 0);
    image
}

fn gz(archive: &[u8]) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::best());
    let mut out = vec![0; compressor.gzip_compress_bound(archive.len())];
    let len = compressor.gzip_compress(archive, &mut out).expect("the buffer has the bound's length");
    out.truncate(len);
    out
}

/// With CRC32, the only check the kernel knows, and without BCJ filters, which it may lack.
fn xz(archive: &[u8]) -> std::io::Result<Vec<u8>> {
    const EXTREME: u32 = 1 << 31;
    let mut options = LzmaOptions::new_preset(9 | EXTREME)?;
    // A dictionary longer than the archive would only cost the device memory.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_decoders_read_it_and_zeros_follow() {
        let archive: Vec<u8> = (0..100_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let image = compress(&archive, Format::Xz);
        let mut plain = Vec::new();
        lzma_rs::xz_decompress(&mut &image[..image.len() - trailing_zeros(&image)], &mut plain).unwrap();
        assert!(plain == archive);

        let image = compress(&archive, Format::Zst);
        let frame = &image[..zstd::zstd_safe::find_frame_compressed_size(&image).unwrap()];
        assert!(zstd::stream::decode_all(frame).unwrap() == archive);

        let image = compress(&archive, Format::Gz);
        plain.fill(0);
        let mut decompressor = libdeflater::Decompressor::new();
        assert_eq!(decompressor.gzip_decompress(&image, &mut plain), Ok(archive.len()));
        assert!(plain == archive);
    }

    #[test]
    fn the_tail_is_zeros_up_to_a_whole_block() {
        for format in [Format::None, Format::Gz, Format::Xz, Format::Zst] {
            let image = compress(b"070701 and so on", format);
            assert_eq!(image.len() % BLOCK_LEN, 0);
            assert!(trailing_zeros(&image) >= TAIL_LEN);
        }
    }

    fn trailing_zeros(image: &[u8]) -> usize {
        image.iter().rev().take_while(|&&byte| byte == 0).count()
    }
}
