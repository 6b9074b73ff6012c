// SPDX-License-Identifier: MIT OR Apache-2.0
//! The early archive: the first of an image and uncompressed, as the kernel reads it before it can unpack. It holds x86
//! microcode and ACPI tables. Accepts the files of firmware packages, or a cpio archive of such files; refuses damaged
//! and other files.
//!
//! ```text
//! Intel   updates: u32 1, revision, date, signature, checksum, u32 1, flags, data_len, total_len, ... (little-endian);
//!         all words of an update add up to 0; data_len 0 means 2000 with total_len 2048
//! AMD     containers: "DMA\0", u32 0, table_len, table, then patches: u32 1, patch_len, patch
//! ACPI    signature, u32 len, ...: all bytes add up to 0
//! ```
//! Sources: the kernel's Documentation/arch/x86/microcode.rst, Documentation/admin-guide/acpi/initrd_table_override.rst,
//! arch/x86/kernel/cpu/microcode/{intel,amd}.c, lib/earlycpio.c.

use super::cpio::{Archive, Node, PathError};
use super::unpack;
use super::unpack::{FILE, TYPE};
use crate::host::codec;
use crate::host::error::{Error, Result};
use crate::host::input;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Paths at which the kernel reads microcode.
const INTEL: &str = "kernel/x86/microcode/GenuineIntel.bin";
const AMD: &str = "kernel/x86/microcode/AuthenticAMD.bin";

/// Directory from which the kernel reads ACPI tables.
const ACPI: &str = "kernel/firmware/acpi/";

/// Alignment of a microcode update in memory, bytes: Intel CPUs require it.
const ALIGN: usize = 16;

/// The archive is padded with zeros to a multiple of this, bytes, so that the next archive keeps its alignment.
const TAIL_LEN: usize = 512;

/// The files of the early archive.
#[derive(Debug, Default)]
pub struct Early {
    files: BTreeMap<String, Vec<u8>>,
    /// Names of the source files of each archived file, comma-separated, by path in the archive.
    pub sources: BTreeMap<String, String>,
}

/// Kind of a source file.
enum Kind {
    /// Microcode, with its path in the archive.
    Microcode(&'static str),
    Acpi,
    Archive,
}

impl Early {
    /// Reads files; of a directory, all its usable files, sorted by name. Microcode of one vendor is concatenated.
    ///
    /// # Errors
    /// A file is unreadable, damaged, or of another kind; or a directory has no usable file.
    pub fn read(paths: &[PathBuf]) -> Result<Early> {
        let mut early = Early::default();
        for path in paths {
            if path.is_dir() {
                early.add_dir(path)?;
            } else if !early.add(path)? {
                let what = "not Intel or AMD microcode, an ACPI table, or a cpio archive of these";
                return Err(Error::input(path, what));
            }
        }
        Ok(early)
    }

    /// Adds the usable files of a directory.
    fn add_dir(&mut self, path: &Path) -> Result<()> {
        let entries = std::fs::read_dir(path).map_err(Error::io(path))?;
        let files = entries.map(|entry| entry.map(|entry| entry.path()).map_err(Error::io(path)));
        let mut files: Vec<PathBuf> = files.collect::<Result<_>>()?;
        files.sort();
        let mut is_any = false;
        for file in files.iter().filter(|file| file.is_file()) {
            is_any |= self.add(file)?;
        }
        let what = "no Intel or AMD microcode, ACPI table, or cpio archive of these in this directory";
        if is_any { Ok(()) } else { Err(Error::input(path, what)) }
    }

    /// Adds a file. Returns false for a file of another kind.
    fn add(&mut self, path: &Path) -> Result<bool> {
        let packed = input::read(path)?;
        let data = codec::decompress(&packed).map_err(|damage| damage.in_file(path))?;
        let damaged =
            |(off, what): (usize, &str)| Error::Damaged { path: path.into(), off: off as u64, what: what.into() };
        match kind(&data).map_err(damaged)? {
            Some(Kind::Microcode(place)) => self.put(place, data, path),
            Some(Kind::Acpi) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let place = format!("{ACPI}{}", name.trim_end_matches(".xz").trim_end_matches(".zst"));
                if self.files.contains_key(&place) {
                    return Err(Error::input(path, PathError::Taken(place)));
                }
                self.put(&place, data, path);
            }
            Some(Kind::Archive) => self.add_archive(path, &data)?,
            None => return Ok(false),
        }
        Ok(true)
    }

    fn put(&mut self, place: &str, data: Vec<u8>, from: &Path) {
        self.files.entry(place.into()).or_default().extend(data);
        let source = self.sources.entry(place.into()).or_default();
        let comma = if source.is_empty() { "" } else { ", " };
        *source += &format!("{comma}{}", from.display());
    }

    fn add_archive(&mut self, path: &Path, data: &[u8]) -> Result<()> {
        let mut taken = None;
        unpack::each_entry(data, &|_, mode| mode & TYPE == FILE, &mut |entry| {
            let Some(entry) = entry.filter(|entry| entry.mode & TYPE == FILE) else { return };
            let place = entry.path.trim_start_matches("./").trim_start_matches('/');
            if self.files.contains_key(place) && ![INTEL, AMD].contains(&place) {
                taken = Some(place.to_owned());
            }
            self.put(place, entry.data.to_vec(), path);
        })
        .map_err(|damage| damage.in_file(path))?;
        taken.map_or(Ok(()), |place| Err(Error::input(path, PathError::Taken(place))))
    }

