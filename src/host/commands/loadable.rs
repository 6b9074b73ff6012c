//! Checks of an image's modules against the kernel's: what it refuses to load is refused before it is packed.
//!
//! Source: the kernel's kernel/module/main.c, `check_modinfo`, and kernel/module/version.c, `check_version`.

use crate::host::error::{Error, Result};
use crate::host::modules::module::Module;
use crate::host::modules::vermagic;
use crate::host::select::indexed_tree::IndexedTree;
use std::collections::HashMap;

/// Checks the version magic of each of `wanted`, and the versions of the symbols that it imports from other modules.
///
/// # Errors
/// The first module that the kernel would refuse.
pub(super) fn check(indexed: &IndexedTree, wanted: &[&Module]) -> Result<()> {
    let fault = |module: &Module, what: String| {
        let advice = "pass a tree with its build for this kernel, or leave it out: modules.exclude";
        Err(Error::input(indexed.tree.dir.join(&module.path), format!("{what}; {advice}")))
    };
    let kernel = vermagic::of_kernel(&indexed.modules, &indexed.tree.kver);
    let exports = exports(&indexed.modules);
    for module in wanted {
        if let Some(what) = kernel.and_then(|kernel| other_magic(module, kernel, &indexed.tree.kver)) {
            return fault(module, what);
        }
        if let Some((symbol, owner)) = other_version(module, &exports) {
            let symbol = String::from_utf8_lossy(symbol);
            return fault(
                module,
                format!("the kernel refuses it: disagrees with {owner} about the version of {symbol}"),
            );
        }
    }
    Ok(())
}

/// Compares the version magic of a module with the kernel's.
fn other_magic(module: &Module, kernel: &[u8], kver: &str) -> Option<String> {
    let own = module.vermagic()?;
    let has_versions = |magic: &[u8]| magic.split(|&byte| byte == b' ').any(|word| word == b"modversions");
    if vermagic::is_same(own, kernel, has_versions(own) && has_versions(kernel)) {
        return None;
    }
    let (release, own_text, kernel) = (
        String::from_utf8_lossy(vermagic::release(own)),
        String::from_utf8_lossy(own),
        String::from_utf8_lossy(kernel),
    );
    let what = match vermagic::release(own) == kver.as_bytes() {
        true => "is built with other options than the kernel".into(),
        false => format!("is for Linux {release}, not {kver}"),
    };
    let (own_text, kernel) = (own_text.trim_end(), kernel.trim_end());
    let differences = [("module", own_text, kernel), ("kernel", kernel, own_text)].map(|(owner, these, those)| {
        let is_only_here = |word: &&str| !those.split(' ').any(|other| other == *word);
        let words: Vec<&str> = these.split(' ').skip(1).filter(is_only_here).collect();
        if words.is_empty() { String::new() } else { format!(", only the {owner} has {}", words.join(" ")) }
    });
    Some(format!("{what}: vermagic `{own_text}`, the kernel's `{kernel}`{}", differences.concat()))
}

/// The versions in which modules export a symbol, each with the module.
type Exports<'a> = HashMap<&'a [u8], Vec<(u32, &'a str)>>;

fn exports(modules: &[Module]) -> Exports<'_> {
    let mut exports = Exports::new();
    for module in modules {
        for symbol in module.exports.iter() {
            let versions = exports.entry(symbol.name).or_default();
            versions.extend(symbol.crc.map(|crc| (crc, module.path.as_str())));
        }
    }
    exports
}

/// Finds an import of which all modules that export it have another version.
fn other_version<'a>(module: &'a Module, exports: &Exports<'a>) -> Option<(&'a [u8], &'a str)> {
    module.imports.iter().find_map(|import| {
        let crc = import.crc?;
        let versions = exports.get(import.name)?;
        let (_, owner) = versions.first()?;
        versions.iter().all(|(version, _)| *version != crc).then_some((import.name, *owner))
    })
}
