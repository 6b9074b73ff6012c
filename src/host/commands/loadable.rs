// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of an image's modules against the kernel's: what it refuses to load is refused before it is packed.
//!
//! Source: the kernel's kernel/module/main.c, `check_modinfo`, and kernel/module/version.c, `check_version`.

use super::inputs::Inputs;
use super::symbol_versions::Known;
use crate::host::error::{Error, Result};
use crate::host::image::append::ExistingImage;
use crate::host::modules::module::Module;
use crate::host::modules::vermagic;

/// Checks the version magic of each of `wanted`, and the versions of the symbols that it imports from other modules and
/// the kernel. Modules that `existing` has stay as they are.
///
/// # Errors
/// The first module that the kernel would refuse.
pub(super) fn check(inputs: &Inputs, existing: Option<&ExistingImage>, wanted: &[&Module]) -> Result<()> {
    let indexed = &inputs.indexed;
    let kernel = vermagic::of_kernel(&indexed.modules, &indexed.tree.kver);
    let packed: Vec<&Module> = wanted
        .iter()
        .copied()
        .filter(|module| !existing.is_some_and(|existing| existing.has(&module.modname)))
        .collect();
    let known = Known::new(inputs, existing, &packed)?;
    for module in packed {
        let what = kernel.and_then(|kernel| other_magic(module, kernel, &indexed.tree.kver));
        if let Some(what) = what.or_else(|| known.refusal(module)) {
            let advice = "pass a tree with its build for this kernel, or leave it out: modules.exclude";
            return Err(Error::input(indexed.tree.dir.join(&module.path), format!("{what}; {advice}")));
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
