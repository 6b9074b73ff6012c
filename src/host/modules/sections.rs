// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the ELF sections of a module, of 32 and 64 bits and both byte orders. Of an uncompressed file it reads only
//! the sections that it needs. Refuses a damaged file, with the offset.

use super::hash::FastMap;
use super::module::{Module, Strings, Symbol, SymbolsBuilder, c_str};
use crate::host::error::Error;
use crate::modules::signature;
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{Endianness, ReadCache, ReadCacheOps, ReadRef};
use std::collections::hash_map::Entry;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Damage of a module file.
#[derive(Debug)]
pub(crate) struct Fault {
    off: u64,
    what: String,
}

/// Length of an entry of `__versions`, bytes: a C long with the CRC, then the name. Source: struct modversion_info in
/// the kernel's include/linux/module.h.
const VERSION_LEN: usize = 64;

impl Fault {
    fn new(off: u64, what: impl Into<String>) -> Fault {
        Fault { off, what: what.into() }
    }

    pub(crate) fn in_file(self, path: &Path) -> Error {
        Error::Damaged { path: path.to_owned(), off: self.off, what: self.what }
    }
}

/// Parses an uncompressed module in memory.
pub(crate) fn parse(bytes: &[u8]) -> Result<Module, Fault> {
    sections(bytes)
}

/// Parses an uncompressed module file of `len` bytes that begins with `head`, with `tail` as a buffer.
pub(crate) fn read_file(file: &File, len: u64, head: &[u8], tail: &mut Vec<u8>) -> Result<Module, Fault> {
    tail.clear();
    sections(&ReadCache::new(Windows { file, len, off: 0, head, tail }))
}

/// A file whose beginning and end are read at once and kept. Section headers, symbols and their names are at the end of
/// a module, so that two reads are enough for most.
struct Windows<'a> {
    file: &'a File,
    len: u64,
    off: u64,
    head: &'a [u8],
    /// The file from `tail_off` on; empty until it is first needed.
    tail: &'a mut Vec<u8>,
}

impl Windows<'_> {
    fn tail_off(&self) -> u64 {
        self.len - (self.len / 8).max(16 << 10).min(self.len)
    }

    /// Copies from a window; `None` if it does not hold all of the bytes.
    fn copy(window: &[u8], off: u64, buf: &mut [u8]) -> Option<()> {
        let bytes = window.get(usize::try_from(off).ok()?..)?.get(..buf.len())?;
        buf.copy_from_slice(bytes);
        Some(())
    }
}

impl ReadCacheOps for Windows<'_> {
    fn len(&mut self) -> Result<u64, ()> {
        Ok(self.len)
    }

    fn seek(&mut self, pos: u64) -> Result<u64, ()> {
        self.off = pos;
        Ok(pos)
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ()> {
        self.file.read_at(buf, self.off).map_err(|_| ())
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> Result<(), ()> {
        if Self::copy(self.head, self.off, buf).is_some() {
            return Ok(());
        }
        let tail_off = self.tail_off();
        if let Some(off) = self.off.checked_sub(tail_off) {
            if self.tail.is_empty() {
                self.tail.resize((self.len - tail_off).try_into().map_err(|_| ())?, 0);
                self.file.read_exact_at(self.tail, tail_off).map_err(|_| ())?;
            }
            return Self::copy(self.tail, off, buf).ok_or(());
        }
        self.file.read_exact_at(buf, self.off).map_err(|_| ())
    }
}

fn sections<'data, R: ReadRef<'data>>(data: R) -> Result<Module, Fault> {
    let ident = data.read_bytes_at(0, 16).map_err(|()| Fault::new(0, "too short for a module"))?;
    match ident {
        [0x7f, b'E', b'L', b'F', 1, ..] => Reader::<FileHeader32<Endianness>, R>::new(data)?.module(),
        [0x7f, b'E', b'L', b'F', 2, ..] => Reader::<FileHeader64<Endianness>, R>::new(data)?.module(),
        [0x7f, b'E', b'L', b'F', ..] => Err(Fault::new(4, "neither 32-bit nor 64-bit ELF")),
        _ => Err(Fault::new(0, "neither ELF nor gzip, xz or zstd")),
    }
}

struct Reader<'data, Elf: FileHeader, R> {
    data: R,
    endian: Elf::Endian,
    machine: elf::Machine,
    sections: &'data [Elf::SectionHeader],
    names: &'data [u8],
}

