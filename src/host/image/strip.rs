// SPDX-License-Identifier: MIT OR Apache-2.0
//! Strips a module of debug sections, and of BTF unless the kernel needs it. All other sections keep content, order and
//! name; section and symbol numbers are updated.
//!
//! Like `strip --strip-debug`, removes debug sections that are not loaded, their relocations and symbols, and names of
//! source files. A module with kfuncs (section .BTF_ids) keeps its BTF: without it, the kernel registers no kfuncs, and a
//! kernel before 6.7 refuses the module. Sources: binutils' bfd/elf.c, `_bfd_elf_make_section_from_shdr`; the kernel's
//! kernel/bpf/btf.c, `register_btf_kfunc_id_set`.
//!
//! Uses `object`'s encoder: its `Builder` refuses section types that it does not know, among them groups and Clang's
//! .llvm_addrsig.

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader as _, SectionTable, Sym as _, SymbolTable};
use object::write::elf::{self as write, Encoder, FileHeaderLayout, Rel, SectionHeader, Sym};
use object::{Endian, Endianness};
use std::borrow::Cow;

/// Prefixes of the names of debug sections.
const DEBUG: [&[u8]; 7] =
    [b".debug", b".zdebug", b".gnu.debuglto_.debug_", b".gnu.linkonce.wi.", b".line", b".stab", b".gdb_index"];

const BTF: [&[u8]; 3] = [b".BTF", b".BTF.base", b".BTF.ext"];

/// Defect of a module, in prose.
struct Fault(String);

impl<E: std::error::Error> From<E> for Fault {
    fn from(error: E) -> Fault {
        Fault(error.to_string().to_lowercase())
    }
}

/// Strips an unpacked, unsigned module. Returns it unchanged if there is nothing to strip, or if a section that stays
/// refers to one that would go.
///
/// # Errors
/// In prose: it is damaged or not an ELF file.
pub fn stripped(module: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let stripped = match module {
        [0x7f, b'E', b'L', b'F', 1, ..] => strip::<FileHeader32<Endianness>>(module),
        _ => strip::<FileHeader64<Endianness>>(module),
    };
    Ok(stripped.map_err(|fault| fault.0)?.map_or(Cow::Borrowed(module), Cow::Owned))
}

/// Returns the size of a header or of an address as a length.
fn small(size: u64) -> usize {
    size.try_into().expect("64 bytes at most")
}

fn strip<Elf: FileHeader<Endian = Endianness>>(data: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let header = Elf::parse(data)?;
    let endian = header.endian()?;
    let Some(old) = Old::<Elf>::read(header, endian, data)? else { return Ok(None) };
    let encoder = Encoder::new(endian, header.is_type_64(), header.e_machine(endian));
    let mut out = vec![0; small(encoder.file_header_size())];
    let mut headers = Vec::new();
    // Section 0 is the null section.
    for section in old.sections_that_stay().skip(1) {
        let mut header = SectionHeader::from_raw(endian, section);
        if header.sh_type != elf::SHT_NOBITS {
            let align = usize::try_from(header.sh_addralign).ok().filter(|align| *align <= ALIGN_MAX);
            out.resize(out.len().next_multiple_of(align.unwrap_or(ALIGN_MAX).max(1)), 0);
        }
        header.sh_offset = out.len() as u64;
        header.sh_link = old.section(header.sh_link)?;
        match header.sh_type {
            elf::SHT_SYMTAB => header.sh_info = old.emit_symbols(encoder, &mut out)?,
            elf::SHT_REL | elf::SHT_RELA => {
                header.sh_info = old.section(header.sh_info)?;
                for mut rel in old.relocations(section)? {
                    rel.r_sym = old.symbol(rel.r_sym)?;
                    encoder.relocation(&mut out, header.sh_type == elf::SHT_RELA, &rel);
                }
            }
            elf::SHT_GROUP => {
                header.sh_info = old.symbol(header.sh_info)?;
                old.emit_group(section, &mut out)?;
            }
            elf::SHT_NOBITS => {}
            _ => {
                if header.sh_flags.contains(elf::SHF_INFO_LINK) {
                    header.sh_info = old.section(header.sh_info)?;
                }
                out.extend(section.data(endian, data)?);
            }
        }
        if header.sh_type != elf::SHT_NOBITS {
            header.sh_size = out.len() as u64 - header.sh_offset;
        }
        headers.push(header);
    }
    out.resize(out.len().next_multiple_of(small(encoder.address_size())), 0);
    let layout = FileHeaderLayout {
        e_shoff: out.len() as u64,
        section_num: u32::try_from(headers.len() + 1).expect("no more than the old file had"),
        shstrtab_index: old.section(header.shstrndx(endian, data)?)?,
        ..FileHeaderLayout::default()
    };
    encoder.null_section_header(&mut out, &layout);
    headers.iter().for_each(|header| encoder.section_header(&mut out, header));
    let mut head = Vec::new();
    encoder.file_header(&mut head, &write::FileHeader::from_raw(endian, header), &layout)?;
    out[..head.len()].copy_from_slice(&head);
    Ok(Some(out))
}

