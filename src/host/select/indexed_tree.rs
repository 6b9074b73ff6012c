// SPDX-License-Identifier: MIT OR Apache-2.0
//! A module tree, read and indexed in memory: the modules that boards select from. Read once, from the cache where
//! possible, and used for any number of boards.

use super::builtin::Builtins;
use super::catalogue::Catalogue;
use super::load_order::{LoadList, LoadOrder};
use crate::host::arch::Arch;
use crate::host::board::kconfig::Kconfig;
use crate::host::depmod;
use crate::host::depmod::IndexFile;
use crate::host::dt::driver::Drivers;
use crate::host::dt::vmlinux::Kernel;
use crate::host::error::{Error, Result};
use crate::host::image::pack;
use crate::host::input;
use crate::host::modules::depmod_d;
use crate::host::modules::depmod_d::DepmodConfig;
use crate::host::modules::graph::Graph;
use crate::host::modules::module::{Module, ModuleId};
use crate::host::modules::symbols::SymbolOwners;
use crate::host::modules::tree::Tree;
use crate::host::modules::vermagic;
use crate::host::modules::{Progress, read_tree};
use crate::host::root::Root;
use crate::modules::config::{Config, MARK};
use crate::modules::index::Index;
use crate::modules::resolve;
use crate::modules::resolve::{Indexes, Resolver};
use std::path::{Path, PathBuf};

/// A module tree with its indexes.
#[derive(Debug)]
pub struct IndexedTree {
    /// The tree.
    pub tree: Tree,
    /// The target's root, if the tree lies in one: ROOT of ROOT/lib/modules/KVER.
    root: Option<Root>,
    /// All readable modules, in depmod's order.
    pub modules: Vec<Module>,
    graph: Graph,
    files: Vec<IndexFile>,
}

impl IndexedTree {
    /// Reads the tree at `dir`. Modules are taken from its cache below `caches` if unchanged, and the cache is updated.
    /// An unreadable module is reported on stderr and left out. `builtin` replaces the tree's own modules.builtin.
    ///
    /// # Errors
    /// The tree or the file is missing, or modules need each other in a cycle.
    pub fn read(
        dir: &Path,
        caches: Option<PathBuf>,
        builtin: Option<&Path>,
        depmod_config: &[PathBuf],
    ) -> Result<IndexedTree> {
        check_level(dir)?;
        let (root, real) = Root::of_target(dir, "lib/modules", 1).map_err(Error::io(dir))?;
        let mut tree = open(root.as_ref(), &real, depmod_config)?;
        if let Some(path) = builtin {
            tree.builtin = Some(input::read_named(path)?);
        }
        let modules = read_modules(&tree, caches.as_deref());
        tree.kver = release_of(dir, &tree.kver, &modules)?;
        let owners = SymbolOwners::new(&modules);
        let graph = Graph::with(&modules, &owners)?;
        let files = depmod::emit(tree.builtin(), &modules, &owners, &graph)?.files;
        Ok(IndexedTree { graph, tree, root, modules, files })
    }

    /// Returns the modprobe configuration of a device: these lines of modprobe.d, and the tree's softdeps and weakdeps.
    pub fn config_text(&self, conf: &[u8]) -> Vec<u8> {
        let parts = [&[MARK][..], b"/etc/modprobe.d/initmod.conf\n", conf];
        let of_tree = ["modules.softdep", "modules.weakdep"];
        let of_tree = of_tree.map(|name| [&[MARK][..], name.as_bytes(), b"\n", self.file(name)].concat());
        [parts.concat(), of_tree.concat()].concat()
    }

    /// Sorts the modules that are loaded first.
    pub fn order(&self, list: &LoadList) -> LoadOrder {
        list.order(&self.modules, &self.graph)
    }

