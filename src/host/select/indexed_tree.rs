//! A module tree, read and indexed in memory: what a board's modules are selected from. Read once, from the cache where
//! that has it; used for any number of boards.

use super::load_order::{Lane, Order};
use super::select::Catalogue;
use crate::host::board::kconfig::Kconfig;
use crate::host::depmod;
use crate::host::depmod::IndexFile;
use crate::host::dt::driver::Drivers;
use crate::host::dt::vmlinux::Kernel;
use crate::host::error::{Error, Result};
use crate::host::modules::graph::Graph;
use crate::host::modules::module::Module;
use crate::host::modules::symbols::SymbolOwners;
use crate::host::modules::tree::Tree;
use crate::host::modules::{Progress, read_tree};
use crate::modules::config::{Config, MARK};
use crate::modules::index::Index;
use crate::modules::resolve::{IndexFile as Which, Indexes, Resolver};
use std::path::{Path, PathBuf};

/// A module tree with its indexes.
#[derive(Debug)]
pub struct Stock {
    /// The tree.
    pub tree: Tree,
    /// All modules that can be read, in depmod's order.
    pub modules: Vec<Module>,
    graph: Graph,
    files: Vec<IndexFile>,
}

impl Stock {
    /// Reads the tree at `dir`, out of its cache among `caches` where that has it, which is then brought up to date.
    /// What can't be read is told and left out: only a module that is wanted has to be good. What the kernel has built
    /// in `builtin` tells, where it is given, instead of the tree's own modules.builtin.
    ///
    /// # Errors
    /// There is no tree or no such file, or its modules need each other in a circle.
    pub fn read(dir: &Path, caches: Option<PathBuf>, builtin: Option<&Path>) -> Result<Stock> {
        let mut tree = Tree::open(dir)?;
        if let Some(path) = builtin {
            tree.builtin = Some(std::fs::read(path).map_err(Error::io(path))?);
        }
        let modules = read_modules(&tree, caches.as_deref());
        let owners = SymbolOwners::new(&modules);
        let graph = Graph::with(&modules, &owners)?;
        let files = depmod::emit(tree.builtin(), &modules, &owners, &graph)?.files;
        Ok(Stock { graph, tree, modules, files })
    }

    /// Returns the configuration of a device that has these lines of modprobe.d, the tree's softdeps and weakdeps included.
    pub fn config_text(&self, conf: &[u8]) -> Vec<u8> {
        let parts = [&[MARK][..], b"/etc/modprobe.d/initmod.conf\n", conf];
        let of_tree = ["modules.softdep", "modules.weakdep"];
        let of_tree = of_tree.map(|name| [&[MARK][..], name.as_bytes(), b"\n", self.file(name)].concat());
        [parts.concat(), of_tree.concat()].concat()
    }

    /// Puts what is loaded first in order.
    pub fn order(&self, lane: &Lane) -> Order {
        lane.order(&self.modules, &self.graph)
    }

    /// Lends what a selection works on; `config_text` as above made it, `kernel` and `kconfig` if they are known.
    pub fn catalogue<'a>(
        &'a self,
        config_text: &'a [u8],
        kernel: Option<&'a Kernel>,
        kconfig: Option<&'a Kconfig>,
    ) -> Catalogue<'a> {
        let index = |name| Index::new(self.file(name)).expect("it was just written");
        let indexes = Indexes(Which::ALL.map(|which| index(which.file_name())));
        let resolver = Resolver { indexes, config: Config::new(config_text, &[]) };
        let (dir, modules) = (self.tree.dir.as_path(), self.modules.as_slice());
        let drivers = Drivers::new(dir, modules, &self.graph, resolver, kernel);
        Catalogue { dir, modules, graph: &self.graph, resolver, kconfig, drivers }
    }

    fn file(&self, wanted: &str) -> &[u8] {
        self.files.iter().find(|(name, _)| *name == wanted).map_or(&[], |(_, data)| data)
    }

    /// Finds what was installed with the tree's kernel, as /boot/NAME-KVER of the tree's root.
    pub fn beside(&self, name: &str) -> Option<PathBuf> {
        self.roots().map(|root| root.join(format!("boot/{name}-{}", self.tree.kver))).find(|path| path.is_file())
    }

    /// Returns where distributions put device trees for the tree's kernel.
    pub fn dtb_dirs(&self) -> Vec<PathBuf> {
        let kver = &self.tree.kver;
        let below = |root: PathBuf| {
            let places =
                ["usr/lib/linux-image-KVER", "lib/linux-image-KVER", "boot/dtbs/KVER", "boot/dtb-KVER", "boot"];
            places.map(|place| root.join(place.replace("KVER", kver)))
        };
        self.roots().flat_map(below).chain([self.tree.dir.join("dtb")]).collect()
    }

    /// Yields what ROOT of ROOT/lib/modules/KVER may be; for ROOT/usr/lib also what is above.
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

/// Says that the tree is of another machine: it would seem to lack the board's modules.
///
/// # Errors
/// It is, or its first module can't be read.
pub fn check_machine(stock: &Stock, arch: crate::host::arch::Arch) -> Result<()> {
    match stock.modules.first() {
        Some(module) => crate::host::image::pack::read(&stock.tree, module, arch).map(drop),
        None => Err(Error::input(&stock.tree.dir, "no module in there can be read")),
    }
}
