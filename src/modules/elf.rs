// SPDX-License-Identifier: MIT OR Apache-2.0
//! A minimal ELF reader for module files, in place: sections by name, the strings of .modinfo, symbol versions.
//!
//! Reads 32 and 64 bits and both byte orders; every offset is checked. Source: elf(5).

use super::index::Fault;
use crate::bytes::{split, str_at, until};
use crate::error::Error;

const SHF_ALLOC: u8 = 2;
const SHN_ABS: u64 = 0xfff1;

/// An ELF file, borrowed from memory.
#[derive(Clone, Copy, Debug)]
pub struct Elf<'map> {
    data: &'map [u8],
    is_64: bool,
    is_big: bool,
    sections_off: usize,
    section_len: usize,
    section_count: usize,
    names: &'map [u8],
}

/// One section.
#[derive(Clone, Copy, Debug)]
pub struct Section<'map> {
    /// The section's content.
    pub data: &'map [u8],
    header_off: usize,
    link: usize,
}

/// A symbol and its version, a checksum of its type (CONFIG_MODVERSIONS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version<'map> {
    /// The checksum of the symbol's type.
    pub crc: u64,
    /// The symbol's name.
    pub symbol: &'map [u8],
}

impl<'map> Elf<'map> {
    /// Parses the ELF header of a decompressed module file.
    ///
    /// # Errors
    /// A [`Fault`] with [`Error::NotElf`], or with [`Error::OutOfBounds`] for section headers past the end of the file.
    pub fn new(data: &'map [u8]) -> Result<Self, Fault> {
        let not_elf = Fault { error: Error::NotElf, off: 0 };
        let (is_64, is_big) = match data {
            [0x7f, b'E', b'L', b'F', class @ 1..=2, order @ 1..=2, ..] => (*class == 2, *order == 2),
            _ => return Err(not_elf),
        };
        let mut elf = Elf { data, is_64, is_big, sections_off: 0, section_len: 0, section_count: 0, names: &[] };
        let header = |off_64, off_32, len| elf.field(0, off_64, off_32, len).ok_or(not_elf);
        let (sections_off, section_len) = (header(40, 32, 0)?, header(58, 46, 2)?);
        let (section_count, names_at) = (header(60, 48, 2)?, header(62, 50, 2)?);
        // On a 32-bit machine, an offset of more than 32 bits is past the end too.
        (elf.sections_off, elf.section_len, elf.section_count) =
            (index(sections_off), index(section_len), index(section_count));
        elf.names = elf
            .at(index(names_at))
            .map(|section| section.data)
            .ok_or(Fault { error: Error::OutOfBounds, off: u32::try_from(sections_off).unwrap_or(u32::MAX) })?;
        Ok(elf)
    }

    /// Reads an integer of `len` bytes at the offset for the file's class; with `len` 0 it is as long as an address.
    fn field(&self, base: usize, off_64: usize, off_32: usize, len: usize) -> Option<u64> {
        let (off, word_len) = if self.is_64 { (off_64, 8) } else { (off_32, 4) };
        self.integer(self.data, base.checked_add(off)?, if len == 0 { word_len } else { len })
    }

