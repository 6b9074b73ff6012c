// SPDX-License-Identifier: MIT OR Apache-2.0
//! The versions of the symbols that a kernel exports: CRCs over the types that a symbol has. A kernel with MODVERSIONS
//! loads a module only if it was built against the same. Refuses a file with a line that has none.
//!
//! Sources: the kernel's Documentation/kbuild/modules.rst and Documentation/kbuild/kbuild.rst.

use super::hash::FastMap;
use super::module::Module;
use super::sections;
use crate::host::codec;
use crate::host::error::{Error, Result};
use crate::host::input;
use std::path::{Path, PathBuf};

/// The symbol whose version stands for the layout of the kernel's own structures. Every module needs it.
pub const MODULE_LAYOUT: &[u8] = b"module_layout";

/// Versions by symbol.
type Crcs = FastMap<Box<[u8]>, u32>;

/// Length of the start of a file that tells its format, bytes: as much as an ELF header has.
const HEAD_LEN: usize = 512;

/// The versions of symbols, from a file of a kernel's build.
#[derive(Debug)]
pub struct Versions {
    /// The file.
    pub path: PathBuf,
    crcs: Crcs,
}

impl Versions {
    /// Reads Module.symvers, which may be compressed, a System.map, or a vmlinux with its symbols.
    ///
    /// # Errors
    /// The file cannot be read, or has a line without a version.
    pub fn read(path: &Path) -> Result<Versions> {
        let crcs = match of_vmlinux(path)? {
            Some(vmlinux) => {
                let exports = vmlinux.exports.iter();
                exports.filter_map(|symbol| Some((symbol.name.into(), symbol.crc?))).collect()
            }
            None => {
                let packed = input::read_named(path)?;
                let text = codec::decompress(&packed).map_err(|damage| damage.in_file(path))?;
                parse(&text).map_err(|(line, what)| Error::Line { path: path.into(), line, what })?
            }
        };
        Ok(Versions { path: path.into(), crcs })
    }

    /// Returns the version of a symbol, if the file has it.
    pub fn get(&self, symbol: &[u8]) -> Option<u32> {
        self.crcs.get(symbol).copied()
    }

    /// Whether the file has no version.
    pub fn is_empty(&self) -> bool {
        self.crcs.is_empty()
    }
}

/// Reads the symbols of an ELF file; `None` for another file. Reads no section that they are not in, as a vmlinux may
/// have half a gigabyte.
fn of_vmlinux(path: &Path) -> Result<Option<Module>> {
    use std::os::unix::fs::FileExt;
    let Ok(file) = input::open(path) else { return Ok(None) };
    let mut head = [0; HEAD_LEN];
    let head_len = file.read_at(&mut head, 0).map_err(Error::io(path))?;
    let head = head.get(..head_len).unwrap_or_default();
    if !head.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let len = file.metadata().map_err(Error::io(path))?.len();
    sections::read_file(&file, len, head, &mut Vec::new()).map(Some).map_err(|fault| fault.in_file(path))
}

/// Parses Module.symvers or System.map.
///
/// # Errors
/// The number of a line without a version, from 1, and the reason.
fn parse(text: &[u8]) -> Result<Crcs, (usize, String)> {
    let mut crcs = Crcs::default();
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let mut words = crate::bytes::words(line);
        let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
        let number_of = |digits| u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok();
        match (second, words.next()) {
            // System.map: a value, a type, a name. A version is an absolute value, or an address where it lies.
            ([_], Some(name)) => {
                let crc = name.strip_prefix(b"__crc_").filter(|_| second == b"A");
                if let (Some(name), Some(Ok(crc))) = (crc, number_of(first).map(u32::try_from)) {
                    crcs.entry(name.into()).or_insert(crc);
                }
            }
            // Module.symvers: the version, a name, its owner, and more.
            _ => {
                let digits = first.strip_prefix(b"0x").and_then(number_of);
                let Some(Ok(crc)) = digits.map(u32::try_from) else {
                    return Err((number, format!("no version of a symbol: `{}`", String::from_utf8_lossy(first))));
                };
                crcs.entry(second.into()).or_insert(crc);
            }
        }
    }
    Ok(crcs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(text: &str, name: &str) -> Option<u32> {
        parse(text.as_bytes()).unwrap().get(name.as_bytes()).copied()
    }

    #[test]
    fn symvers_has_a_version_a_line() {
        let text = "0x0000000a\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n0x0b\tmac_f\tnet/mac\tEXPORT_SYMBOL_GPL\tNS\n\n";
        assert_eq!((get(text, "printk"), get(text, "mac_f"), get(text, "other")), (Some(10), Some(11), None));
        for bad in ["printk vmlinux x\n", "0x1ffffffff\tprintk\tvmlinux\n", "10\tprintk\tvmlinux\n"] {
            assert_eq!(
                parse(format!("0x1 a vmlinux\n{bad}").as_bytes()).map_err(|(line, _)| line).err(),
                Some(2),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_map_has_versions_that_are_absolute_only() {
        let text = "000000000000000a A __crc_printk\nffffffff82000000 r __crc_kfree\nffffffff81000000 T printk\n";
        assert_eq!((get(text, "printk"), get(text, "kfree")), (Some(10), None));
    }
}
