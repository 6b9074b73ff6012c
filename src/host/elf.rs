//! The ELF sections of a module, by `object`: of a plain file only those that are wanted are read.

use super::error::Error;
use super::module::{Module, Strings, Symbol, SymbolsBuilder};
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{Endianness, ReadCache, ReadRef};
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

/// What is wrong with a module file, and where.
#[derive(Debug)]
pub(super) struct Fault {
    off: u64,
    what: String,
}

/// Ends a signed module. Source: the kernel's include/linux/module_signature.h.
const SIGNATURE_MAGIC: &[u8] = b"~Module signature appended~\n";

/// Bytes of an entry of `__versions`: a C long with the CRC, then the name. Source: the kernel's
/// include/linux/module.h, struct modversion_info.
const VERSION_LEN: usize = 64;

impl Fault {
    fn new(off: u64, what: impl Into<String>) -> Fault {
        Fault { off, what: what.into() }
    }

    pub(super) fn in_file(self, path: &Path) -> Error {
        Error::Damaged { path: path.to_owned(), off: self.off, what: self.what }
    }
}

/// Parses an unpacked module in memory.
pub(super) fn parse(bytes: &[u8]) -> Result<Module, Fault> {
    sections(bytes)
}

/// Parses a plain module file.
pub(super) fn read_file(file: File) -> Result<Module, Fault> {
    sections(&ReadCache::new(file))
}