    fn integer(&self, data: &[u8], off: usize, len: usize) -> Option<u64> {
        let bytes = data.get(off..)?.get(..len)?;
        let join = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.is_big { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) })
    }

    fn at(&self, number: usize) -> Option<Section<'map>> {
        let header_off = self.sections_off.checked_add(number.checked_mul(self.section_len)?)?;
        let field = |off_64, off_32, len| self.field(header_off, off_64, off_32, len);
        let (off, len) = (field(24, 16, 0)?, field(32, 20, 0)?);
        let data = self.data.get(index(off)..)?.get(..index(len))?;
        Some(Section { data, header_off, link: index(field(40, 24, 4)?) })
    }

    /// Finds a section by its name.
    pub fn section(&self, name: &[u8]) -> Option<Section<'map>> {
        (0..self.section_count).find_map(|number| {
            let section = self.at(number)?;
            let name_off = self.integer(self.data, section.header_off, 4)?;
            (str_at(self.names, index(name_off)) == Some(name)).then_some(section)
        })
    }

    /// Yields the strings of .modinfo, usually `key=value`.
    pub fn modinfo(&self) -> impl Iterator<Item = &'map [u8]> + Clone + use<'map> {
        strings(self.section(b".modinfo").map_or(&[], |section| section.data))
    }

    /// Returns the value of the first string of .modinfo with this key.
    pub fn info(&self, key: &[u8]) -> Option<&'map [u8]> {
        self.modinfo().find_map(|text| text.strip_prefix(key)?.strip_prefix(b"="))
    }

    /// Returns the byte range, in the file, of the string `key=value` of .modinfo.
    pub fn info_range(&self, key: &[u8]) -> Option<core::ops::Range<usize>> {
        let value = self.info(key)?;
        let start = value.as_ptr().addr().checked_sub(self.data.as_ptr().addr())?;
        let key_off = start.checked_sub(key.len())?.checked_sub(1)?;
        Some(key_off..start.checked_add(value.len())?)
    }

    /// Returns the file offset of the byte with a section's SHF_ALLOC flag, and that byte with the flag cleared: the
    /// kernel ignores a section without it.
    pub fn unallocated(&self, name: &[u8]) -> Option<(usize, u8)> {
        let header_off = self.section(name)?.header_off;
        let flags_len: usize = if self.is_64 { 8 } else { 4 };
        let low_off = if self.is_big { flags_len.checked_sub(1)? } else { 0 };
        let off = header_off.checked_add(8)?.checked_add(low_off)?;
        Some((off, self.data.get(off)? & !SHF_ALLOC))
    }

    /// Calls `each` with the symbols that the module exports (if `has`) or else imports, and their versions. Source: the
    /// kernel's struct modversion_info, 64 bytes each.
    pub fn versions(&self, has: bool, each: &mut dyn FnMut(Version<'map>)) {
        if has {
            return self.exports(each);
        }
        let crc_len = if self.is_64 { 8 } else { 4 };
        for entry in self.section(b"__versions").map_or(&[][..], |section| section.data).chunks_exact(64) {
            if let Some(crc) = self.integer(entry, 0, crc_len)
                && let Some(symbol) = entry.get(crc_len..).map(|name| until(name, 0))
            {
                each(Version { crc, symbol: symbol.strip_prefix(b".").unwrap_or(symbol) });
            }
        }
        self.long_versions(each);
    }

    /// Calls `each` with the imports in the extended version sections of Linux 6.14 and later, except for those that
    /// `__versions` has too. These sections hold 32-bit checksums and names of any length.
    fn long_versions(&self, each: &mut dyn FnMut(Version<'map>)) {
        let [crcs, names] = [&b"__version_ext_crcs"[..], b"__version_ext_names"]
            .map(|name| self.section(name).map_or(&[][..], |section| section.data));
        let short = self.section(b"__versions").map_or(&[][..], |section| section.data);
        let crc_len = if self.is_64 { 8 } else { 4 };
        for (crc, symbol) in crcs.chunks_exact(4).zip(strings(names)) {
            let is_it = |entry: &[u8]| entry.get(crc_len..).and_then(|rest| str_at(rest, 0)) == Some(symbol);
            if let Some(crc) = self.integer(crc, 0, 4)
                && !short.chunks_exact(64).any(is_it)
            {
                each(Version { crc, symbol });
            }
        }
    }

    /// Calls `each` with the exports: those with a `__crc_` symbol, or, if there is none, all names of __ksymtab_strings
    /// with version 0.
    fn exports(&self, each: &mut dyn FnMut(Version<'map>)) {
        let symbols = self.section(b".symtab");
        let names = symbols.and_then(|section| self.at(section.link)).map_or(&[][..], |section| section.data);
        let mut found = false;
        for entry in symbols.map_or(&[][..], |section| section.data).chunks_exact(if self.is_64 { 24 } else { 16 }) {
            if let Some(version) = self.version(entry, names) {
                found = true;
                each(version);
            }
        }
        if !found {
            let bare = self.section(b"__ksymtab_strings").map_or(&[][..], |section| section.data);
            strings(bare).for_each(|symbol| each(Version { crc: 0, symbol }));
        }
    }

    fn version(&self, entry: &[u8], names: &'map [u8]) -> Option<Version<'map>> {
        let symbol = str_at(names, index(self.integer(entry, 0, 4)?))?.strip_prefix(b"__crc_")?;
        let (value_off, value_len, section_off) = if self.is_64 { (8, 8, 6) } else { (4, 4, 14) };
        let value = self.integer(entry, value_off, value_len)?;
        // The checksum is the value of an absolute symbol, or the word that the symbol points to.
        let crc = match self.integer(entry, section_off, 2)? {
            SHN_ABS => value,
            number => self.integer(self.at(index(number))?.data, index(value), 4)?,
        };
        Some(Version { crc, symbol })
    }
}

/// Returns an offset, length or number of a file as an index of a slice: one that is past any slice if `usize` is too
/// small for it.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Yields the NUL-terminated strings of a section; there may be several NUL between two of them.
pub fn strings(data: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    split(data, 0).filter(|text| !text.is_empty())
}