/// Largest alignment of a section, bytes; more is treated as damage.
const ALIGN_MAX: usize = 1 << 16;

/// A module before stripping, with the new numbers of its sections and symbols; `None` for those to remove.
struct Old<'data, Elf: FileHeader> {
    endian: Endianness,
    data: &'data [u8],
    sections: SectionTable<'data, Elf>,
    symbols: SymbolTable<'data, Elf>,
    section_numbers: Vec<Option<u32>>,
    symbol_numbers: Vec<Option<u32>>,
}

impl<'data, Elf: FileHeader<Endian = Endianness>> Old<'data, Elf> {
    /// Reads a module. Returns `None` if it must stay unchanged.
    fn read(header: &'data Elf, endian: Endianness, data: &'data [u8]) -> Result<Option<Self>, Fault> {
        let sections = header.sections(endian, data)?;
        let symbols = sections.symbols(endian, data, elf::SHT_SYMTAB)?;
        let mut old = Old { endian, data, sections, symbols, section_numbers: Vec::new(), symbol_numbers: Vec::new() };
        let removed = old.removed_sections()?;
        // Only relocatable files may change section offsets. The kernel accepts a single symbol table.
        let tables = old.sections.iter().filter(|section| section.sh_type(endian) == elf::SHT_SYMTAB);
        let is_module = header.e_type(endian) == elf::ET_REL && header.e_phnum(endian) == 0 && tables.count() < 2;
        if !is_module || !removed.contains(&true) || old.symbols.shndx_section().0 != 0 {
            return Ok(None);
        }
        let is_gone = |at: Option<u16>| at.is_some_and(|at| removed.get(usize::from(at)) == Some(&true));
        let is_symbol_removed =
            |symbol: &Elf::Sym| is_gone(symbol.st_shndx(endian).index()) || symbol.st_type() == elf::STT_FILE;
        old.symbol_numbers = numbered(old.symbols.iter().map(|symbol| !is_symbol_removed(symbol)));
        old.section_numbers = numbered(removed.iter().map(|is_removed| !is_removed));
        let is_needed = old.needs_removed()?;
        Ok((!is_needed).then_some(old))
    }

    /// Returns for each section whether to remove it: by its name, or because all that it refers to is removed.
    fn removed_sections(&self) -> Result<Vec<bool>, Fault> {
        let mut names = Vec::new();
        for section in self.sections.iter() {
            names.push(self.sections.section_name(self.endian, section)?);
        }
        let has_kfuncs = names.contains(&&b".BTF_ids"[..]);
        let by_name = self.sections.iter().zip(&names).map(|(section, name)| {
            let is_loaded = section.sh_flags(self.endian).contains(elf::SHF_ALLOC);
            let is_debug = !is_loaded && DEBUG.iter().any(|start| name.starts_with(start));
            is_debug || !has_kfuncs && BTF.contains(name)
        });
        let mut goes: Vec<bool> = by_name.collect();
        loop {
            let count = goes.iter().filter(|goes| **goes).count();
            for (at, section) in self.sections.enumerate() {
                let is_gone = |at: u32| goes.get(at as usize) == Some(&true);
                goes[at.0] |= match section.sh_type(self.endian) {
                    elf::SHT_REL | elf::SHT_RELA => is_gone(section.sh_info(self.endian)),
                    elf::SHT_GROUP => {
                        let (_, members) = section.group(self.endian, self.data)?.unwrap_or_default();
                        members.iter().all(|member| is_gone(member.get(self.endian)))
                    }
                    _ => false,
                };
            }
            if goes.iter().filter(|goes| **goes).count() == count {
                return Ok(goes);
            }
        }
    }

