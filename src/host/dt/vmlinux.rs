// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the `compatible` strings that drivers in a kernel image match. No index has the `of:` aliases of built-in drivers.
//!
//! A driver's match table holds `struct of_device_id { char name[32], type[32], compatible[128]; void *data; }`. In an
//! unpacked image an entry is 64 zeros, the string, and zeros up to 128 bytes. Strings that code only compares with have
//! no such padding. Source: include/linux/mod_devicetable.h; scripts/extract-vmlinux.

use crate::host::codec;
use crate::host::codec::{Content, Format};
use crate::host::error::{Error, Result};
use crate::host::input;
use std::collections::HashSet;
use std::path::Path;

/// Zeros before the `compatible` field of an entry, bytes.
const BEFORE_LEN: usize = 64;
/// Length of the `compatible` field, bytes.
const FIELD_LEN: usize = 128;

/// Least length of an unpacked kernel, bytes: smaller data is not a kernel.
const KERNEL_LEN_MIN: usize = 1 << 20;

/// The drivers in a kernel image.
#[derive(Debug, Default)]
pub struct Kernel {
    compatibles: HashSet<String>,
    /// Strings that may be device names.
    names: HashSet<String>,
}

impl Kernel {
    /// Reads the kernel image at `path`: vmlinuz, zImage, Image or vmlinux.
    ///
    /// # Errors
    /// The file cannot be read, or holds no kernel in a known compression.
    pub fn read(path: &Path) -> Result<Kernel> {
        let data = input::read_named(path)?;
        let kernel = scan(&data).map_err(|what| Error::input(path, what))?;
        kernel
            .ok_or_else(|| Error::input(path, "no kernel found in it; known compressions are none, gzip, xz and zstd"))
    }

    /// Whether the image has this string: the kernel may create a device of that name.
    pub fn has_string(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether a driver in the image matches it.
    pub fn has_driver(&self, compatible: &str) -> bool {
        self.compatibles.contains(compatible)
    }
}

/// Lengths of device names, bytes: shorter strings are too common. Source: include/linux/mod_devicetable.h, `PLATFORM_NAME_SIZE`.
const NAME_LENS: std::ops::RangeInclusive<usize> = 4..=23;

/// Finds the kernel in a boot image and scans it. Returns `None` if there is none.
///
/// # Errors
/// A stream in the image unpacks to more than the limit of [`Content::Kernel`].
fn scan(data: &[u8]) -> std::result::Result<Option<Kernel>, String> {
    let is_elf = data.starts_with(b"\x7fELF");
    // arm64's boot header has its magic at offset 56.
    if is_elf || data.get(56..60) == Some(b"ARM\x64") {
        let mut scanner = Scanner::default();
        scanner.feed(data);
        return Ok(Some(scanner.finish()));
    }
    let max = Content::Kernel.unpacked_max();
    for start in (0..data.len()).filter(|&start| Format::of(&data[start..]) != Format::None) {
        let mut scanner = Scanner::default();
        let is_whole = codec::each_piece(&data[start..], &mut |piece| {
            scanner.feed(piece);
            scanner.len <= max
        });
        if scanner.len > max {
            return Err(format!("what is packed at offset {start:#x} {}", codec::too_much(max)));
        }
        if is_whole && scanner.len > KERNEL_LEN_MIN {
            return Ok(Some(scanner.finish()));
        }
    }
    Ok(None)
}

/// Collects the strings of a kernel image, which it gets in pieces.
#[derive(Default)]
struct Scanner {
    kernel: Kernel,
    /// Bytes seen.
    len: usize,
    /// The string that the last piece ended in; no more than [`FIELD_LEN`] bytes of it.
    text: Vec<u8>,
    /// Zeros before `text`, or behind the last string if `text` is empty.
    zeros: usize,
    /// The last string, if it is the `compatible` of an entry when enough zeros follow.
    compatible: Option<String>,
}

impl Scanner {
    fn feed(&mut self, piece: &[u8]) {
        self.len += piece.len();
        let mut rest = piece;
        while let Some(first) = rest.first() {
            let len = if *first == 0 {
                self.end_text();
                let len = rest.iter().position(|&byte| byte != 0).unwrap_or(rest.len());
                self.zeros += len;
                let is_padded = |text: &mut String| self.zeros >= FIELD_LEN - text.len();
                self.kernel.compatibles.extend(self.compatible.take_if(is_padded));
                len
            } else {
                let len = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
                self.text.extend(&rest[..len.min(FIELD_LEN - self.text.len())]);
                self.compatible = None;
                len
            };
            rest = &rest[len..];
        }
    }

    /// Takes the string that ends here, if there is one.
    fn end_text(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let text = std::mem::take(&mut self.text);
        let zeros = std::mem::take(&mut self.zeros);
        let is_name_byte = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if NAME_LENS.contains(&text.len()) && text.iter().all(is_name_byte) {
            self.kernel.names.insert(String::from_utf8_lossy(&text).into_owned());
        }
        if zeros >= BEFORE_LEN && text.len() < FIELD_LEN && text.iter().all(u8::is_ascii_graphic) {
            self.compatible = String::from_utf8(text).ok();
        }
    }

    fn finish(mut self) -> Kernel {
        self.end_text();
        self.kernel
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compatibles(image: &[u8], piece_len: usize) -> Vec<String> {
        let mut scanner = Scanner::default();
        image.chunks(piece_len).for_each(|piece| scanner.feed(piece));
        let mut found: Vec<String> = scanner.finish().compatibles.into_iter().collect();
        found.sort();
        found
    }

    fn entry(compatible: &str) -> Vec<u8> {
        let mut entry = vec![0; 64];
        entry.extend(compatible.bytes());
        entry.resize(64 + 128, 0);
        entry.extend([1, 2, 3, 4]);
        entry
    }

    #[test]
    fn strings_in_code_are_no_table_entries() {
        let image = [b"x,literal\0".to_vec(), entry("a,b"), entry("fixed-clock"), b"y,literal\0z".to_vec()].concat();
        for piece_len in [1, 7, 64, image.len()] {
            assert_eq!(compatibles(&image, piece_len), ["a,b", "fixed-clock"], "{piece_len}");
        }
        assert!(compatibles(&entry("a,b")[..100], 100).is_empty());
        let mut scanner = Scanner::default();
        image.chunks(5).for_each(|piece| scanner.feed(piece));
        assert!(scanner.finish().has_string("fixed-clock"));
    }

    #[test]
    fn a_packed_kernel_is_found_behind_its_decompressor() {
        let mut image = entry("a,b");
        image.resize(KERNEL_LEN_MIN + 1, 7);
        for format in [codec::Format::Gz, codec::Format::Xz, codec::Format::Zst] {
            let boot = [b"MZ code \x1f\x8b\x08 more".to_vec(), codec::compress(&image, format), b"tail".to_vec()];
            assert!(scan(&boot.concat()).unwrap().unwrap().has_driver("a,b"), "{format:?}");
        }
        assert!(scan(b"no kernel").unwrap().is_none());
    }
}
