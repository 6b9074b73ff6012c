// SPDX-License-Identifier: MIT OR Apache-2.0
//! The modules.* files: text and binary indexes of a set of modules, byte for byte kmod's. Source: depmod(8),
//! kmod's tools/depmod.c.

use crate::bytes::split_once;
use crate::host::error::{Error, Result};
use crate::host::modules::file::modname;
use crate::host::modules::graph::Graph;
use crate::host::modules::module::{Module, ModuleId};
use crate::host::modules::symbols::SymbolOwners;
use crate::host::modules::tree::Builtin;
use crate::modules::index::{Builder, WriteError};
use crate::modules::name;
use std::collections::HashSet;

/// The name and content of a modules.* file.
pub type IndexFile = (&'static str, Vec<u8>);

/// The modules.* files of a tree.
#[derive(Debug, Default)]
pub struct Emitted {
    /// The files, in the order in which depmod writes them.
    pub files: Vec<IndexFile>,
    /// Entries that an index cannot hold and that were skipped, for the user.
    pub warnings: Vec<String>,
    /// Aliases that a module has twice, as `alias modname`.
    pub duplicates: Vec<String>,
}

/// A text file and its binary index.
#[derive(Default)]
struct Pair {
    text: Vec<u8>,
    index: Vec<u8>,
    warnings: Vec<String>,
}

/// The two indexes of built-in modules.
#[derive(Default)]
struct BuiltinIndexes {
    names: Vec<u8>,
    aliases: Vec<u8>,
    warnings: Vec<String>,
}

/// Emits all modules.* files for `modules`, which are in depmod's order. Skips entries that an index cannot hold.
///
/// # Errors
/// A dependency cycle, or an index above 256 MiB.
pub fn indexes(builtin: Builtin<'_>, modules: &[Module]) -> Result<Vec<IndexFile>> {
    let owners = SymbolOwners::new(modules);
    let graph = Graph::with(modules, &owners)?;
    emit(builtin, modules, &owners, &graph).map(|emitted| emitted.files)
}

/// Like [`indexes`], with `owners` and `graph` of the same modules, and with warnings.
///
/// # Errors
/// An index above 256 MiB.
pub fn emit(builtin: Builtin<'_>, modules: &[Module], owners: &SymbolOwners<'_>, graph: &Graph) -> Result<Emitted> {
    let (dep, (alias, (symbols, builtins))) = rayon::join(
        || dep(modules, graph),
        || rayon::join(|| alias(modules), || rayon::join(|| symbols(modules, owners), || builtins(builtin))),
    );
    let (dep, (alias, duplicates), symbols, builtins) = (dep?, alias?, symbols?, builtins?);
    let (devname, devname_warnings) = devname(modules);
    let (softdep, softdep_warnings) =
        soft(modules, "softdep", "# Soft dependencies extracted from modules themselves.\n");
    let (weakdep, weakdep_warnings) =
        soft(modules, "weakdep", "# Weak dependencies extracted from modules themselves.\n");
    Ok(Emitted {
        files: vec![
            ("modules.dep", dep.text),
            ("modules.dep.bin", dep.index),
            ("modules.alias", alias.text),
            ("modules.alias.bin", alias.index),
            ("modules.softdep", softdep),
            ("modules.weakdep", weakdep),
            ("modules.symbols", symbols.text),
            ("modules.symbols.bin", symbols.index),
            ("modules.builtin.bin", builtins.names),
            ("modules.builtin.alias.bin", builtins.aliases),
            ("modules.devname", devname),
        ],
        warnings: [
            dep.warnings,
            alias.warnings,
            softdep_warnings,
            weakdep_warnings,
            symbols.warnings,
            builtins.warnings,
            devname_warnings,
        ]
        .concat(),
        duplicates,
    })
}

/// Adds a warning if `result`, of inserting an entry of `source` into the index `file`, is an error.
fn warn_if_skipped(warnings: &mut Vec<String>, file: &str, source: &str, result: Result<(), impl std::fmt::Display>) {
    if let Err(error) = result {
        warnings.push(format!("{file}: skipped an entry of {source}: {error}"));
    }
}

fn too_large(file: &'static str) -> impl Fn(WriteError) -> Error {
    move |source| Error::Index { file, source }
}

/// Emits modules.dep: for each module its path and those of all its dependencies.
fn dep(modules: &[Module], graph: &Graph) -> Result<Pair> {
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
        warn_if_skipped(&mut dep.warnings, "modules.dep.bin", &module.path, result);
        dep.text.push(b'\n');
    }
    dep.index = index.emit().map_err(too_large("modules.dep.bin"))?;
    Ok(dep)
}

