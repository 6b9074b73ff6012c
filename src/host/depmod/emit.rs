//! The modules.* files: text and binary indexes of a set of modules, byte for byte kmod's. Source: depmod(8),
//! kmod's tools/depmod.c.

use crate::bytes::split_once;
use crate::host::error::{Error, Result};
use crate::host::modules::file::modname;
use crate::host::modules::graph::Graph;
use crate::host::modules::module::{Module, ModuleId};
use crate::host::modules::symbols::Linkage;
use crate::modules::index::{Builder, WriteError};
use crate::modules::name;
use std::collections::HashSet;

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

/// What came of emitting.
#[derive(Debug, Default)]
pub struct Emitted {
    /// In the order in which depmod writes them.
    pub files: Vec<IndexFile>,
    /// What the formats could not hold, and was left out.
    pub warnings: Vec<String>,
    /// Aliases that a module has twice, as `alias modname`.
    pub duplicates: Vec<String>,
}

/// A text file, its index, and what did not fit.
#[derive(Default)]
struct Pair {
    text: Vec<u8>,
    index: Vec<u8>,
    warnings: Vec<String>,
    duplicates: Vec<String>,
}

/// Emits all index files for `modules`, which are in depmod's order. What the format can't hold is left out.
///
/// # Errors
/// A cycle, or an index that would pass 256 MiB.
pub fn indexes(builtin: Builtin<'_>, modules: &[Module]) -> Result<Vec<IndexFile>> {
    emit(builtin, modules, &Linkage::new(modules)).map(|emitted| emitted.files)
}

/// As [`indexes`], with the symbols of `linkage`, which was made of `modules`, and with what there is to warn of.
///
/// # Errors
/// A cycle, or an index that would pass 256 MiB.
pub fn emit(builtin: Builtin<'_>, modules: &[Module], linkage: &Linkage<'_>) -> Result<Emitted> {
    let (dep, (alias, (symbols, builtins))) = rayon::join(
        || dep(modules, linkage),
        || rayon::join(|| alias(modules), || rayon::join(|| symbols(modules, linkage), || builtins(builtin))),
    );
    let (dep, alias, symbols, builtins) = (dep?, alias?, symbols?, builtins?);
    let (devname, homeless) = devname(modules);
    Ok(Emitted {
        files: vec![
            ("modules.dep", dep.text),
            ("modules.dep.bin", dep.index),
            ("modules.alias", alias.text),
            ("modules.alias.bin", alias.index),
            ("modules.softdep", soft(modules, "softdep", "# Soft dependencies extracted from modules themselves.\n")),
            ("modules.weakdep", soft(modules, "weakdep", "# Weak dependencies extracted from modules themselves.\n")),
            ("modules.symbols", symbols.text),
            ("modules.symbols.bin", symbols.index),
            ("modules.builtin.bin", builtins.text),
            ("modules.builtin.alias.bin", builtins.index),
            ("modules.devname", devname),
        ],
        warnings: [dep.warnings, alias.warnings, symbols.warnings, builtins.warnings, homeless].concat(),
        duplicates: alias.duplicates,
    })
}

/// Turns what can't be inserted into a warning of `whose` entry.
fn left_out(warnings: &mut Vec<String>, file: &str, whose: &str, result: Result<(), impl std::fmt::Display>) {
    if let Err(error) = result {
        warnings.push(format!("{file}: an entry of {whose} is left out: {error}"));
    }
}

fn too_large(file: &'static str) -> impl Fn(WriteError) -> Error {
    move |source| Error::Index { file, source }
}

fn dep(modules: &[Module], linkage: &Linkage<'_>) -> Result<Pair> {
    let graph = Graph::with(modules, linkage)?;
    let (mut dep, mut index) = (Pair::default(), Builder::new());
    for (id, module) in ModuleId::all(modules.len()).zip(modules) {
        let start = dep.text.len();
        dep.text.extend(module.path.as_bytes());
        dep.text.push(b':');
        for needed in graph.closure(id) {
            dep.text.push(b' ');
            dep.text.extend(modules[needed].path.as_bytes());
        }
        let result = index.insert(module.modname.as_bytes(), &dep.text[start..], id.0);
        left_out(&mut dep.warnings, "modules.dep.bin", &module.path, result);
        dep.text.push(b'\n');
    }
    dep.index = index.emit().map_err(too_large("modules.dep.bin"))?;
    Ok(dep)
}

fn alias(modules: &[Module]) -> Result<Pair> {
    let (mut alias, mut index) = (Pair::default(), Builder::new());
    alias.text.extend(b"# Aliases extracted from modules themselves.\n");
    let (mut buf, mut seen) = (Vec::new(), HashSet::new());
    for (id, module) in ModuleId::all(modules.len()).zip(modules) {
        let modname = module.modname.as_bytes();
        seen.clear();
        for pattern in module.aliases() {
            line(&mut alias.text, &[b"alias ", pattern, b" ", modname]);
            if !seen.insert(pattern) {
                alias.duplicates.push(format!("{} {}", String::from_utf8_lossy(pattern), module.modname));
            }
            buf.clear();
            buf.extend_from_slice(pattern);
            match name::normalize_in_place(&mut buf) {
                Ok(()) => {
                    let result = index.insert(&buf, modname, id.0);
                    left_out(&mut alias.warnings, "modules.alias.bin", &module.path, result);
                }
                Err(error) => {
                    let what = format!("{} {error}", String::from_utf8_lossy(pattern));
                    left_out(&mut alias.warnings, "modules.alias.bin", &module.path, Err(what));
                }
            }
        }
    }
    alias.index = index.emit().map_err(too_large("modules.alias.bin"))?;
    Ok(alias)
}

