// SPDX-License-Identifier: MIT OR Apache-2.0
//! A module as its file describes it: modinfo, exported and imported symbols, whether it is signed. Sources: the
//! kernel's scripts/mod/modpost.c, which writes these, and kernel/module/main.c, which reads them.

use super::file::{ModuleFile, modname};
use std::ffi::CStr;

/// A module, from its file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Module {
    /// Relative to the tree's directory: `kernel/fs/ext4/ext4.ko.xz`.
    pub path: String,
    /// Normalized name: `_` in the place of `-`.
    pub modname: String,
    /// Length of the file, compressed or not, bytes.
    pub file_len: u64,
    /// Length without compression, bytes; 0 if the file could not be read.
    pub plain_len: u64,
    /// Whether the file ends in a signature.
    pub signed: bool,
    /// The .modinfo section: `key=value` strings, each with its NUL.
    pub(crate) info: Strings,
    /// Exported symbols.
    pub exports: Symbols,
    /// Undefined symbols, which the kernel or other modules export.
    pub imports: Symbols,
}

/// A module by its place in the module order: an index into the slice of modules that a graph or the symbol owners
/// were built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId(pub u32);

impl ModuleId {
    /// Returns the id of the module at `index` of its slice.
    pub fn new(index: usize) -> ModuleId {
        ModuleId(u32::try_from(index).expect("a tree has fewer than 2^32 modules"))
    }

    /// Returns the module's index in its slice.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// Yields the ids of `count` modules, in module order.
    pub fn all(count: usize) -> impl DoubleEndedIterator<Item = ModuleId> {
        (0..count).map(ModuleId::new)
    }
}

impl std::ops::Index<ModuleId> for [Module] {
    type Output = Module;

    fn index(&self, id: ModuleId) -> &Module {
        &self[id.index()]
    }
}

/// Strings in one block, each with its NUL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings(pub(crate) Box<[u8]>);

/// Symbols, with their names in one block: a tree has a quarter of a million.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Symbols {
    pub(crate) names: Strings,
    /// One for each name.
    pub(crate) facts: Box<[Facts]>,
}

/// The attributes of a symbol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) crc: Option<u32>,
    pub(crate) weak: bool,
}

/// A symbol that a module exports or imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its version, in a module built with MODVERSIONS.
    pub crc: Option<u32>,
    /// Whether the import is weak: the module loads without the symbol, too.
    pub weak: bool,
}

impl Module {
    /// Makes an empty module for a file that cannot be read. As in kmod it keeps its line in modules.dep.
    pub fn hollow(file: &ModuleFile) -> Module {
        let (path, modname) = (file.path.clone(), modname(&file.path));
        Module { path, modname, file_len: file.file_len, ..Module::default() }
    }

    /// Yields the key and value of each modinfo string, in file order.
    pub fn info(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.info.iter().map(|text| crate::bytes::split_once(text, b'=').unwrap_or((b"", text)))
    }

    /// Yields the values of one modinfo key, in file order.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.info().filter(move |(of, _)| *of == key.as_bytes()).map(|(_, value)| value)
    }

    /// Yields the alias patterns.
    pub fn aliases(&self) -> impl Iterator<Item = &[u8]> {
        self.values("alias")
    }

    /// Yields the softdep values, each like `pre: a b post: c`.
    pub fn softdeps(&self) -> impl Iterator<Item = &[u8]> {
        self.values("softdep")
    }

    /// Yields the weakdep values, each a list of module names.
    pub fn weakdeps(&self) -> impl Iterator<Item = &[u8]> {
        self.values("weakdep")
    }

    /// Yields the modnames of the direct dependencies that modpost found.
    pub fn depends(&self) -> impl Iterator<Item = &[u8]> {
        self.values("depends").flat_map(|list| list.split(|&byte| byte == b',')).filter(|name| !name.is_empty())
    }

    /// Yields the firmware files that the module may request, relative to /lib/firmware.
    pub fn firmware(&self) -> impl Iterator<Item = &[u8]> {
        self.values("firmware")
    }

    /// Returns the kernel version and build options that the module was built for.
    pub fn vermagic(&self) -> Option<&[u8]> {
        self.values("vermagic").next()
    }
}

impl Strings {
    /// Yields the strings without NUL. Skips empty ones, which are padding.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            rest = rest.get(rest.iter().position(|&byte| byte != 0)?..)?;
            let text = c_str(rest);
            rest = rest.get(text.len()..)?;
            Some(text)
        })
    }
}

impl Symbols {
    /// Yields the symbols in file order.
    pub fn iter(&self) -> impl Iterator<Item = Symbol<'_>> {
        self.names.iter().zip(&self.facts).map(|(name, facts)| Symbol { name, crc: facts.crc, weak: facts.weak })
    }

    /// Returns the number of symbols.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether there are no symbols.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }
}

/// Borrows the bytes before the first NUL, or all. `CStr` finds it a word at a time, which a tree's many names need.
pub(crate) fn c_str(bytes: &[u8]) -> &[u8] {
    CStr::from_bytes_until_nul(bytes).map_or(bytes, CStr::to_bytes)
}

/// Collects [`Symbols`].
#[derive(Debug, Default)]
pub(crate) struct SymbolsBuilder {
    names: Vec<u8>,
    facts: Vec<Facts>,
}

impl SymbolsBuilder {
    /// Adds a symbol, unless its name is empty.
    pub(crate) fn push(&mut self, symbol: Symbol<'_>) {
        if !symbol.name.is_empty() {
            self.names.extend(symbol.name);
            self.names.push(0);
            self.facts.push(Facts { crc: symbol.crc, weak: symbol.weak });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    pub(crate) fn finish(self) -> Symbols {
        Symbols { names: Strings(self.names.into()), facts: self.facts.into() }
    }
}
