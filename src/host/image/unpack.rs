// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads an initramfs as the kernel does: a sequence of cpio archives with zeros between them. Each is plain and aligned
//! to 4 bytes, or compressed on its own. Refuses images that the kernel would refuse, and bzip2 and lzo, with the offset.
//!
//! Source: the kernel's init/initramfs.c, `unpack_to_rootfs`, and
//! Documentation/driver-api/early-userspace/buffer-format.rst.

use super::compress::{LZ4_BLOCK_LEN, LZ4_MAGIC};
use crate::host::codec;
use crate::host::codec::{Content, Damage, LZMA_MAX};
use ::cpio::newc;
use liblzma::stream as xz;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// Least growth of the output buffer, bytes.
const GROW_LEN: usize = 1 << 20;

/// Alignment of an entry, bytes from the start of the image or of its unpacked archive.
pub const ALIGN: usize = 4;

/// File type bits of a mode.
pub const TYPE: u32 = 0o170_000;
/// Type of a regular file.
pub const FILE: u32 = 0o100_000;
/// Type of a directory.
pub const DIR: u32 = 0o040_000;
/// Type of a symbolic link.
pub const SYMLINK: u32 = 0o120_000;

/// An entry of an archive.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Path in the archive, without its NUL.
    pub path: &'a str,
    /// Type and permissions.
    pub mode: u32,
    /// Device and inode number of a file with several hard links; `None` for other entries.
    pub shared: Option<(u32, u32, u32)>,
    /// Content of a file, or target of a symbolic link.
    pub data: &'a [u8],
}

