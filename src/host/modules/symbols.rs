//! Who provides which symbol: the modules, and where Module.symvers or System.map was read, the kernel itself.
//! Source: kmod, tools/depmod.c.

use super::hash::FastMap;
use super::module::{Module, ModuleId, Symbol};

/// The symbols that the kernel's loader makes up, which nobody exports. Source: kmod, `depmod_add_fake_syms`.
const MADE_UP: [&[u8]; 3] = [b"__this_module", b"_GLOBAL_OFFSET_TABLE_", b"TOC."];

/// Who provides a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The module; `None` for the kernel.
    pub module: Option<ModuleId>,
    /// The symbol's version, 0 for none.
    pub crc: u32,
}

/// All symbols of a set of modules and, if known, of the kernel.
#[derive(Debug, Default)]
pub struct Linkage<'a> {
    owners: FastMap<&'a [u8], Owner>,
    /// A character before every symbol that is not part of its name, for old Blackfin and SuperH.
    prefix: Option<u8>,
}

/// Symbols of the kernel itself, read from a file.
#[derive(Debug, Default)]
pub struct KernelSymbols {
    names: Vec<(Vec<u8>, u32)>,
    /// Lines that are not understood, counted from 1, and why.
    pub faults: Vec<(usize, &'static str)>,
}

/// What is wrong with an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// Nobody provides it.
    Unknown,
    /// It is provided in another version.
    Version,
}

impl<'a> Linkage<'a> {
    /// Collects what `modules` export. Of two that export one name the later in module order counts.
    pub fn new(modules: &'a [Module]) -> Linkage<'a> {
        Linkage::with(modules, None, None)
    }

    /// As [`Linkage::new`], with the symbols of the kernel, which modules' own hide, and a character that stands
    /// before every symbol.
    pub fn with(modules: &'a [Module], kernel: Option<&'a KernelSymbols>, prefix: Option<u8>) -> Linkage<'a> {
        let count: usize = modules.iter().map(|module| module.exports.len()).sum();
        let mut linkage = Linkage { owners: FastMap::default(), prefix };
        linkage.owners.reserve(count);
        if let Some(kernel) = kernel {
            let names = kernel.names.iter().map(|(name, crc)| (name.as_slice(), *crc));
            for (name, crc) in names.chain(MADE_UP.map(|name| (name, 0))) {
                linkage.owners.insert(name, Owner { module: None, crc });
            }
        }
        for (at, module) in modules.iter().enumerate() {
            for symbol in module.exports.iter() {
                let owner = Owner { module: Some(ModuleId::new(at)), crc: symbol.crc.unwrap_or_default() };
                linkage.owners.insert(without_prefix(symbol.name, prefix), owner);
            }
        }
        linkage
    }

    /// Looks up who provides `name` as a module imports it: ppc64 puts a dot before functions.
    pub fn find(&self, name: &[u8]) -> Option<Owner> {
        let name = name.strip_prefix(b".").unwrap_or(name);
        self.owners.get(without_prefix(name, self.prefix)).copied()
    }

    /// Yields the symbols that modules provide, sorted by name.
    pub fn by_name(&self) -> Vec<(&'a [u8], ModuleId)> {
        let owners = self.owners.iter().filter_map(|(name, owner)| Some((*name, owner.module?)));
        let mut owners: Vec<_> = owners.collect();
        owners.sort_unstable();
        owners
    }

    /// Says what is wrong with `import`; a weak one may fail in any way.
    pub fn misfit(&self, import: Symbol<'_>, check_versions: bool) -> Option<Misfit> {
        let owner = self.find(import.name);
        match owner {
            _ if import.weak => None,
            None => Some(Misfit::Unknown),
            Some(owner) => (check_versions && owner.crc != import.crc.unwrap_or_default()).then_some(Misfit::Version),
        }
    }
}

impl KernelSymbols {
    /// Parses Module.symvers: CRC, name, `vmlinux` or a module, and more, separated by tabs.
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
                None => symbols.faults.push((at + 1, "not a symbol version in hexadecimal")),
            }
        }
        symbols
    }

    /// Parses System.map: address, kind, name, separated by a blank; what begins with `__ksymtab_` is exported.
    pub fn from_system_map(text: &[u8], prefix: Option<u8>) -> KernelSymbols {
        let mut symbols = KernelSymbols::default();
        for (at, line) in text.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            let Some(name) = line.splitn(3, |&byte| byte == b' ').nth(2) else {
                symbols.faults.push((at + 1, "not address, kind and name"));
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
