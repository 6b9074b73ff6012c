// SPDX-License-Identifier: MIT OR Apache-2.0
//! The known versions of the symbols that an image's modules import, from the modules that export them, the kernel's
//! Module.symvers, System.map or vmlinux, or the other modules that import them too.

use super::inputs::Inputs;
use crate::host::error::{Error, Result};
use crate::host::image::append::ExistingImage;
use crate::host::modules::module::{Module, Symbol};
use crate::host::modules::vermagic;
use crate::host::modules::versions::{MODULE_LAYOUT, Versions};
use std::collections::{HashMap, HashSet};

/// The versions of symbols.
pub(super) struct Known<'a> {
    /// Of each symbol that modules export, the versions, each with its exporter.
    exports: Exports<'a>,
    /// The kernel's own, from a file of its build.
    kernel: Option<Versions>,
    /// Of each symbol that none of those has, the version that most modules import.
    imports: HashMap<&'a [u8], Imported<'a>>,
}

/// Of each symbol the versions in which modules export it.
type Exports<'a> = HashMap<&'a [u8], Vec<Exported<'a>>>;

/// A version of a symbol.
struct Exported<'a> {
    crc: u32,
    /// The module that exports it.
    module: &'a Module,
    /// Whether that is in the image that is appended to, not in the tree.
    of_image: bool,
}

/// The version of a symbol that most modules import.
struct Imported<'a> {
    crc: u32,
    /// The first module that imports it.
    module: &'a Module,
    /// Whether the modules are those of the kernel's own build.
    is_own: bool,
}

impl<'a> Known<'a> {
    /// Collects the versions of the symbols that `packed` import. The modules of `existing` count before those of the
    /// tree: they stay.
    ///
    /// # Errors
    /// A file with versions cannot be read, or is of another kernel.
    pub(super) fn new(inputs: &'a Inputs, existing: Option<&'a ExistingImage>, packed: &[&'a Module]) -> Result<Self> {
        let exports = exports(&inputs.indexed.modules, existing);
        let wanted = packed.iter().flat_map(|module| module.imports.iter()).map(|symbol| symbol.name);
        let wanted: HashSet<&[u8]> = wanted.filter(|name| !exports.contains_key(name)).collect();
        let kver = &inputs.indexed.tree.kver;
        let is_own = |module: &&Module| {
            let release = module.vermagic().map(vermagic::release);
            module.path.starts_with("kernel/") && release == Some(kver.as_bytes())
        };
        let own = inputs.indexed.modules.iter().filter(is_own);
        let mut imports = most_imported(own, &wanted, true);
        let others = most_imported(packed.iter().copied(), &wanted, false);
        others.into_iter().for_each(|(name, imported)| _ = imports.entry(name).or_insert(imported));
        let mut known = Known { exports, kernel: None, imports };
        known.kernel = known.of_kernel(inputs)?;
        Ok(known)
    }

    /// Reads the kernel's versions from the file that the user named, or the first one that has any. One that was found
    /// and is of another kernel is reported and not used.
    fn of_kernel(&self, inputs: &Inputs) -> Result<Option<Versions>> {
        if let Some(path) = &inputs.board.tree.symvers {
            let versions = Versions::read(path)?;
            return match self.other_kernel(&versions) {
                Some(what) => Err(Error::input(path, what)),
                None => Ok(Some(versions)),
            };
        }
        let indexed = &inputs.indexed;
        let vmlinux = inputs.kernel_path.clone().filter(|path| is_elf(path));
        let found = [vmlinux, indexed.symvers(), indexed.boot_file("System.map")];
        for path in found.into_iter().flatten() {
            let versions = Versions::read(&path)?;
            match self.other_kernel(&versions) {
                Some(what) => eprintln!("mkinitmod: {}: {what}; it is not used", path.display()),
                None if versions.is_empty() => {}
                None => return Ok(Some(versions)),
            }
        }
        Ok(None)
    }

    /// Returns how a file shows that it is not of the kernel that the tree is for.
    fn other_kernel(&self, versions: &Versions) -> Option<String> {
        let own = self.imports.get(MODULE_LAYOUT).filter(|own| own.is_own)?;
        let other = versions.get(MODULE_LAYOUT).filter(|crc| *crc != own.crc)?;
        Some(format!("is of another kernel: its version of module_layout is {other:#010x}, {own}"))
    }

    /// Returns why the kernel refuses a module for the version of a symbol: the first that nothing has in the version
    /// that the module was built against.
    pub(super) fn refusal(&self, module: &Module) -> Option<String> {
        module.imports.iter().find_map(|import| {
            let crc = import.crc?;
            let known = self.other_version(import, crc)?;
            let name = String::from_utf8_lossy(import.name);
            Some(format!("the kernel refuses it: it needs version {crc:#010x} of {name}, and {known}"))
        })
    }

    /// Returns the version of a symbol that is there, if `crc` is not.
    fn other_version(&self, import: Symbol<'_>, crc: u32) -> Option<String> {
        if let Some(versions) = self.exports.get(import.name) {
            let known = versions.first()?;
            return versions.iter().all(|version| version.crc != crc).then(|| known.to_string());
        }
        if let Some(kernel) = &self.kernel
            && let Some(known) = kernel.get(import.name)
        {
            return (known != crc).then(|| format!("the kernel's is {known:#010x} ({})", kernel.path.display()));
        }
        let known = self.imports.get(import.name)?;
        (known.crc != crc).then(|| known.to_string())
    }
}

impl std::fmt::Display for Imported<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (crc, path) = (self.crc, &self.module.path);
        match self.is_own {
            true => write!(f, "the kernel's own modules need {crc:#010x} ({path})"),
            false => write!(f, "{path} needs {crc:#010x}"),
        }
    }
}