/// Calls `each` with every entry of an image, in order, and with `None` at the end of each archive.
///
/// # Errors
/// [`Damage`] with the offset in the image; in a compressed archive, the offset of the archive.
pub fn each_entry(image: &[u8], each: &mut dyn FnMut(Option<Entry<'_>>)) -> Result<(), Damage> {
    let mut off = 0;
    while let Some(rest) = image.get(off..).filter(|rest| !rest.is_empty()) {
        let damage = |what: &str| Damage { off: off as u64, what: what.into() };
        off += match rest {
            [0, ..] => 1,
            [b'0', ..] if off.is_multiple_of(ALIGN) => archives(rest, each).map_err(|damage| damage.behind(off))?,
            [b'0', ..] => return Err(damage("cpio archive not aligned to 4 bytes")),
            _ => {
                let (plain, packed_len) = member(rest).map_err(|what| damage(&what))?;
                let len = archives(&plain, each).map_err(|inner| damage(&inner.what))?;
                if len != plain.len() {
                    return Err(damage("not a cpio archive (newc) after decompression"));
                }
                packed_len
            }
        };
    }
    Ok(())
}

impl Damage {
    /// Returns it with the offset counted from `off` bytes before.
    fn behind(self, off: usize) -> Damage {
        Damage { off: self.off + off as u64, ..self }
    }
}

/// Reads plain archives with zeros between them. Returns the offset of the first other byte, or of the end.
fn archives(bytes: &[u8], each: &mut dyn FnMut(Option<Entry<'_>>)) -> Result<usize, Damage> {
    let mut rest = bytes;
    loop {
        let off = bytes.len() - rest.len();
        match rest {
            [0, behind @ ..] => rest = behind,
            [b'0', ..] => {
                let damage = |what: std::io::Error| {
                    let what = match what.kind() {
                        std::io::ErrorKind::UnexpectedEof => "truncated cpio archive".into(),
                        _ => format!("bad entry in a cpio archive (newc): {what}").to_lowercase(),
                    };
                    Damage { off: off as u64, what }
                };
                rest = entry(rest, each).map_err(damage)?;
            }
            _ => return Ok(off),
        }
    }
}

/// Reads one entry. Returns the bytes after it.
fn entry<'a>(bytes: &'a [u8], each: &mut dyn FnMut(Option<Entry<'_>>)) -> std::io::Result<&'a [u8]> {
    let mut rest = bytes;
    let head = newc::Reader::new(&mut rest)?.entry().clone();
    let data = rest.get(..head.file_size() as usize).ok_or(std::io::ErrorKind::UnexpectedEof)?;
    if head.is_trailer() {
        each(None);
    } else {
        let is_shared = head.nlink() > 1 && head.mode() & TYPE == FILE;
        let shared = is_shared.then(|| (head.dev_major(), head.dev_minor(), head.ino()));
        each(Some(Entry { path: head.name(), mode: head.mode(), shared, data }));
    }
    // The kernel accepts an image that ends without the last entry's padding.
    let end = (bytes.len() - rest.len() + data.len()).next_multiple_of(ALIGN);
    Ok(bytes.get(end..).unwrap_or_default())
}

/// Unpacks the compressed archive at the start of `bytes`. Returns it, and its packed length.
fn member(bytes: &[u8]) -> Result<(Vec<u8>, usize), String> {
    let max = Content::Image.unpacked_max();
    match bytes {
        [0x1f, 0x8b, ..] => gunzip(bytes, max)?.ok_or_else(|| "gzip: damaged".into()),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => unlzma(xz::Stream::new_stream_decoder(LZMA_MAX, 0), bytes, max),
        [0x5d, 0, 0, ..] => unlzma(xz::Stream::new_lzma_decoder(LZMA_MAX), bytes, max),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => unzstd(bytes, max),
        [0x02, 0x21, 0x4c, 0x18, rest @ ..] => {
            let (plain, left_len) = unlz4(rest, max)?;
            Ok((plain, bytes.len() - left_len))
        }
        [b'B', b'Z', b'h', ..] => Err(format!("compressed by bzip2, {NO_DECODER}")),
        [0x89, b'L', b'Z', b'O', ..] => Err(format!("compressed by lzo, {NO_DECODER}")),
        _ => Err("not an initramfs: neither a cpio archive (newc) nor in a compression that the kernel reads".into()),
    }
}

/// Message on a compression without decoder here.
const NO_DECODER: &str = "which mkinitmod cannot read; recompress it with gz, xz, zst, lz4 or lzma";

/// Unpacks one gzip member of at most `max` bytes. Returns `None` if it is damaged.
///
/// # Errors
/// It unpacks to more.
fn gunzip(bytes: &[u8], max: usize) -> Result<Option<(Vec<u8>, usize)>, String> {
    let Some(mut rest) = codec::behind_gzip_header(bytes) else { return Ok(None) };
    let mut state = Box::new(DecompressorOxide::new());
    let (mut out, mut len) = (vec![0; GROW_LEN], 0);
    loop {
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, read_len, written_len) = decompress(&mut state, rest, &mut out, len, flags);
        rest = rest.get(read_len..).unwrap_or_default();
        len += written_len;
        match status {
            TINFLStatus::Done => break,
            TINFLStatus::HasMoreOutput if out.len() < max => out.resize((out.len() * 2).min(max), 0),
            TINFLStatus::HasMoreOutput => return Err(format!("gzip: {}", codec::too_much(max))),
            _ => return Ok(None),
        }
    }
    out.truncate(len);
    let Some((claimed, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
    let is_good = u64::from_le_bytes(*claimed) == (len as u64) << 32 | u64::from(libdeflater::crc32(&out));
    Ok(is_good.then(|| (out, bytes.len() - rest.len())))
}

fn unlzma(decoder: Result<xz::Stream, xz::Error>, bytes: &[u8], max: usize) -> Result<(Vec<u8>, usize), String> {
    let mut out = Vec::new();
    let packed_len = codec::unlzma(decoder, bytes, max, &mut out).map_err(|damage| damage.what)?;
    Ok((out, packed_len))
}

fn unzstd(bytes: &[u8], max: usize) -> Result<(Vec<u8>, usize), String> {
    let len = zstd::zstd_safe::find_frame_compressed_size(bytes).map_err(|_| "zstd: damaged")?;
    let mut out = Vec::new();
    codec::unzstd(&bytes[..len], max, &mut out).map_err(|damage| damage.what)?;
    Ok((out, len))
}

/// Unpacks lz4 blocks, each after its length, up to a length of 0 or the end. Returns how many bytes are left. Source:
/// lib/decompress_unlz4.c.
fn unlz4(mut rest: &[u8], max: usize) -> Result<(Vec<u8>, usize), String> {
    let mut out = Vec::new();
    while let Some((&len, behind)) = rest.split_first_chunk::<4>().filter(|(len, _)| **len != [0; 4]) {
        if len == LZ4_MAGIC {
            rest = behind;
            continue;
        }
        let block = behind.get(..u32::from_le_bytes(len) as usize).ok_or("lz4: truncated")?;
        let plain = lz4_flex::block::decompress(block, LZ4_BLOCK_LEN).map_err(|error| format!("lz4: {error}"))?;
        out.extend(plain);
        if out.len() > max {
            return Err(format!("lz4: {}", codec::too_much(max)));
        }
        rest = &behind[block.len()..];
    }
    Ok((out, rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::image::compress::{Method, compress};
    use crate::host::image::cpio::{Archive, Node};

    fn archive(path: &str) -> Vec<u8> {
        let mut archive = Archive::new();
        archive.add(path, Node::File { mode: 0o644, data: vec![b'x'; 5000] }).unwrap();
        archive.emit(0)
    }

    fn paths(image: &[u8]) -> Result<Vec<String>, Damage> {
        let mut paths = Vec::new();
        each_entry(image, &mut |entry| {
            paths.push(entry.map_or("|".into(), |entry| format!("{} {}", entry.path, entry.data.len())));
        })?;
        Ok(paths)
    }

    #[test]
    fn archives_of_any_compression_follow_each_other() {
        for method in [Method::None, Method::Gz, Method::Xz, Method::Zst, Method::Lz4] {
            let mut image = [archive("early"), compress(&archive("a"), method)].concat();
            image.resize((image.len() + ALIGN).next_multiple_of(ALIGN), 0);
            image.extend(archive("b"));
            assert_eq!(paths(&image).unwrap(), ["early 5000", "|", "a 5000", "|", "b 5000", "|"], "{method:?}");
        }
        let mut lzma = Vec::new();
        lzma_rs::lzma_compress(&mut &archive("a")[..], &mut lzma).unwrap();
        let off = lzma.len() as u64;
        assert_eq!(paths(&[lzma, archive("b")].concat()).map_err(|damage| damage.off), Err(off), "no zeros between");
        let two = compress(&[archive("a"), archive("b")].concat(), Method::Gz);
        assert_eq!(paths(&two).unwrap(), ["a 5000", "|", "b 5000", "|"]);
    }

    #[test]
    fn an_lzma_archive_is_read() {
        let mut lzma = Vec::new();
        let options =
            lzma_rs::compress::Options { unpacked_size: lzma_rs::compress::UnpackedSize::WriteToHeader(None) };
        lzma_rs::lzma_compress_with_options(&mut &archive("a")[..], &mut lzma, &options).unwrap();
        assert_eq!(paths(&lzma).unwrap(), ["a 5000", "|"]);
    }

    #[test]
    fn faults_have_their_offset() {
        let error =
            |image: &[u8]| paths(image).map_err(|damage| format!("{} at {}", damage.what, damage.off)).unwrap_err();
        let none = "not an initramfs: neither a cpio archive (newc) nor in a compression that the kernel reads";
        assert_eq!(error(b"#!/bin/sh"), format!("{none} at 0"));
        assert_eq!(error(&[archive("a"), b"junk".to_vec()].concat()), format!("{none} at {}", archive("a").len()));
        let greedy = [&b"\x5d\0\0"[..], &[0xf5; 18]].concat();
        assert_eq!(error(&greedy), "xz: its dictionary needs more than 512 MiB of memory at 0");
        assert_eq!(error(b"BZh9"), format!("compressed by bzip2, {NO_DECODER} at 0"));
        assert_eq!(error(&[b"\0", &archive("a")[..]].concat()), "cpio archive not aligned to 4 bytes at 1");
        assert_eq!(error(&archive("a")[..2000]), "truncated cpio archive at 0");
        assert_eq!(error(&compress(b"hello", Method::Xz)), "not a cpio archive (newc) after decompression at 0");
        for method in [Method::Gz, Method::Xz, Method::Zst, Method::Lz4] {
            let image = compress(&archive("a"), method);
            assert!(paths(&image[..image.len() / 2]).is_err(), "{method:?}");
        }
    }

    #[test]
    fn no_prefix_panics() {
        for method in [Method::None, Method::Gz, Method::Xz, Method::Zst, Method::Lz4] {
            let image = compress(&archive("a"), method);
            for len in (0..image.len()).step_by(if method == Method::None { 97 } else { 1 }) {
                let _ = paths(&image[..len]);
            }
        }
    }
}