    /// Returns the kernel's options that these files need, without `CONFIG_`.
    pub fn options(&self) -> Vec<&'static str> {
        let has = |start: &str| self.files.keys().any(|place| place.starts_with(start));
        let options = [(MICROCODE, "MICROCODE"), (ACPI, "ACPI_TABLE_UPGRADE")];
        options.into_iter().filter(|(start, _)| has(start)).map(|(_, option)| option).collect()
    }

    /// Whether there is microcode, which is for x86 only.
    pub fn has_microcode(&self) -> bool {
        self.files.keys().any(|place| place.starts_with(MICROCODE))
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Lays the files out in an archive.
    ///
    /// # Errors
    /// [`PathError`] if an archive among the source files has a malformed path.
    pub fn archive(&self) -> std::result::Result<Archive, PathError> {
        let mut archive = Archive::new();
        for (place, data) in &self.files {
            archive.add(place, Node::File { mode: 0o644, data: data.clone() })?;
        }
        Ok(archive)
    }
}

/// Emits an early archive and its padding.
pub fn emit(archive: &Archive, mtime: u32) -> Vec<u8> {
    let mut out = archive.emit_aligned(mtime, ALIGN);
    out.resize(out.len().next_multiple_of(TAIL_LEN), 0);
    out
}

/// Directory of all microcode.
const MICROCODE: &str = "kernel/x86/microcode/";

fn kind(data: &[u8]) -> std::result::Result<Option<Kind>, (usize, &'static str)> {
    if matches!(data, [b'0', b'7', b'0', b'7', b'0', b'1' | b'2', ..]) {
        return Ok(Some(Kind::Archive));
    }
    if word(data, 0) == Some(1) && word(data, 20) == Some(1) {
        return check_intel(data).map(|()| Some(Kind::Microcode(INTEL)));
    }
    if data.starts_with(b"DMA\0") {
        return check_amd(data).map(|()| Some(Kind::Microcode(AMD)));
    }
    let is_acpi = data.len() >= 36
        && data[..4].iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && word(data, 4) == Some(data.len());
    if is_acpi && data.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte)) != 0 {
        return Err((9, "ACPI table with a wrong checksum"));
    }
    Ok(is_acpi.then_some(Kind::Acpi))
}

fn check_intel(data: &[u8]) -> std::result::Result<(), (usize, &'static str)> {
    let mut off = 0;
    while off < data.len() {
        let rest = &data[off..];
        let (Some(1), Some(data_len), Some(total_len)) = (word(rest, 0), word(rest, 28), word(rest, 32)) else {
            return Err((off, "not an Intel microcode update"));
        };
        let total_len = if data_len == 0 { 2048 } else { total_len };
        let update = rest.get(..total_len).filter(|update| update.len() >= 48 && update.len().is_multiple_of(4));
        let update = update.ok_or((off, "truncated Intel microcode update"))?;
        let words = update.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
        if words.fold(0u32, u32::wrapping_add) != 0 {
            return Err((off, "Intel microcode update with a wrong checksum"));
        }
        off += total_len;
    }
    Ok(())
}

fn check_amd(data: &[u8]) -> std::result::Result<(), (usize, &'static str)> {
    let mut off = 0;
    while off < data.len() {
        let rest = &data[off..];
        let len = match (word(rest, 0), word(rest, 4), word(rest, 8)) {
            (Some(0x0041_4d44), Some(0), Some(table_len)) => 12 + table_len,
            (Some(1), Some(patch_len), _) => 8 + patch_len,
            _ => return Err((off, "not an AMD microcode patch")),
        };
        if len > rest.len() {
            return Err((off, "truncated AMD microcode patch"));
        }
        off += len;
    }
    Ok(())
}

fn word(data: &[u8], off: usize) -> Option<usize> {
    Some(u32::from_le_bytes(*data.get(off..)?.first_chunk()?) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prefix_or_flipped_byte_panics() {
        let amd = [&b"DMA\0\0\0\0\0\x04\0\0\0tabl\x01\0\0\0\x04\0\0\0code"[..], b"DMA\0\0\0\0\0\0\0\0\0"].concat();
        let mut intel = [1u32, 0, 0, 0, 0, 1, 0, 0, 64].into_iter().flat_map(u32::to_le_bytes).collect::<Vec<_>>();
        intel.resize(64, 0);
        for data in [amd.clone(), intel] {
            for len in 0..data.len() {
                let _ = kind(&data[..len]);
            }
            for at in 0..data.len() {
                for flip in [1, 0x80, 0xff] {
                    let mut data = data.clone();
                    data[at] ^= flip;
                    let _ = kind(&data);
                }
            }
        }
        assert!(matches!(kind(&amd), Ok(Some(Kind::Microcode(AMD)))), "two containers, one after the other");
    }

    #[test]
    fn content_is_aligned_for_the_cpu() {
        let mut archive = Archive::new();
        for name in ["a", "ab", "abc", "abcd", "dir/abcdefgh"] {
            archive.add(name, Node::File { mode: 0o644, data: b"=data=".to_vec() }).unwrap();
        }
        let out = emit(&archive, 0);
        let places: Vec<usize> = (0..out.len()).filter(|&at| out[at..].starts_with(b"=data=")).collect();
        assert!(places.len() == 5 && places.iter().all(|place| place.is_multiple_of(ALIGN)), "{places:?}");
        assert!(out.len().is_multiple_of(TAIL_LEN));
    }
}