    /// Builds the catalogue for a selection; `config_text` is from [`config_text`](IndexedTree::config_text).
    pub fn catalogue<'a>(
        &'a self,
        config_text: &'a [u8],
        kernel: Option<&'a Kernel>,
        kconfig: Option<&'a Kconfig>,
    ) -> Catalogue<'a> {
        let index = |name| Index::new(self.file(name)).expect("depmod::indexes wrote it");
        let indexes = Indexes(resolve::IndexFile::ALL.map(|file| index(file.file_name())));
        let resolver = Resolver { indexes, config: Config::new(config_text, &[]) };
        let (dir, modules) = (self.tree.dir.as_path(), self.modules.as_slice());
        let builtins = Builtins::new(self.tree.builtin_modinfo.as_deref().unwrap_or_default());
        let drivers = Drivers::new(dir, modules, &self.graph, resolver, kernel, builtins.has_alias(b"of:"));
        let ids = ModuleId::all(modules.len()).map(|id| (modules[id].modname.as_str(), id)).collect();
        Catalogue { dir, modules, graph: &self.graph, resolver, kconfig, builtins, drivers, ids }
    }

    fn file(&self, wanted: &str) -> &[u8] {
        self.files.iter().find(|(name, _)| *name == wanted).map_or(&[], |(_, data)| data)
    }

    /// Returns the path of NAME in the tree, or of boot/NAME-KVER in the root that holds the tree, if it exists. Fedora,
    /// Arch, openSUSE, and Debian since Linux 7 install the former. Source: kernel-install(8).
    pub fn boot_file(&self, name: &str) -> Option<PathBuf> {
        let in_boot = self.root.iter().map(|root| root.path().join(format!("boot/{name}-{}", self.tree.kver)));
        self.first_file(std::iter::once(self.tree.dir.join(name)).chain(in_boot))
    }

    /// Returns the path of the kernel's Module.symvers, if it is in the tree or its root. Fedora, openSUSE and others
    /// install it as symvers, compressed; headers of distributions have it behind the link `build`.
    pub fn symvers(&self) -> Option<PathBuf> {
        let endings = ["", ".gz", ".xz", ".zst"];
        let in_tree = ["Module.symvers".to_owned(), "build/Module.symvers".to_owned()].into_iter();
        let in_tree = in_tree.chain(endings.map(|ending| format!("symvers{ending}")));
        let in_tree = in_tree.map(|name| self.tree.dir.join(name));
        let kver = &self.tree.kver;
        let in_root = endings.map(|ending| format!("boot/symvers-{kver}{ending}")).into_iter();
        let in_root = in_root.chain([format!("usr/src/linux-headers-{kver}/Module.symvers")]);
        let in_root = in_root.filter_map(|name| Some(self.root.as_ref()?.path().join(name)));
        self.first_file(in_tree.chain(in_root))
    }

    /// Finds a device tree by its path in the directories where distributions install those of the tree's kernel.
    pub fn device_tree(&self, name: &Path) -> Option<PathBuf> {
        self.first_file(self.dtb_dirs().into_iter().map(|dir| dir.join(name)))
    }

    /// Returns the directories where distributions install device trees for the tree's kernel.
    pub fn dtb_dirs(&self) -> Vec<PathBuf> {
        let places = ["usr/lib/linux-image-KVER", "lib/linux-image-KVER", "boot/dtbs/KVER", "boot/dtb-KVER", "boot"];
        let places = places.map(|place| place.replace("KVER", &self.tree.kver));
        let of_root = self.root.iter().flat_map(|root| places.each_ref().map(|place| root.path().join(place)));
        of_root.chain([self.tree.dir.join("dtb")]).collect()
    }

    /// Returns the first of `paths` that leads to a file, with its links resolved below the tree's root.
    fn first_file(&self, paths: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
        let root = self.root.clone().unwrap_or_default();
        paths.filter_map(|path| root.follow(&path).ok()).find(|path| path.is_file())
    }
}