fn sections<'data, R: ReadRef<'data>>(data: R) -> Result<Module, Fault> {
    let ident = data.read_bytes_at(0, 16).map_err(|()| Fault::new(0, "too short for a module"))?;
    match (&ident[..4], ident[4]) {
        (b"\x7fELF", 1) => Reader::<FileHeader32<Endianness>, R>::new(data)?.module(),
        (b"\x7fELF", 2) => Reader::<FileHeader64<Endianness>, R>::new(data)?.module(),
        (b"\x7fELF", _) => Err(Fault::new(4, "ELF of an unknown class")),
        _ => Err(Fault::new(0, "no ELF file, nor packed in a known way")),
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
        let names = sections.get(names as usize).ok_or(Fault::new(table_off, "no section names"))?;
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
        let plain_len = self.data.len().map_err(|()| Fault::new(0, "its length is unknown"))?;
        let tail_len = SIGNATURE_MAGIC.len() as u64;
        let tail = plain_len.checked_sub(tail_len).and_then(|off| self.data.read_bytes_at(off, tail_len).ok());
        let mut module = Module {
            plain_len,
            signed: tail == Some(SIGNATURE_MAGIC),
            info: Strings(self.named(".modinfo")?.into()),
            ..Module::default()
        };
        self.symbols(&mut module)?;
        Ok(module)
    }

    /// Exports are the `__crc_` symbols, or without MODVERSIONS the names in `__ksymtab_strings`; imports the
    /// undefined symbols, then what has a version only.
    fn symbols(&self, module: &mut Module) -> Result<(), Fault> {
        let (mut exports, mut imports) = (SymbolsBuilder::default(), SymbolsBuilder::default());
        let mut versions = self.versions()?;
        let (symbols, names) = self.symtab()?;
        for symbol in symbols.iter().skip(1) {
            let name = names.get(symbol.st_name(self.endian) as usize..).unwrap_or_default();
            if symbol.st_shndx(self.endian) == elf::SHN_UNDEF {
                let name = c_str(name);
                let name = if self.machine == elf::EM_PPC64 { name.strip_prefix(b".").unwrap_or(name) } else { name };
                if is_sparc_register(self.machine, symbol.st_type()) {
                    continue;
                }
                let weak = symbol.st_bind() == elf::STB_WEAK;
                imports.push(Symbol { name, crc: versions.remove(name), weak });
            } else if let Some(name) = name.strip_prefix(b"__crc_") {
                exports.push(Symbol { name: c_str(name), crc: self.crc(symbol)?, weak: false });
            }
        }
        for (name, crc) in versions.in_order() {
            imports.push(Symbol { name, crc: Some(crc), weak: false });
        }
        module.exports = exports.finish();
        module.imports = imports.finish();
        if module.exports.is_empty() {
            let mut exports = SymbolsBuilder::default();
            for name in self.named("__ksymtab_strings")?.split(|&byte| byte == 0) {
                exports.push(Symbol { name, crc: None, weak: false });
            }
            module.exports = exports.finish();
        }
        Ok(())
    }

    fn symtab(&self) -> Result<(&'data [Elf::Sym], &'data [u8]), Fault> {
        let Some(symtab) = self.find(".symtab") else { return Ok((&[], &[])) };
        let off: u64 = symtab.sh_offset(self.endian).into();
        let symbols = symtab
            .data_as_array(self.endian, self.data)
            .map_err(|_| Fault::new(off, "the symbol table runs past the end of the file"))?;
        let strings = self.sections.get(symtab.sh_link(self.endian) as usize);
        let strings = strings.ok_or(Fault::new(off, "the symbol table has no strings"))?;
        Ok((symbols, self.bytes(strings)?))
    }

    /// Returns the CRC of a `__crc_` symbol: its value, or where it is defined in a section, the word there.
    fn crc(&self, symbol: &Elf::Sym) -> Result<Option<u32>, Fault> {
        let value: u64 = symbol.st_value(self.endian).into();
        let index = symbol.st_shndx(self.endian);
        if index == elf::SHN_ABS {
            return Ok(Some(value as u32));
        }
        let Some(section) = self.sections.get(usize::from(index.0)) else { return Ok(None) };
        let word = self.bytes(section)?.get(value as usize..).and_then(<[u8]>::first_chunk);
        Ok(word.map(
            |word| if self.endian == Endianness::Big { u32::from_be_bytes(*word) } else { u32::from_le_bytes(*word) },
        ))
    }

    fn versions(&self) -> Result<Versions<'data>, Fault> {
        let mut versions = Versions::default();
        for (at, entry) in self.named("__versions")?.chunks_exact(VERSION_LEN).enumerate() {
            let is_long = size_of::<Elf::Word>() == 8;
            let (crc, name) = entry.split_at(if is_long { 8 } else { 4 });
            let crc = match (self.endian, is_long) {
                (Endianness::Little, _) => &crc[..4],
                (Endianness::Big, true) => &crc[4..],
                (Endianness::Big, false) => crc,
            };
            let crc = <[u8; 4]>::try_from(crc).expect("four bytes were taken");
            let crc = if self.endian == Endianness::Big { u32::from_be_bytes(crc) } else { u32::from_le_bytes(crc) };
            versions.0.insert(c_str(name), (at, crc));
        }
        Ok(versions)
    }
}

/// Versions of imported symbols, by name; those that no symbol asked for are left over.
#[derive(Default)]
struct Versions<'data>(HashMap<&'data [u8], (usize, u32)>);

impl<'data> Versions<'data> {
    fn remove(&mut self, name: &[u8]) -> Option<u32> {
        self.0.remove(name).map(|(_, crc)| crc)
    }

    fn in_order(self) -> Vec<(&'data [u8], u32)> {
        let mut left: Vec<_> = self.0.into_iter().collect();
        left.sort_by_key(|(_, (at, _))| *at);
        left.into_iter().map(|(name, (_, crc))| (name, crc)).collect()
    }
}

/// Sparc marks the use of global registers by undefined symbols. Source: the sparc ELF ABI, STT_SPARC_REGISTER.
fn is_sparc_register(machine: elf::Machine, kind: elf::SymbolType) -> bool {
    matches!(machine, elf::EM_SPARC | elf::EM_SPARC32PLUS | elf::EM_SPARCV9) && kind.0 == 13
}

fn c_str(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}
