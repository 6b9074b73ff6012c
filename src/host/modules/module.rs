//! One module file -> what its ELF sections say of it: modinfo, exported and imported symbols, whether it is signed.
//! Takes ELF of 32 and 64 bits and both byte orders; refuses what is damaged, with the offset. Sources: the kernel's
//! scripts/mod/modpost.c (what is written), kernel/module/main.c (what is read).

use super::sections;
use super::tree;
use super::tree::ModuleFile;
use crate::host::codec;
use crate::host::codec::Format;
use crate::host::error::{Error, Result};
use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Read first of each file: enough for the format's magic and an ELF header.
const HEAD_LEN: usize = 512;

/// What a module says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Module {
    /// Relative to the tree's directory: `kernel/fs/ext4/ext4.ko.xz`.
    pub path: String,
    /// `_` only.
    pub modname: String,
    /// Length as it lies, bytes.
    pub file_len: u64,
    /// Length unpacked, bytes.
    pub plain_len: u64,
    /// Ends in a signature.
    pub signed: bool,
    /// The .modinfo section: `key=value` strings, each with its NUL.
    pub(crate) info: Strings,
    /// Exported symbols.
    pub exports: Symbols,
    /// Symbols it wants from the kernel or other modules.
    pub imports: Symbols,
}

/// Strings in one block, each followed by NUL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings(pub(crate) Box<[u8]>);

/// Symbols, names in one block: a tree has a quarter of a million.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Symbols {
    pub(crate) names: Strings,
    /// One for each name.
    pub(crate) facts: Box<[Facts]>,
}

/// What is known of a symbol beside its name.
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
    /// Imported, but the module loads without it too.
    pub weak: bool,
}

impl Module {
    /// Reads the module `file` of the tree at `dir`. `buf` takes the unpacked file; it is given for reuse only.
    ///
    /// # Errors
    /// The file can't be read, is damaged, or is no module.
    pub fn read(dir: &Path, file: &ModuleFile, buf: &mut Buffers) -> Result<Module> {
        let path = dir.join(&file.path);
        let mut input = File::open(&path).map_err(Error::io(&path))?;
        let mut head = [0; HEAD_LEN];
        let head_len = input.read(&mut head).map_err(Error::io(&path))?;
        let head = head.get(..head_len).unwrap_or_default();
        let mut module = if Format::of(head) == Format::None {
            sections::read_file(&input, file.file_len, head, &mut buf.tail).map_err(|fault| fault.in_file(&path))?
        } else {
            buf.packed.clear();
            buf.packed.extend(head);
            input.read_to_end(&mut buf.packed).map_err(Error::io(&path))?;
            codec::decompress_into(&buf.packed, &mut buf.plain).map_err(|damage| damage.in_file(&path))?;
            sections::parse(&buf.plain).map_err(|fault| fault.in_file(&path))?
        };
        module.path.clone_from(&file.path);
        module.modname = tree::modname(&file.path);
        module.file_len = file.file_len;
        Ok(module)
    }

    /// Makes what stands for a module file that can't be read: it has its place in modules.dep, and nothing else.
    pub fn hollow(file: &ModuleFile) -> Module {
        let (path, modname) = (file.path.clone(), tree::modname(&file.path));
        Module { path, modname, file_len: file.file_len, ..Module::default() }
    }

    /// Parses an unpacked module; `path` is what the tree calls it.
    ///
    /// # Errors
    /// It is damaged, or no module.
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Module> {
        let module = sections::parse(bytes).map_err(|fault| fault.in_file(Path::new(path)))?;
        Ok(Module { path: path.to_owned(), modname: tree::modname(path), file_len: bytes.len() as u64, ..module })
    }

    /// Yields the key and value of each modinfo string, in file order.
    pub fn info(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.info.iter().map(|text| crate::bytes::split_once(text, b'=').unwrap_or((b"", text)))
    }

    /// Yields the values of one modinfo key, in file order.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.info().filter(move |(of, _)| *of == key.as_bytes()).map(|(_, value)| value)
    }

    /// Yields the patterns of the devices and names that the module serves.
    pub fn aliases(&self) -> impl Iterator<Item = &[u8]> {
        self.values("alias")
    }

    /// Yields the softdep values: `pre: a b post: c`.
    pub fn softdeps(&self) -> impl Iterator<Item = &[u8]> {
        self.values("softdep")
    }

    /// Yields the weakdep values: module names.
    pub fn weakdeps(&self) -> impl Iterator<Item = &[u8]> {
        self.values("weakdep")
    }

    /// Yields the modnames that modpost noted as direct dependencies.
    pub fn depends(&self) -> impl Iterator<Item = &[u8]> {
        self.values("depends").flat_map(|list| list.split(|&byte| byte == b',')).filter(|name| !name.is_empty())
    }

    /// Yields the firmware files that the module may ask for, relative to /lib/firmware.
    pub fn firmware(&self) -> impl Iterator<Item = &[u8]> {
        self.values("firmware")
    }

    /// Returns the kernel version and build options it was made for.
    pub fn vermagic(&self) -> Option<&[u8]> {
        self.values("vermagic").next()
    }
}

/// A reader's memory, kept from module to module.
#[derive(Debug, Default)]
pub struct Buffers {
    tail: Vec<u8>,
    packed: Vec<u8>,
    plain: Vec<u8>,
}

impl Strings {
    /// Yields the strings, without NUL; empty ones are padding and left out.
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

    /// How many there are.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }
}

/// Borrows what comes before the first NUL, or all. (The standard library looks at a word at a time for a `CStr`; a
/// tree's names are many.)
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
    /// Adds one; an empty name is none.
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