impl<'data, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'data>> Reader<'data, Elf, R> {
    fn new(data: R) -> Result<Self, Fault> {
        let header = Elf::parse(data).map_err(|error| Fault::new(0, error.to_string().to_lowercase()))?;
        let endian = header.endian().map_err(|error| Fault::new(5, error.to_string().to_lowercase()))?;
        let table_off: u64 = header.e_shoff(endian).into();
        let fault = |error: object::Error| Fault::new(table_off, error.to_string().to_lowercase());
        let sections = header.section_headers(endian, data).map_err(fault)?;
        if sections.is_empty() {
            return Err(Fault::new(table_off, "no section headers"));
        }
        let names = header.shstrndx(endian, data).map_err(fault)?;
        let names = sections.get(names as usize).ok_or(Fault::new(table_off, "no section for the section names"))?;
        let mut reader = Reader { data, endian, machine: header.e_machine(endian), sections, names: &[] };
        reader.names = reader.bytes(names)?;
        Ok(reader)
    }

    fn bytes(&self, section: &Elf::SectionHeader) -> Result<&'data [u8], Fault> {
        section.data(self.endian, self.data).map_err(|_| {
            let len: u64 = section.sh_size(self.endian).into();
            let off: u64 = section.sh_offset(self.endian).into();
            Fault::new(off, format!("a section of {len} bytes runs past the end of the file"))
        })
    }

    fn find(&self, name: &str) -> Option<&'data Elf::SectionHeader> {
        self.sections.iter().find(|section| {
            let at = self.names.get(section.sh_name(self.endian) as usize..);
            at.and_then(|rest| rest.strip_prefix(name.as_bytes())).is_some_and(|rest| rest.first() == Some(&0))
        })
    }

    fn named(&self, name: &str) -> Result<&'data [u8], Fault> {
        self.find(name).map_or(Ok(&[][..]), |section| self.bytes(section))
    }

    fn module(&self) -> Result<Module, Fault> {
        let plain_len = self.data.len().map_err(|()| Fault::new(0, "cannot find its length"))?;
        let tail_len = signature::MAGIC.len() as u64;
        let tail = plain_len.checked_sub(tail_len).and_then(|off| self.data.read_bytes_at(off, tail_len).ok());
        let mut module = Module {
            plain_len,
            signed: tail == Some(signature::MAGIC),
            info: Strings(self.named(".modinfo")?.into()),
            ..Module::default()
        };
        self.symbols(&mut module)?;
        Ok(module)
    }

    /// Collects exports and imports. Exports are the `__crc_` symbols, or without MODVERSIONS the names in
    /// `__ksymtab_strings`. Imports are the undefined symbols, then those that have a version only.
    fn symbols(&self, module: &mut Module) -> Result<(), Fault> {
        let (mut exports, mut imports) = (SymbolsBuilder::default(), SymbolsBuilder::default());
        let mut versions = self.versions()?;
        let Symtab { off, symbols, names } = self.symtab()?;
        for (at, symbol) in symbols.iter().enumerate().skip(1) {
            let name = names.get(symbol.st_name(self.endian) as usize..).ok_or_else(|| {
                let off = off + (at * size_of::<Elf::Sym>()) as u64;
                Fault::new(off, "the name of a symbol is beyond the end of the string table")
            })?;
            if let Some(name) = name.strip_prefix(b"__crc_") {
                exports.push(Symbol { name: c_str(name), crc: self.crc(symbol)?, weak: false });
            }
            if symbol.st_shndx(self.endian) == elf::SHN_UNDEF && !is_sparc_register(self.machine, symbol.st_type()) {
                let name = c_str(name);
                let weak = symbol.st_bind() == elf::STB_WEAK;
                imports.push(Symbol { name, crc: versions.take(name), weak });
            }
        }
        for (name, crc) in versions.not_taken() {
            imports.push(Symbol { name, crc: Some(crc), weak: false });
        }
        if exports.is_empty() {
            for name in self.named("__ksymtab_strings")?.split(|&byte| byte == 0) {
                exports.push(Symbol { name, crc: None, weak: false });
            }
        }
        (module.exports, module.imports) = (exports.finish(), imports.finish());
        Ok(())
    }

    /// Finds the symbol table. A module without one has no symbols.
    fn symtab(&self) -> Result<Symtab<'data, Elf>, Fault> {
        let Some(symtab) = self.find(".symtab") else { return Ok(Symtab { off: 0, symbols: &[], names: &[] }) };
        let off: u64 = symtab.sh_offset(self.endian).into();
        let symbols = symtab
            .data_as_array(self.endian, self.data)
            .map_err(|_| Fault::new(off, "the symbol table runs past the end of the file"))?;
        let strings = self.sections.get(symtab.sh_link(self.endian) as usize);
        let strings = strings.ok_or(Fault::new(off, "the symbol table has no string table"))?;
        Ok(Symtab { off, symbols, names: self.bytes(strings)? })
    }

    /// Returns the CRC of a `__crc_` symbol: its value, or if it is defined in a section, the word at its place there.
    fn crc(&self, symbol: &Elf::Sym) -> Result<Option<u32>, Fault> {
        let value: u64 = symbol.st_value(self.endian).into();
        let index = symbol.st_shndx(self.endian);
        if index == elf::SHN_ABS || index == elf::SHN_UNDEF {
            let [_, _, _, _, low @ ..] = value.to_be_bytes();
            return Ok(Some(u32::from_be_bytes(low)));
        }
        let Some(section) = self.sections.get(usize::from(index.0)) else { return Ok(None) };
        let bytes = self.bytes(section)?;
        // An address in a vmlinux, an offset in a module: its sections have the address 0.
        let off = value.checked_sub(section.sh_addr(self.endian).into());
        let off = off.and_then(|off| usize::try_from(off).ok());
        Ok(off.and_then(|off| bytes.get(off..)).and_then(|word| self.u32(word)))
    }

    /// Reads the versions of imported symbols, from `__versions` and from `__version_ext_*`.
    fn versions(&self) -> Result<Versions<'data>, Fault> {
        let section = self.named("__versions")?;
        let mut versions = Versions::default();
        versions.places.reserve(section.len() / VERSION_LEN);
        // struct modversion_info: a C long, and the name in the rest of the 64 bytes
        let long_len = size_of::<Elf::Word>();
        let crc_off = if self.endian == Endianness::Big { long_len - 4 } else { 0 };
        for entry in section.chunks_exact(VERSION_LEN) {
            let crc = entry.get(crc_off..).and_then(|word| self.u32(word)).unwrap_or_default();
            versions.add(c_str(entry.get(long_len..).unwrap_or_default()), crc);
        }
        // Linux 6.14 and later: one section of CRCs, another of the names, in one order
        let crcs = self.named("__version_ext_crcs")?.chunks_exact(4).filter_map(|word| self.u32(word));
        let names = self.named("__version_ext_names")?.split(|&byte| byte == 0);
        for (name, crc) in names.filter(|name| !name.is_empty()).zip(crcs) {
            versions.add(name, crc);
        }
        Ok(versions)
    }

    fn u32(&self, bytes: &[u8]) -> Option<u32> {
        let word = *bytes.first_chunk()?;
        Some(if self.endian == Endianness::Big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) })
    }
}