/// Emits modules.alias, and lists the aliases that a module has twice.
fn alias(modules: &[Module]) -> Result<(Pair, Vec<String>)> {
    let (mut alias, mut index, mut duplicates) = (Pair::default(), Builder::new(), Vec::new());
    alias.text.extend(b"# Aliases extracted from modules themselves.\n");
    let (mut buf, mut seen) = (Vec::new(), HashSet::new());
    for (id, module) in ModuleId::all(modules.len()).zip(modules) {
        let modname = module.modname.as_bytes();
        seen.clear();
        for pattern in module.aliases() {
            if has_line_break(pattern) {
                alias.warnings.push(format!("modules.alias: skipped an alias of {} with a line break", module.path));
                continue;
            }
            line(&mut alias.text, &[b"alias ", pattern, b" ", modname]);
            let result = insert_alias(&mut index, &mut buf, pattern, modname, id.0);
            if !seen.insert(buf.clone()) {
                duplicates.push(format!("{} {}", String::from_utf8_lossy(&buf), module.modname));
            }
            warn_if_skipped(&mut alias.warnings, "modules.alias.bin", &module.path, result);
        }
    }
    alias.index = index.emit().map_err(too_large("modules.alias.bin"))?;
    Ok((alias, duplicates))
}

/// Inserts an alias by its normalized pattern, for which `buf` is the buffer.
fn insert_alias(
    index: &mut Builder,
    buf: &mut Vec<u8>,
    pattern: &[u8],
    modname: &[u8],
    priority: u32,
) -> Result<(), String> {
    buf.clear();
    buf.extend_from_slice(pattern);
    match name::normalize_in_place(buf) {
        Ok(()) => index.insert(buf, modname, priority).map_err(|error| error.to_string()),
        Err(error) => Err(format!("{} {error}", String::from_utf8_lossy(pattern))),
    }
}

/// Emits modules.symbols, sorted by symbol. (kmod writes the text in the order of its hash table.)
fn symbols(modules: &[Module], owners: &SymbolOwners<'_>) -> Result<Pair> {
    let (mut symbols, mut index) = (Pair::default(), Builder::new());
    symbols.text.extend(b"# Aliases for symbols, used by symbol_request().\n");
    let mut key = b"symbol:".to_vec();
    for (symbol, id) in owners.by_name() {
        if has_line_break(symbol) {
            let path = &modules[id].path;
            symbols.warnings.push(format!("modules.symbols: skipped a symbol of {path} with a line break"));
            continue;
        }
        let modname = modules[id].modname.as_bytes();
        key.truncate(b"symbol:".len());
        key.extend(symbol);
        line(&mut symbols.text, &[b"alias ", &key, b" ", modname]);
        let result = index.insert(&key, modname, id.0);
        warn_if_skipped(&mut symbols.warnings, "modules.symbols.bin", &modules[id].path, result);
    }
    symbols.index = index.emit().map_err(too_large("modules.symbols.bin"))?;
    Ok(symbols)
}

/// Whether `value`, of a module, would end its line in a text file: what follows could name any module.
fn has_line_break(value: &[u8]) -> bool {
    value.contains(&b'\n')
}