    /// Whether a section that stays refers to a removed section or symbol.
    fn needs_removed(&self) -> Result<bool, Fault> {
        for section in self.sections_that_stay() {
            let (kind, info) = (section.sh_type(self.endian), section.sh_info(self.endian));
            let mut needs_removed = self.section(section.sh_link(self.endian)).is_err();
            needs_removed |= kind == elf::SHT_GROUP && self.symbol(info).is_err();
            for rel in self.relocations(section)? {
                needs_removed |= self.symbol(rel.r_sym).is_err();
            }
            if needs_removed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn sections_that_stay(&self) -> impl Iterator<Item = &'data Elf::SectionHeader> {
        self.sections.iter().zip(&self.section_numbers).filter_map(|(section, number)| number.map(|_| section))
    }

    /// Returns the new number of a section. 0, the null section, stays 0.
    fn section(&self, at: u32) -> Result<u32, Fault> {
        let number = self.section_numbers.get(at as usize).copied().flatten();
        number.ok_or_else(|| Fault(format!("refers to section {at}, which does not exist")))
    }

    /// Returns the new number of a symbol. 0, the null symbol, stays 0.
    fn symbol(&self, at: u32) -> Result<u32, Fault> {
        let number = if at == 0 { Some(0) } else { self.symbol_numbers.get(at as usize).copied().flatten() };
        number.ok_or_else(|| Fault(format!("refers to symbol {at}, which does not exist")))
    }

    /// Returns the relocations of a section; none unless it is a relocation section.
    fn relocations(&self, section: &Elf::SectionHeader) -> Result<Vec<Rel>, Fault> {
        let mut all = Vec::new();
        if let Some((relocations, _)) = section.rel(self.endian, self.data)? {
            all.extend(relocations.iter().map(|rel| Rel::from_rel(self.endian, rel)));
        }
        if let Some((relocations, _)) = section.rela(self.endian, self.data)? {
            all.extend(relocations.iter().map(|rela| Rel::from_rela(self.endian, rela, false)));
        }
        Ok(all)
    }

    /// Emits the symbols that stay. Returns the number of local ones, which come first.
    fn emit_symbols(&self, encoder: Encoder<Endianness>, out: &mut Vec<u8>) -> Result<u32, Fault> {
        let mut local_count = 0;
        for (symbol, _) in self.symbols.iter().zip(&self.symbol_numbers).filter(|(_, number)| number.is_some()) {
            let place = symbol.st_shndx(self.endian).index();
            let place = place.map(|place| self.section(place.into())).transpose()?;
            encoder.symbol(out, &Sym::from_raw(self.endian, symbol, place));
            local_count += u32::from(symbol.st_bind() == elf::STB_LOCAL);
        }
        Ok(local_count)
    }

    /// Emits a section group without its removed members.
    fn emit_group(&self, section: &Elf::SectionHeader, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Some((flags, members)) = section.group(self.endian, self.data)? else { return Ok(()) };
        out.extend(self.endian.write_u32(flags.0));
        for member in members {
            let member = member.get(self.endian);
            if self.section_numbers.get(member as usize) != Some(&None) {
                out.extend(self.endian.write_u32(self.section(member)?));
            }
        }
        Ok(())
    }
}

/// Numbers the items that stay from 0; `None` for the others.
fn numbered(stays: impl Iterator<Item = bool>) -> Vec<Option<u32>> {
    let mut next = 0..;
    stays.map(|stays| if stays { next.next() } else { None }).collect()
}
