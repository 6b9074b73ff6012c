// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads an initramfs as the kernel does: a sequence of cpio archives with zeros between them. Each is plain and aligned
//! to 4 bytes, or compressed on its own. Refuses images that the kernel would refuse, and bzip2 and lzo, with the offset.
//! Holds no archive in memory: an image may unpack to half a gigabyte.
//!
//! Source: the kernel's init/initramfs.c, `unpack_to_rootfs`, and
//! Documentation/driver-api/early-userspace/buffer-format.rst.

use super::member::{Gunzip, Member, Undecodable, Unlz4, Unlzma, Unzstd};
use crate::host::codec::{Content, Damage, LZMA_MAX};
use ::cpio::newc;
use liblzma::stream as xz;
use std::io::{self, BufRead, BufReader, Read};

/// Buffer in front of an archive, bytes: zeros and unwanted contents are skipped in pieces of this length.
const BUFFER_LEN: usize = 64 << 10;

/// A block of padding.
const ZEROS: [u8; 512] = [0; 512];

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
    /// Content of a file, or target of a symbolic link; empty unless it is wanted.
    pub data: &'a [u8],
}

/// Calls `each` with every entry of an image, in order, and with `None` at the end of each archive. Only the entries that
/// `is_wanted` by path and mode come with their content. Needs memory for one content and the window of a decoder.
///
/// # Errors
/// [`Damage`] with the offset in the image; in a compressed archive, the offset of the archive.
pub fn each_entry(
    image: &[u8],
    is_wanted: &dyn Fn(&str, u32) -> bool,
    each: &mut dyn FnMut(Option<Entry<'_>>),
) -> Result<(), Damage> {
    let mut off = 0;
    while let Some(rest) = image.get(off..).filter(|rest| !rest.is_empty()) {
        let damage = |what: &str| Damage { off: off as u64, what: what.into() };
        off += match rest {
            [0, ..] => 1,
            [b'0', ..] if off.is_multiple_of(ALIGN) => {
                let mut plain = Bytes::new(rest);
                archives(&mut plain, is_wanted, each).map_err(|damage| damage.behind(off))?;
                plain.off
            }
            [b'0', ..] => return Err(damage("cpio archive not aligned to 4 bytes")),
            _ => {
                let mut member = member(rest, Content::Image.unpacked_max()).map_err(|what| damage(&what))?;
                let mut plain = Bytes::new(&mut *member);
                let next = archives(&mut plain, is_wanted, each).map_err(|inner| damage(&inner.what))?;
                if next.is_some() {
                    return Err(damage("not a cpio archive (newc) after decompression"));
                }
                rest.len() - member.left().len()
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

/// The bytes of archives, read from their start to their end.
struct Bytes<R> {
    from: BufReader<R>,
    /// The number of bytes that were read.
    off: usize,
}

impl<R: Read> Bytes<R> {
    fn new(from: R) -> Self {
        Bytes { from: BufReader::with_capacity(BUFFER_LEN, from), off: 0 }
    }

    /// Skips zeros. Returns the next byte, which is not taken; `None` at the end.
    fn behind_zeros(&mut self) -> io::Result<Option<u8>> {
        loop {
            let buf = self.from.fill_buf()?;
            // Whole blocks at once: an archive may end in many.
            let blocks = buf.chunks_exact(ZEROS.len()).take_while(|block| *block == ZEROS).count() * ZEROS.len();
            let next = buf[blocks..].iter().position(|&byte| byte != 0).map(|at| blocks + at);
            let (zeros, byte) = (next.unwrap_or(buf.len()), next.and_then(|at| buf.get(at)).copied());
            let is_end = buf.is_empty();
            self.from.consume(zeros);
            self.off += zeros;
            if is_end || byte.is_some() {
                return Ok(byte);
            }
        }
    }

    /// Skips `len` bytes. Returns the number of those that are missing.
    fn skip(&mut self, mut len: usize) -> io::Result<usize> {
        while len > 0 {
            let count = self.from.fill_buf()?.len().min(len);
            if count == 0 {
                break;
            }
            self.from.consume(count);
            (self.off, len) = (self.off + count, len - count);
        }
        Ok(len)
    }
}

impl<R: Read> Read for Bytes<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.from.read(buf)?;
        self.off += len;
        Ok(len)
    }
}

/// Reads archives with zeros between them. Returns the byte that follows and begins no archive; `None` at the end.
fn archives(
    bytes: &mut Bytes<impl Read>,
    is_wanted: &dyn Fn(&str, u32) -> bool,
    each: &mut dyn FnMut(Option<Entry<'_>>),
) -> Result<Option<u8>, Damage> {
    loop {
        let next = bytes.behind_zeros();
        let off = bytes.off;
        let next = next.map_err(|error| fault(off, &error))?;
        if next != Some(b'0') {
            return Ok(next);
        }
        entry(bytes, is_wanted, each).map_err(|error| fault(off, &error))?;
    }
}

/// Makes the damage at `off` of an error of an archive or of its decoder.
fn fault(off: usize, error: &io::Error) -> Damage {
    let what = match error.kind() {
        _ if error.get_ref().is_some_and(|inner| inner.is::<Undecodable>()) => error.to_string(),
        io::ErrorKind::UnexpectedEof => "truncated cpio archive".into(),
        _ => format!("bad entry in a cpio archive (newc): {error}").to_lowercase(),
    };
    Damage { off: off as u64, what }
}

/// Reads one entry, and the padding behind it.
fn entry(
    bytes: &mut Bytes<impl Read>,
    is_wanted: &dyn Fn(&str, u32) -> bool,
    each: &mut dyn FnMut(Option<Entry<'_>>),
) -> io::Result<()> {
    let start = bytes.off;
    let head = newc::Reader::new(&mut *bytes)?.entry().clone();
    let len = head.file_size() as usize;
    let mut data = Vec::new();
    let missing = if !head.is_trailer() && is_wanted(head.name(), head.mode()) {
        len - bytes.take(len as u64).read_to_end(&mut data)?
    } else {
        bytes.skip(len)?
    };
    if missing > 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if head.is_trailer() {
        each(None);
    } else {
        let is_shared = head.nlink() > 1 && head.mode() & TYPE == FILE;
        let shared = is_shared.then(|| (head.dev_major(), head.dev_minor(), head.ino()));
        each(Some(Entry { path: head.name(), mode: head.mode(), shared, data: &data }));
    }
    // The kernel accepts an image that ends without the last entry's padding.
    let entry_len = bytes.off - start;
    bytes.skip(entry_len.next_multiple_of(ALIGN) - entry_len)?;
    Ok(())
}

/// Opens the compressed archive at the start of `bytes`, which may unpack to `max` bytes. The magics are the kernel's,
/// and not [`Compression`](crate::modules::compression::Compression)'s: in front of an image a skippable frame is none.
fn member(bytes: &[u8], max: usize) -> Result<Box<dyn Member + '_>, String> {
    Ok(match bytes {
        [0x1f, 0x8b, ..] => Box::new(Gunzip::new(bytes, max)?),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            Box::new(Unlzma::new(xz::Stream::new_stream_decoder(LZMA_MAX, 0), bytes, max))
        }
        [0x5d, 0, 0, ..] => Box::new(Unlzma::new(xz::Stream::new_lzma_decoder(LZMA_MAX), bytes, max)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(Unzstd::new(bytes, max)?),
        [0x02, 0x21, 0x4c, 0x18, rest @ ..] => Box::new(Unlz4::new(rest, max)),
        [b'B', b'Z', b'h', ..] => return Err(format!("compressed by bzip2, {NO_DECODER}")),
        [0x89, b'L', b'Z', b'O', ..] => return Err(format!("compressed by lzo, {NO_DECODER}")),
        _ => {
            let what = "not an initramfs: neither a cpio archive (newc) nor in a compression that the kernel reads";
            return Err(what.into());
        }
    })
}

/// Message on a compression without decoder here.
const NO_DECODER: &str = "which mkinitmod cannot read; recompress it with gz, xz, zst, lz4 or lzma";

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
        each_entry(image, &|_, _| true, &mut |entry| {
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
    fn unwanted_contents_are_skipped_and_the_archives_end_is_found_behind_them() {
        for method in [Method::None, Method::Gz, Method::Xz, Method::Zst, Method::Lz4] {
            let mut image = compress(&archive("a"), method);
            image.resize((image.len() + ALIGN).next_multiple_of(ALIGN), 0);
            image.extend(archive("b"));
            let mut lens = Vec::new();
            each_entry(&image, &|path, _| path == "b", &mut |entry| lens.extend(entry.map(|entry| entry.data.len())))
                .unwrap();
            assert_eq!(lens, [0, 5000], "{method:?}");
        }
    }

    #[test]
    fn damage_behind_the_trailer_is_damage() {
        for method in [Method::Gz, Method::Xz, Method::Zst] {
            let mut image = compress(&archive("a"), method);
            let end = image.len() - 1;
            image[end] ^= 0x55;
            assert!(paths(&image).is_err(), "{method:?}: a length or checksum");
        }
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
