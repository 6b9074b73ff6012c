//! Finds the `compatible` strings that drivers in a kernel image match. No index has the `of:` aliases of built-in drivers.
//!
//! A driver's match table holds `struct of_device_id { char name[32], type[32], compatible[128]; void *data; }`. In an
//! unpacked image an entry is 64 zeros, the string, and zeros up to 128 bytes. Strings that code only compares with have
//! no such padding. Source: include/linux/mod_devicetable.h; scripts/extract-vmlinux.

use crate::host::error::{Error, Result};
use crate::host::input;
use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

/// Zeros before the `compatible` field of an entry, bytes.
const BEFORE_LEN: usize = 64;
/// Length of the `compatible` field, bytes.
const FIELD_LEN: usize = 128;

/// Least length of an unpacked kernel, bytes: smaller data is not a kernel.
const KERNEL_LEN_MIN: usize = 1 << 20;
/// Greatest length of an unpacked kernel, bytes.
const KERNEL_LEN_MAX: usize = 1 << 30;

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
        let image = unpack(&data).ok_or_else(|| {
            Error::input(path, "no kernel found in it; known compressions are none, gzip, xz and zstd")
        })?;
        Ok(Kernel { compatibles: tables(&image), names: names(&image) })
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

/// Returns all strings that may be device names.
fn names(image: &[u8]) -> HashSet<String> {
    let strings = image.split(|&byte| byte == 0).filter(|text| NAME_LENS.contains(&text.len()));
    let is_name = |text: &&[u8]| text.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    strings.filter(is_name).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

/// Finds and decompresses the kernel in a boot image.
fn unpack(data: &[u8]) -> Option<Vec<u8>> {
    let is_elf = data.starts_with(b"\x7fELF");
    // arm64's boot header has its magic at offset 56.
    if is_elf || data.get(56..60) == Some(b"ARM\x64") {
        return Some(data.to_vec());
    }
    const MAGICS: [&[u8]; 3] = [b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    let starts = (0..data.len()).filter(|&at| MAGICS.iter().any(|magic| data[at..].starts_with(magic)));
    starts.filter_map(|at| unpack_from(&data[at..])).find(|image| image.len() > KERNEL_LEN_MIN)
}

/// Decompresses from the start of `data`, whatever follows the compressed stream.
fn unpack_from(data: &[u8]) -> Option<Vec<u8>> {
    let mut image = Vec::new();
    match data[0] {
        0x1f => return first_gzip_member(data),
        0xfd => drop(liblzma::read::XzDecoder::new(data).read_to_end(&mut image).ok()?),
        _ => {
            let decoder = zstd::stream::read::Decoder::with_buffer(data).ok()?;
            decoder.single_frame().read_to_end(&mut image).ok()?;
        }
    }
    Some(image)
}

/// Decompresses one gzip member. Its content's length is found by trying ever larger buffers.
fn first_gzip_member(data: &[u8]) -> Option<Vec<u8>> {
    let mut image = Vec::new();
    let mut len = KERNEL_LEN_MIN * 16;
    while len <= KERNEL_LEN_MAX {
        image.resize(len, 0);
        match libdeflater::Decompressor::new().gzip_decompress(data, &mut image) {
            Ok(len) => {
                image.truncate(len);
                return Some(image);
            }
            Err(libdeflater::DecompressionError::InsufficientSpace) => len *= 2,
            Err(_) => return None,
        }
    }
    None
}

/// Returns all strings that are the `compatible` of a match table's entry.
fn tables(image: &[u8]) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut at = 0;
    let mut zeros = 0;
    while at < image.len() {
        if image[at] == 0 {
            (at, zeros) = (at + 1, zeros + 1);
            continue;
        }
        let len = image[at..].iter().position(|&byte| byte == 0).unwrap_or(image.len() - at);
        if zeros >= BEFORE_LEN
            && let Some(field) = image.get(at..at + FIELD_LEN)
            && len < FIELD_LEN
            && field[len..].iter().all(|&byte| byte == 0)
            && let Ok(text) = std::str::from_utf8(&field[..len])
            && text.bytes().all(|byte| byte.is_ascii_graphic())
        {
            found.insert(text.to_owned());
        }
        (at, zeros) = (at + len, 0);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::codec;

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
        let mut found: Vec<String> = tables(&image).into_iter().collect();
        found.sort();
        assert_eq!(found, ["a,b", "fixed-clock"]);
        assert!(tables(&entry("a,b")[..100]).is_empty());
    }

    #[test]
    fn a_packed_kernel_is_found_behind_its_decompressor() {
        let mut image = entry("a,b");
        image.resize(KERNEL_LEN_MIN + 1, 7);
        for format in [codec::Format::Gz, codec::Format::Xz, codec::Format::Zst] {
            let boot = [b"MZ code \x1f\x8b\x08 more".to_vec(), codec::compress(&image, format), b"tail".to_vec()];
            assert!(tables(&unpack(&boot.concat()).unwrap()).contains("a,b"), "{format:?}");
        }
        assert_eq!(unpack(b"no kernel"), None);
    }
}
