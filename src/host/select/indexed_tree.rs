//! A module tree, read and indexed in memory: the modules that boards select from. Read once, from the cache where
//! possible, and used for any number of boards.

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
use crate::host::modules::graph::Graph;
use crate::host::modules::module::{Module, ModuleId};
use crate::host::modules::symbols::SymbolOwners;
use crate::host::modules::tree::Tree;
use crate::host::modules::{Progress, read_tree};
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
    pub fn read(dir: &Path, caches: Option<PathBuf>, builtin: Option<&Path>) -> Result<IndexedTree> {
        let mut tree = Tree::open(dir)?;
        if let Some(path) = builtin {
            tree.builtin = Some(input::read_named(path)?);
        }
        let modules = read_modules(&tree, caches.as_deref());
        let owners = SymbolOwners::new(&modules);
        let graph = Graph::with(&modules, &owners)?;
        let files = depmod::emit(tree.builtin(), &modules, &owners, &graph)?.files;
        Ok(IndexedTree { graph, tree, modules, files })
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
        let drivers = Drivers::new(dir, modules, &self.graph, resolver, kernel);
        let ids = ModuleId::all(modules.len()).map(|id| (modules[id].modname.as_str(), id)).collect();
        Catalogue { dir, modules, graph: &self.graph, resolver, kconfig, drivers, ids }
    }

    fn file(&self, wanted: &str) -> &[u8] {
        self.files.iter().find(|(name, _)| *name == wanted).map_or(&[], |(_, data)| data)
    }

    /// Returns the path of boot/NAME-KVER in the root that holds the tree, if it exists.
    pub fn boot_file(&self, name: &str) -> Option<PathBuf> {
        self.roots().map(|root| root.join(format!("boot/{name}-{}", self.tree.kver))).find(|path| path.is_file())
    }

    /// Returns the directories where distributions install device trees for the tree's kernel.
    pub fn dtb_dirs(&self) -> Vec<PathBuf> {
        let kver = &self.tree.kver;
        let below = |root: PathBuf| {
            let places =
                ["usr/lib/linux-image-KVER", "lib/linux-image-KVER", "boot/dtbs/KVER", "boot/dtb-KVER", "boot"];
            places.map(|place| root.join(place.replace("KVER", kver)))
        };
        self.roots().flat_map(below).chain([self.tree.dir.join("dtb")]).collect()
    }

    /// Yields the roots that may hold the tree: ROOT of ROOT/lib/modules/KVER, and the directory above it for ROOT/usr.
    fn roots(&self) -> impl Iterator<Item = PathBuf> {
        let full = std::fs::canonicalize(&self.tree.dir).unwrap_or_else(|_| self.tree.dir.clone());
        let roots: Vec<PathBuf> = full.ancestors().skip(3).take(2).map(Path::to_owned).collect();
        roots.into_iter()
    }
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
