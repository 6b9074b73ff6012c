// SPDX-License-Identifier: MIT OR Apache-2.0
//! The owner of each exported symbol: a module, or the kernel itself if Module.symvers or System.map was read. Source:
//! kmod, tools/depmod.c.

use super::hash::FastMap;
use super::module::{Module, ModuleId, Symbol};

/// Symbols that the kernel's module loader defines, and nothing exports. Source: kmod, `depmod_add_fake_syms`.
const LOADER_SYMBOLS: [&[u8]; 3] = [b"__this_module", b"_GLOBAL_OFFSET_TABLE_", b"TOC."];

/// The owner of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The module; `None` for the kernel.
    pub module: Option<ModuleId>,
    /// The symbol's version; 0 for none.
    pub crc: u32,
}

/// The owners of all symbols that a set of modules, and the kernel if its symbols are known, export.
#[derive(Debug, Default)]
pub struct SymbolOwners<'a> {
    owners: FastMap<&'a [u8], Owner>,
    /// A character before every symbol that is not part of its name; for old Blackfin and SuperH.
    prefix: Option<u8>,
}

/// Symbols of the kernel itself, read from a file.
#[derive(Debug, Default)]
pub struct KernelSymbols {
    names: Vec<(Vec<u8>, u32)>,
    /// Lines that cannot be parsed, by number from 1, and the reason for each.
    pub faults: Vec<(usize, &'static str)>,
}

/// A failure to resolve an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// Nothing exports the symbol.
    Unknown,
    /// The symbol is exported with another version.
    Version,
}

impl<'a> SymbolOwners<'a> {
    /// Collects the exports of `modules`. If two modules export a name, the later one owns it.
    pub fn new(modules: &'a [Module]) -> SymbolOwners<'a> {
        SymbolOwners::with_kernel(modules, None, None)
    }

    /// Collects the exports of `modules` and `kernel`; a module's export hides the kernel's of that name. `prefix` is a
    /// character before every symbol.
    pub fn with_kernel(
        modules: &'a [Module],
        kernel: Option<&'a KernelSymbols>,
        prefix: Option<u8>,
    ) -> SymbolOwners<'a> {
        let count: usize = modules.iter().map(|module| module.exports.len()).sum();
        let mut owners = FastMap::default();
        owners.reserve(count);
        if let Some(kernel) = kernel {
            let names = kernel.names.iter().map(|(name, crc)| (name.as_slice(), *crc));
            for (name, crc) in names.chain(LOADER_SYMBOLS.map(|name| (name, 0))) {
                owners.insert(name, Owner { module: None, crc });
            }
        }
        for (id, module) in ModuleId::all(modules.len()).zip(modules) {
            for symbol in module.exports.iter() {
                let owner = Owner { module: Some(id), crc: symbol.crc.unwrap_or_default() };
                owners.insert(without_prefix(symbol.name, prefix), owner);
            }
        }
        SymbolOwners { owners, prefix }
    }

    /// Returns the owner of `name`, an import. On ppc64 a dot stands before the names of functions.
    pub fn find(&self, name: &[u8]) -> Option<Owner> {
        let name = name.strip_prefix(b".").unwrap_or(name);
        self.owners.get(without_prefix(name, self.prefix)).copied()
    }

    /// Returns the symbols that modules own, sorted by name.
    pub fn by_name(&self) -> Vec<(&'a [u8], ModuleId)> {
        let owners = self.owners.iter().filter_map(|(name, owner)| Some((*name, owner.module?)));
        let mut owners: Vec<_> = owners.collect();
        owners.sort_unstable();
        owners
    }

    /// Returns why `import` does not resolve; `None` if it does, or if it is weak.
    pub fn mismatch(&self, import: Symbol<'_>, check_versions: bool) -> Option<Mismatch> {
        let owner = self.find(import.name);
        match owner {
            _ if import.weak => None,
            None => Some(Mismatch::Unknown),
            Some(owner) => (check_versions && owner.crc != import.crc.unwrap_or_default()).then_some(Mismatch::Version),
        }
    }
}

impl KernelSymbols {
    /// Parses Module.symvers: CRC, name, `vmlinux` or a module, and more, separated by tabs. Takes the symbols of
    /// vmlinux.
    pub fn from_symvers(text: &[u8], prefix: Option<u8>) -> KernelSymbols {
        let mut symbols = KernelSymbols::default();
        for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let mut words = crate::bytes::words(line);
            let (Some(crc), Some(name), Some(b"vmlinux")) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let digits = crc.strip_prefix(b"0x").unwrap_or(crc);
            match std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
                Some(crc) => symbols.names.push((without_prefix(name, prefix).to_vec(), crc)),
                None => symbols.faults.push((at + 1, "not a hexadecimal CRC")),
            }
        }
        symbols
    }

    /// Parses System.map: address, type and name, separated by a space. Takes the exported symbols, which have a second
    /// name that begins with `__ksymtab_`.
    pub fn from_system_map(text: &[u8], prefix: Option<u8>) -> KernelSymbols {
        let mut symbols = KernelSymbols::default();
        for (at, line) in text.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            let Some(name) = line.splitn(3, |&byte| byte == b' ').nth(2) else {
                symbols.faults.push((at + 1, "expected address, type and name"));
                continue;
            };
            if let Some(name) = without_prefix(name, prefix).strip_prefix(b"__ksymtab_") {
                symbols.names.push((name.to_vec(), 0));
            }
        }
        symbols
    }
}

fn without_prefix(name: &[u8], prefix: Option<u8>) -> &[u8] {
    match name.split_first() {
        Some((first, rest)) if Some(*first) == prefix => rest,
        _ => name,
    }
}