/// Opens the tree at `dir` in a target's root, by the rules of `depmod_config`, or else of the target's own depmod.d.
fn open(root: Option<&Root>, dir: &Path, depmod_config: &[PathBuf]) -> Result<Tree> {
    let full = std::fs::canonicalize(dir).map_err(Error::io(dir))?;
    let kver = full.file_name().unwrap_or_default().to_string_lossy();
    let mut config = if depmod_config.is_empty() {
        match root {
            Some(root) => DepmodConfig::read(root, &depmod_d::dirs_of_target(root), &kver)?,
            None => DepmodConfig::default(),
        }
    } else {
        if let Some(missing) = depmod_config.iter().find(|path| !path.exists()) {
            return Err(Error::input(missing, "no such file or directory (--depmod-config)"));
        }
        DepmodConfig::read(&Root::default(), depmod_config, &kver)?
    };
    let root = root.cloned().unwrap_or_default();
    let mut warnings = std::mem::take(&mut config.warnings);
    warnings.extend(config.externals.drain(..).map(|external| {
        format!("{external}: skipped, an external directory of the target's depmod.d; the tree lacks its modules")
    }));
    let mut tree = Tree::open_with(&root, dir, &config)?.with_modules()?;
    let other = tree.other_in_dep(&root)?;
    if let Some((modname, listed, used)) = other.first() {
        let more = if other.len() > 1 { format!(" (and {} more)", other.len() - 1) } else { String::new() };
        let what = format!("{modname} is {listed} there, and {used} by the target's depmod.d{more}");
        let advice = "run depmod for the target, or pass --depmod-config DIR";
        warnings.push(format!("{}: {what}; {advice}", dir.join("modules.dep").display()));
    }
    tree.warnings.extend(warnings);
    Ok(tree)
}

/// Refuses a root in the place of its module tree.
///
/// # Errors
/// The directory is a root, or its lib/modules cannot be read.
fn check_level(dir: &Path) -> Result<()> {
    let above = ["lib/modules", "usr/lib/modules"].map(|place| dir.join(place));
    let mut trees = Vec::new();
    for above in above {
        let paths = input::names(&above)?.into_iter().map(|name| above.join(name));
        trees.extend(paths.filter(|path| path.is_dir()).map(named));
    }
    match trees[..] {
        [] => Ok(()),
        _ => Err(Error::input(dir, format!("a root, not a module tree; pass {}", trees.join(" or ")))),
    }
}

/// Returns the name of the tree at `dir`, if modules in it are for that kernel. `dir` may be a link: either name counts.
///
/// # Errors
/// All modules are for other kernels: the loader looks for them in the directory with the kernel's name.
fn release_of(dir: &Path, kver: &str, modules: &[Module]) -> Result<String> {
    let own = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = [kver.to_owned(), own];
    let Some(release) = vermagic::other_release(modules, &names) else {
        let is_own = |name: &&String| {
            modules.iter().filter_map(Module::vermagic).any(|magic| vermagic::release(magic) == name.as_bytes())
        };
        return Ok(names.iter().find(is_own).map_or(kver, |name| name).to_owned());
    };
    let right: Vec<String> = vermagic::right_dirs(dir, release).into_iter().map(named).collect();
    let advice = match right[..] {
        [] => format!("rename the directory to `{release}`"),
        _ => format!("pass {}", right.join(" or ")),
    };
    Err(Error::input(
        dir,
        format!("the modules are for Linux {release}, and not in a directory of that name; {advice}"),
    ))
}

/// Returns the argument that names a module tree.
fn named(dir: PathBuf) -> String {
    format!("--modules {}", dir.display())
}

/// Reads the modules that can be read, from the cache in `caches` if it has them; reports the others.
fn read_modules(tree: &Tree, caches: Option<&Path>) -> Vec<Module> {
    let report = |what: &dyn std::fmt::Display| eprintln!("mkinitmod: {what}");
    tree.warnings.iter().for_each(|warning| report(warning));
    let scan = read_tree(tree, caches, &Progress::new(tree.files.len()));
    scan.cache_rejected.iter().for_each(|error| report(error));
    let modules = scan.results.into_iter().filter_map(|result| result.map_err(|fault| report(&fault)).ok()).collect();
    scan.cache_unwritten.iter().for_each(|error| report(error));
    modules
}

/// Checks that the tree is for this architecture: otherwise it would just seem to lack the board's modules.
///
/// # Errors
/// It is for another one, or its first module cannot be read.
pub fn check_arch(indexed: &IndexedTree, arch: Arch) -> Result<()> {
    match indexed.modules.first() {
        Some(module) => pack::read(&indexed.tree, module, arch).map(drop),
        None => Err(Error::input(&indexed.tree.dir, "no module in it can be read")),
    }
}