struct Symtab<'data, Elf: FileHeader> {
    /// Offset of the table in the file, bytes.
    off: u64,
    symbols: &'data [Elf::Sym],
    /// The names, each with its NUL.
    names: &'data [u8],
}

/// Versions of imported symbols, by name, and which of them a symbol has taken.
#[derive(Default)]
struct Versions<'data> {
    entries: Vec<(&'data [u8], u32, bool)>,
    places: FastMap<&'data [u8], usize>,
}

impl<'data> Versions<'data> {
    /// Adds a version. If a name has two, the first is used.
    fn add(&mut self, name: &'data [u8], crc: u32) {
        if let Entry::Vacant(place) = self.places.entry(name) {
            place.insert(self.entries.len());
            self.entries.push((name, crc, false));
        }
    }

    fn take(&mut self, name: &[u8]) -> Option<u32> {
        let (_, crc, taken) = self.entries.get_mut(*self.places.get(name)?)?;
        *taken = true;
        Some(*crc)
    }

    /// Yields the versions that were not taken, in file order.
    fn not_taken(&self) -> impl Iterator<Item = (&'data [u8], u32)> {
        self.entries.iter().filter(|(_, _, taken)| !taken).map(|(name, crc, _)| (*name, *crc))
    }
}

/// Whether an undefined symbol stands for a global register of sparc. Source: the sparc ELF ABI, STT_SPARC_REGISTER.
fn is_sparc_register(machine: elf::Machine, kind: elf::SymbolType) -> bool {
    matches!(machine, elf::EM_SPARC | elf::EM_SPARC32PLUS | elf::EM_SPARCV9) && kind.0 == 13
}
