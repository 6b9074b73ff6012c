//! Reads one module file: unpacks it if it is compressed, and parses its ELF sections. Refuses what is damaged, with
//! the offset.

use super::file::{ModuleFile, modname};
use super::module::Module;
use super::sections;
use crate::host::codec;
use crate::host::codec::Format;
use crate::host::error::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Read first of each file: enough for the format's magic and an ELF header.
const HEAD_LEN: usize = 512;

/// A reader's memory, kept from module to module.
#[derive(Debug, Default)]
pub struct Buffers {
    tail: Vec<u8>,
    packed: Vec<u8>,
    plain: Vec<u8>,
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
        module.modname = modname(&file.path);
        module.file_len = file.file_len;
        Ok(module)
    }

    /// Parses an unpacked module; `path` is what the tree calls it.
    ///
    /// # Errors
    /// It is damaged, or no module.
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Module> {
        let module = sections::parse(bytes).map_err(|fault| fault.in_file(Path::new(path)))?;
        Ok(Module { path: path.to_owned(), modname: modname(path), file_len: bytes.len() as u64, ..module })
    }
}