/// Emits modules.softdep or modules.weakdep: the modinfo values of `key`, after the line `head`. Also returns warnings.
fn soft(modules: &[Module], key: &str, head: &str) -> (Vec<u8>, Vec<String>) {
    let (mut text, mut warnings) = (head.as_bytes().to_vec(), Vec::new());
    for module in modules {
        for value in module.values(key) {
            if has_line_break(value) {
                warnings.push(format!("modules.{key}: skipped a {key} of {} with a line break", module.path));
                continue;
            }
            line(&mut text, &[key.as_bytes(), b" ", module.modname.as_bytes(), b" ", value]);
        }
    }
    (text, warnings)
}

/// Emits the indexes of built-in modules. An index whose source is missing is an empty file.
fn builtins(builtin: Builtin<'_>) -> Result<BuiltinIndexes> {
    let mut builtins = BuiltinIndexes::default();
    if let Some(list) = builtin.list {
        let mut index = Builder::new();
        for path in String::from_utf8_lossy(list).lines() {
            if path.starts_with(|first: char| first.is_ascii_alphabetic()) {
                let result = index.insert(modname(path).as_bytes(), b"", 0);
                warn_if_skipped(&mut builtins.warnings, "modules.builtin.bin", "modules.builtin", result);
            } else {
                builtins.warnings.push(format!("modules.builtin: skipped a line that is not a path: {path:?}"));
            }
        }
        builtins.names = index.emit().map_err(too_large("modules.builtin.bin"))?;
    }
    if let Some(modinfo) = builtin.modinfo {
        let (mut index, mut buf) = (Builder::new(), Vec::new());
        for text in modinfo.split(|&byte| byte == 0) {
            let Some((modname, b"alias", alias)) = builtin_info(text) else { continue };
            let result = insert_alias(&mut index, &mut buf, alias, modname, 0);
            warn_if_skipped(&mut builtins.warnings, "modules.builtin.alias.bin", "modules.builtin.modinfo", result);
        }
        builtins.aliases = index.emit().map_err(too_large("modules.builtin.alias.bin"))?;
    }
    Ok(builtins)
}

/// Splits a string of modules.builtin.modinfo: `modname.key=value`.
fn builtin_info(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (modname, rest) = split_once(text, b'.')?;
    let (key, value) = split_once(rest, b'=')?;
    (!modname.is_empty() && !value.is_empty()).then_some((modname, key, value))
}

/// Emits modules.devname: the device nodes that load a module when they are opened, as `modname node c10:200`. Also
/// returns warnings.
fn devname(modules: &[Module]) -> (Vec<u8>, Vec<String>) {
    let (mut text, mut warnings) = (Vec::new(), Vec::new());
    for module in modules {
        let (mut node, mut number) = (None, None);
        for alias in module.aliases().filter(|alias| !has_line_break(alias)) {
            // as in kmod the last of each is taken, until both are known
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
            warnings.push(format!("modules.devname: skipped {node} of {}: it has no device number", module.path));
            continue;
        };
        if text.is_empty() {
            text.extend(b"# Device nodes to trigger on-demand module loading.\n");
        }
        let number = format!("{kind}{major}:{minor}");
        line(&mut text, &[module.modname.as_bytes(), b" ", node, b" ", number.as_bytes()]);
    }
    (text, warnings)
}

/// Parses `char-major-10-200` or `block-major-7-0`. Ignores the text after the second number.
fn device_number(alias: &[u8]) -> Option<(char, u32, u32)> {
    let alias = std::str::from_utf8(alias).ok()?;
    let kinds = [("char-major-", 'c'), ("block-major-", 'b')];
    let (rest, kind) = kinds.iter().find_map(|(start, kind)| Some((alias.strip_prefix(start)?, *kind)))?;
    let (major, minor) = rest.split_once('-')?;
    let digits = minor.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(minor.len());
    Some((kind, major.parse().ok()?, minor[..digits].parse().ok()?))
}

/// Appends a line that consists of `parts`.
fn line(text: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        text.extend_from_slice(part);
    }
    text.push(b'\n');
}
