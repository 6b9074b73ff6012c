// SPDX-License-Identifier: MIT OR Apache-2.0
//! Version magic: the kernel release and build options that a module was built for. Compares two as the kernel does.
//!
//! Source: the kernel's include/linux/vermagic.h and kernel/module/version.c, `same_magic`.

use super::module::Module;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Returns the kernel release of a version magic: its first word.
pub fn release(vermagic: &[u8]) -> &[u8] {
    vermagic.split(|&byte| byte == b' ').next().unwrap_or_default()
}

/// Whether a kernel with the version magic `kernel` loads a module with `vermagic`. With symbol versions the kernel
/// does not compare the release, because it compares the symbols.
pub fn is_same(vermagic: &[u8], kernel: &[u8], has_versions: bool) -> bool {
    let compared = |vermagic: &[u8]| match has_versions {
        true => vermagic.strip_prefix(release(vermagic)).unwrap_or_default().to_vec(),
        false => vermagic.to_vec(),
    };
    compared(vermagic) == compared(kernel)
}

/// Returns the kernel's version magic: that of most modules for its release `kver`, of its own modules if there are any.
pub fn of_kernel<'a>(modules: &'a [Module], kver: &str) -> Option<&'a [u8]> {
    let of = |dir: &str| {
        let modules = modules.iter().filter(|module| module.path.starts_with(dir));
        most_common(modules.filter_map(Module::vermagic).filter(|vermagic| release(vermagic) == kver.as_bytes()))
    };
    of("kernel/").or_else(|| of(""))
}

/// Returns the release that most of `modules` are for, if none of them is for one of `names`.
pub fn other_release<'a>(modules: &'a [Module], names: &[String]) -> Option<&'a str> {
    let releases = || modules.iter().filter_map(Module::vermagic).map(release);
    let is_named = |release: &[u8]| names.iter().any(|name| name.as_bytes() == release);
    if releases().any(is_named) {
        return None;
    }
    most_common(releases()).and_then(|release| str::from_utf8(release).ok()).filter(|release| !release.is_empty())
}

/// Returns the directories near `dir` that hold the modules of the kernel `release`.
pub fn right_dirs(dir: &Path, release: &str) -> Vec<PathBuf> {
    let below = ["", "modules", "lib/modules", "usr/lib/modules"].map(|place| dir.join(place).join(release));
    let full = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let above = full.ancestors().filter(|above| above.ends_with(release)).map(Path::to_owned);
    let is_tree = |found: &PathBuf| found.is_dir() && Path::new(release).components().count() == 1;
    below.into_iter().chain(above).filter(is_tree).collect()
}

fn most_common<'a>(all: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let mut counts: BTreeMap<&[u8], usize> = BTreeMap::new();
    all.for_each(|one| *counts.entry(one).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(one, _)| one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_symbol_versions_the_release_may_differ_and_nothing_else() {
        let kernel = b"6.1.0 SMP preempt mod_unload modversions ";
        for (vermagic, with, without) in [
            (&b"6.1.0 SMP preempt mod_unload modversions "[..], true, true),
            (b"6.1.9 SMP preempt mod_unload modversions ", true, false),
            (b"6.1.0 SMP mod_unload modversions ", false, false),
            (b"6.1.0", false, false),
            (b"", false, false),
        ] {
            assert_eq!((is_same(vermagic, kernel, true), is_same(vermagic, kernel, false)), (with, without));
        }
    }
}