/// kmod writes the text in the order of its hash table; here it is sorted.
fn symbols(modules: &[Module], linkage: &Linkage<'_>) -> Result<Pair> {
    let (mut symbols, mut index) = (Pair::default(), Builder::new());
    symbols.text.extend(b"# Aliases for symbols, used by symbol_request().\n");
    let mut key = b"symbol:".to_vec();
    for (symbol, id) in linkage.by_name() {
        let modname = modules[id].modname.as_bytes();
        key.truncate(b"symbol:".len());
        key.extend(symbol);
        line(&mut symbols.text, &[b"alias ", &key, b" ", modname]);
        let result = index.insert(&key, modname, id.0);
        left_out(&mut symbols.warnings, "modules.symbols.bin", &modules[id].path, result);
    }
    symbols.index = index.emit().map_err(too_large("modules.symbols.bin"))?;
    Ok(symbols)
}

fn soft(modules: &[Module], key: &str, head: &str) -> Vec<u8> {
    let mut text = head.as_bytes().to_vec();
    for module in modules {
        for value in module.values(key) {
            line(&mut text, &[key.as_bytes(), b" ", module.modname.as_bytes(), b" ", value]);
        }
    }
    text
}

/// Emits the two indexes of what is built in; without their sources they are empty files.
fn builtins(builtin: Builtin<'_>) -> Result<Pair> {
    let mut builtins = Pair::default();
    if let Some(list) = builtin.list {
        let mut index = Builder::new();
        for path in String::from_utf8_lossy(list).lines() {
            if path.starts_with(|first: char| first.is_ascii_alphabetic()) {
                let result = index.insert(modname(path).as_bytes(), b"", 0);
                left_out(&mut builtins.warnings, "modules.builtin.bin", "modules.builtin", result);
            } else {
                builtins.warnings.push(format!("modules.builtin: no path: {path:?}"));
            }
        }
        builtins.text = index.emit().map_err(too_large("modules.builtin.bin"))?;
    }
    if let Some(modinfo) = builtin.modinfo {
        let (mut index, mut buf) = (Builder::new(), Vec::new());
        for text in modinfo.split(|&byte| byte == 0) {
            let Some((modname, b"alias", alias)) = builtin_info(text) else { continue };
            buf.clear();
            buf.extend_from_slice(alias);
            let result = match name::normalize_in_place(&mut buf) {
                Ok(()) => index.insert(&buf, modname, 0).map_err(|error| error.to_string()),
                Err(error) => Err(format!("{} {error}", String::from_utf8_lossy(alias))),
            };
            left_out(&mut builtins.warnings, "modules.builtin.alias.bin", "modules.builtin.modinfo", result);
        }
        builtins.index = index.emit().map_err(too_large("modules.builtin.alias.bin"))?;
    }
    Ok(builtins)
}

/// Splits a string of modules.builtin.modinfo: `modname.key=value`.
fn builtin_info(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (modname, rest) = split_once(text, b'.')?;
    let (key, value) = split_once(rest, b'=')?;
    (!modname.is_empty() && !value.is_empty()).then_some((modname, key, value))
}

/// Lists the device nodes that load a module when they are opened, as `modname node c10:200`; second, what is wrong.
fn devname(modules: &[Module]) -> (Vec<u8>, Vec<String>) {
    let (mut text, mut homeless) = (Vec::new(), Vec::new());
    for module in modules {
        let (mut node, mut number) = (None, None);
        for alias in module.aliases() {
            // the last of each counts, until both are known
            if let Some(name) = alias.strip_prefix(b"devname:") {
                node = Some(name);
            } else {
                number = device_number(alias).or(number);
            }
            if node.is_some() && number.is_some() {
                break;
            }
        }
        let Some(node) = node else { continue };
        let Some((kind, major, minor)) = number else {
            let node = String::from_utf8_lossy(node);
            homeless.push(format!("{}: left out of modules.devname: {node} has no device number", module.path));
            continue;
        };
        if text.is_empty() {
            text.extend(b"# Device nodes to trigger on-demand module loading.\n");
        }
        let number = format!("{kind}{major}:{minor}");
        line(&mut text, &[module.modname.as_bytes(), b" ", node, b" ", number.as_bytes()]);
    }
    (text, homeless)
}

/// Reads `char-major-10-200` or `block-major-7-0`; what follows the second number does not count.
fn device_number(alias: &[u8]) -> Option<(char, u32, u32)> {
    let alias = std::str::from_utf8(alias).ok()?;
    let kinds = [("char-major-", 'c'), ("block-major-", 'b')];
    let (rest, kind) = kinds.iter().find_map(|(start, kind)| Some((alias.strip_prefix(start)?, *kind)))?;
    let (major, minor) = rest.split_once('-')?;
    let digits = minor.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(minor.len());
    Some((kind, major.parse().ok()?, minor[..digits].parse().ok()?))
}

fn line(text: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        text.extend_from_slice(part);
    }
    text.push(b'\n');
}