impl std::fmt::Display for Exported<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = if self.of_image { " of the image" } else { "" };
        write!(f, "{}{place} exports {:#010x}", self.module.path, self.crc)
    }
}

/// Collects the versions that modules of the tree and of an image export. Those without version fit every import.
fn exports<'a>(modules: &'a [Module], existing: Option<&'a ExistingImage>) -> Exports<'a> {
    let of_image = existing.iter().flat_map(|image| &image.modules).map(|module| (module, true));
    let of_tree = modules.iter().filter(|module| !existing.is_some_and(|image| image.has(&module.modname)));
    let mut exports = Exports::new();
    for (module, of_image) in of_image.chain(of_tree.map(|module| (module, false))) {
        for symbol in module.exports.iter() {
            let versions = exports.entry(symbol.name).or_default();
            versions.extend(symbol.crc.map(|crc| Exported { crc, module, of_image }));
        }
    }
    exports
}

/// Counts the versions in which `modules` import each of the `wanted` symbols. Returns the most frequent; of several,
/// the first.
fn most_imported<'a>(
    modules: impl Iterator<Item = &'a Module>,
    wanted: &HashSet<&'a [u8]>,
    is_own: bool,
) -> HashMap<&'a [u8], Imported<'a>> {
    let mut all = HashMap::<&[u8], Vec<(usize, Imported<'_>)>>::new();
    for module in modules {
        for import in module.imports.iter().filter(|import| wanted.contains(import.name)) {
            let Some(crc) = import.crc else { continue };
            let counts = all.entry(import.name).or_default();
            match counts.iter_mut().find(|(_, known)| known.crc == crc) {
                Some((count, _)) => *count += 1,
                None => counts.push((1, Imported { crc, module, is_own })),
            }
        }
    }
    let most = |counts: Vec<(usize, Imported<'a>)>| {
        // The last of equals, from behind.
        counts.into_iter().rev().max_by_key(|(count, _)| *count).map(|(_, imported)| imported)
    };
    all.into_iter().filter_map(|(name, counts)| Some((name, most(counts)?))).collect()
}

/// Whether the file at `path` is an ELF file: a vmlinux, and no vmlinuz, which has no symbols.
fn is_elf(path: &std::path::Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    crate::host::input::open(path).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok()) && magic == *b"\x7fELF"
}
