//! The modules.* files: text and binary indexes of a set of modules, byte for byte kmod's. Source: depmod(8),
//! kmod's tools/depmod.c.

use super::error::{Error, Result};
use super::graph::{self, Graph};
use super::module::Module;
use crate::index::{Builder, WriteError};
use std::path::Path;

/// What the kernel has built in: the contents of modules.builtin and modules.builtin.modinfo, where there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Builtin<'a> {
    /// Paths, one a line.
    pub list: Option<&'a [u8]>,
    /// `modname.key=value` strings, each with its NUL.
    pub modinfo: Option<&'a [u8]>,
}

/// An emitted file.
pub type IndexFile = (&'static str, Vec<u8>);

/// Emits all index files for `modules`, which are in depmod's order.
///
/// # Errors
/// A cycle, or what the index format can't hold.
pub fn indexes(builtin: Builtin<'_>, modules: &[Module]) -> Result<Vec<IndexFile>> {
    let mut warnings = Vec::new();
    let (dep, dep_bin) = dep(modules)?;
    let (alias, alias_bin) = alias(modules, &mut warnings)?;
    let (symbols, symbols_bin) = symbols(modules)?;
    Ok(vec![
        ("modules.dep", dep),
        ("modules.dep.bin", dep_bin),
        ("modules.alias", alias),
        ("modules.alias.bin", alias_bin),
        ("modules.softdep", soft(modules, "softdep", "# Soft dependencies extracted from modules themselves.\n")),
        ("modules.weakdep", soft(modules, "weakdep", "# Weak dependencies extracted from modules themselves.\n")),
        ("modules.symbols", symbols),
        ("modules.symbols.bin", symbols_bin),
        ("modules.builtin.bin", builtin_bin(builtin.list)?),
        ("modules.builtin.alias.bin", builtin_alias_bin(builtin.modinfo)?),
        ("modules.devname", devname(modules)),
    ])
}

/// Writes `files` into `dir`.
///
/// # Errors
/// The system's.
pub fn write(dir: &Path, files: &[IndexFile]) -> Result<()> {
    for (name, bytes) in files {
        let path = dir.join(name);
        std::fs::write(&path, bytes).map_err(Error::io(path))?;
    }
    Ok(())
}

fn bin(file: &'static str) -> impl Fn(WriteError) -> Error {
    move |source| Error::Index { file, source }
}

fn dep(modules: &[Module]) -> Result<(Vec<u8>, Vec<u8>)> {
    let graph = Graph::new(modules)?;
    let (mut text, mut index) = (Vec::new(), Builder::new());
    for (at, module) in modules.iter().enumerate() {
        let start = text.len();
        text.extend(module.path.as_bytes());
        text.push(b':');
        for needed in graph.closure(at) {
            text.push(b' ');
            text.extend(modules[needed].path.as_bytes());
        }
        index.insert(module.modname.as_bytes(), &text[start..], at as u32).map_err(bin("modules.dep.bin"))?;
        text.push(b'\n');
    }
    Ok((text, index.emit().map_err(bin("modules.dep.bin"))?))
}

fn alias(modules: &[Module], warnings: &mut Vec<String>) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut text, mut index) = (b"# Aliases extracted from modules themselves.\n".to_vec(), Builder::new());
    let mut key = Vec::new();
    for (at, module) in modules.iter().enumerate() {
        for alias in module.aliases() {
            text.extend([b"alias ", alias, b" ", module.modname.as_bytes(), b"\n"].concat());
            key.resize(alias.len(), 0);
            match crate::name::normalize(alias, &mut key) {
                Ok(key) => index.insert(key, module.modname.as_bytes(), at as u32).map_err(bin("modules.alias.bin"))?,
                Err(error) => {
                    let alias = String::from_utf8_lossy(alias);
                    warnings.push(format!("{}: alias {alias} {error}: not in the index", module.path));
                }
            }
        }
    }
    Ok((text, index.emit().map_err(bin("modules.alias.bin"))?))
}

fn symbols(modules: &[Module]) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut owners: Vec<(&[u8], usize)> = graph::owners(modules).into_iter().collect();
    owners.sort_unstable();
    let (mut text, mut index) = (b"# Aliases for symbols, used by symbol_request().\n".to_vec(), Builder::new());
    for (symbol, at) in owners {
        let modname = modules[at].modname.as_bytes();
        let key = [b"symbol:", symbol].concat();
        text.extend([b"alias ", &key[..], b" ", modname, b"\n"].concat());
        index.insert(&key, modname, at as u32).map_err(bin("modules.symbols.bin"))?;
    }
    Ok((text, index.emit().map_err(bin("modules.symbols.bin"))?))
}

fn soft(modules: &[Module], key: &str, head: &str) -> Vec<u8> {
    let mut text = head.as_bytes().to_vec();
    for module in modules {
        for value in module.values(key) {
            text.extend([key.as_bytes(), b" ", module.modname.as_bytes(), b" ", value, b"\n"].concat());
        }
    }
    text
}

fn builtin_bin(list: Option<&[u8]>) -> Result<Vec<u8>> {
    let Some(list) = list else { return Ok(Vec::new()) };
    let mut index = Builder::new();
    for path in String::from_utf8_lossy(list).lines().filter(|path| !path.is_empty()) {
        let modname = super::tree::modname(path);
        index.insert(modname.as_bytes(), b"", 0).map_err(bin("modules.builtin.bin"))?;
    }
    index.emit().map_err(bin("modules.builtin.bin"))
}

fn builtin_alias_bin(modinfo: Option<&[u8]>) -> Result<Vec<u8>> {
    let Some(modinfo) = modinfo else { return Ok(Vec::new()) };
    let mut index = Builder::new();
    let mut key = Vec::new();
    for text in modinfo.split(|&byte| byte == 0) {
        let Some((modname, rest)) = crate::bytes::split_once(text, b'.') else { continue };
        let Some(alias) = rest.strip_prefix(b"alias=") else { continue };
        key.resize(alias.len(), 0);
        if let Ok(key) = crate::name::normalize(alias, &mut key) {
            index.insert(key, modname, 0).map_err(bin("modules.builtin.alias.bin"))?;
        }
    }
    index.emit().map_err(bin("modules.builtin.alias.bin"))
}

/// Lists the device nodes that load a module when they are opened: `mod name c10:200`.
fn devname(modules: &[Module]) -> Vec<u8> {
    let mut text = Vec::new();
    for module in modules {
        let (mut name, mut number) = (None, None);
        for alias in module.aliases().filter_map(|alias| std::str::from_utf8(alias).ok()) {
            name = name.or(alias.strip_prefix("devname:"));
            let kinds = [("char-major-", 'c'), ("block-major-", 'b')];
            number = number.or(kinds.iter().find_map(|(start, kind)| {
                let (major, minor) = alias.strip_prefix(start)?.split_once('-')?;
                Some((*kind, major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
            }));
        }
        if let (Some(name), Some((kind, major, minor))) = (name, number) {
            if text.is_empty() {
                text.extend(b"# Device nodes to trigger on-demand module loading.\n");
            }
            text.extend(format!("{} {name} {kind}{major}:{minor}\n", module.modname).into_bytes());
        }
    }
    text
}
