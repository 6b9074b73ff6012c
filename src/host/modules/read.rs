// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads one module file: decompresses it if need be, and parses its ELF sections. Refuses a damaged file, with the
//! offset.

use super::file::{ModuleFile, modname};
use super::module::Module;
use super::sections;
use crate::host::codec;
use crate::host::codec::Format;
use crate::host::error::{Error, Result};
use crate::host::input;
use std::io::Read;
use std::path::Path;

/// Length of the first read, bytes: enough for the magic of each format and an ELF header.
const HEAD_LEN: usize = 512;

/// Memory for reading modules, reused from file to file.
#[derive(Debug, Default)]
pub struct Buffers {
    tail: Vec<u8>,
    packed: Vec<u8>,
    plain: Vec<u8>,
}

impl Module {
    /// Reads the module `file` of a tree from its real path.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or is not a module.
    pub fn read(path: &Path, file: &ModuleFile, buf: &mut Buffers) -> Result<Module> {
        let mut input = input::open(path).map_err(Error::io(path))?;
        let mut head = [0; HEAD_LEN];
        let head_len = input.read(&mut head).map_err(Error::io(path))?;
        let head = head.get(..head_len).unwrap_or_default();
        let mut module = if Format::of(head) == Format::None {
            sections::read_file(&input, file.file_len, head, &mut buf.tail).map_err(|fault| fault.in_file(path))?
        } else {
            buf.packed.clear();
            buf.packed.extend(head);
            input.read_to_end(&mut buf.packed).map_err(Error::io(path))?;
            codec::decompress_into(&buf.packed, &mut buf.plain).map_err(|damage| damage.in_file(path))?;
            sections::parse(&buf.plain).map_err(|fault| fault.in_file(path))?
        };
        module.path.clone_from(&file.path);
        module.modname = modname(&file.path);
        module.file_len = file.file_len;
        Ok(module)
    }

    /// Parses an uncompressed module; `path` is its path in the tree.
    ///
    /// # Errors
    /// The bytes are damaged, or not a module.
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Module> {
        let module = sections::parse(bytes).map_err(|fault| fault.in_file(Path::new(path)))?;
        Ok(Module { path: path.to_owned(), modname: modname(path), file_len: bytes.len() as u64, ..module })
    }
}
