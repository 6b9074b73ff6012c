//! Who serves a node: modules, the kernel itself, or nobody that is known. Three answers, never a guess.
//!
//! `of:` aliases are found by `compatible` in a hash: all but a few are `of:N*T*Ccompatible`, with and without `C*`
//! behind. All other aliases go through the index. Source: scripts/mod/file2alias.c, `do_of_entry_multi`.

use super::modalias;
use super::tree::{NodeId, Tree};
use super::vmlinux::Kernel;
use crate::glob;
use crate::host::codec;
use crate::host::modules::file::modname;
use crate::host::modules::graph::Graph;
use crate::host::modules::module::{Module, ModuleId};
use crate::modules::resolve::{Found, MATCH_COUNT, Match, Resolver};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Who serves a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Driver {
    /// Modules, by their places, and by what the node asks for them: a `compatible` or modalias.
    pub modules: Vec<(usize, String)>,
    /// What of the node's `compatible` the kernel has a driver for.
    pub builtin: Option<String>,
}

/// A device that code makes of a part of a chip: the place of its module, and its name.
pub type Cell = (usize, String);

/// All drivers of a tree and its kernel.
#[derive(Debug)]
pub struct Drivers<'a> {
    dir: &'a Path,
    modules: &'a [Module],
    graph: &'a Graph,
    resolver: Resolver<'a>,
    kernel: Option<&'a Kernel>,
    places: HashMap<&'a str, usize>,
    by_compatible: HashMap<&'a [u8], Vec<usize>>,
    /// `of:` patterns of another shape.
    odd: Vec<(&'a [u8], usize)>,
    /// Names of platform devices that code makes.
    platform: HashMap<&'a [u8], usize>,
    /// The cells of each core that was asked for.
    cells: Mutex<HashMap<usize, Arc<Vec<Cell>>>>,
}

/// What a core calls to make devices of its parts.
const MAKES_CELLS: [&[u8]; 2] = [b"mfd_add_devices", b"devm_mfd_add_devices"];

/// Buses that chips of many parts sit on, by how their nodes' names begin.
const SLOW_BUSES: [&str; 6] = ["i2c", "spi", "rsb", "spmi", "ssbi", "p2wi"];

/// So many first letters make names of one family: `axp221` and `axp20x-regulator`.
const ALIKE_LEN: usize = 3;

/// Counts the letters that two names begin with alike.
fn alike_len(left: &str, right: &str) -> usize {
    left.bytes().zip(right.bytes()).take_while(|(l, r)| l == r).count()
}

impl<'a> Drivers<'a> {
    /// Indexes `modules`, of the tree at `dir`. Without `kernel` nothing is known to be built in.
    pub fn new(
        dir: &'a Path,
        modules: &'a [Module],
        graph: &'a Graph,
        resolver: Resolver<'a>,
        kernel: Option<&'a Kernel>,
    ) -> Self {
        let places = modules.iter().enumerate().map(|(at, module)| (module.modname.as_str(), at)).collect();
        let (mut by_compatible, mut odd, mut platform) = (HashMap::<_, Vec<usize>>::new(), Vec::new(), HashMap::new());
        for (at, module) in modules.iter().enumerate() {
            for alias in module.aliases() {
                if let Some(name) = alias.strip_prefix(b"platform:") {
                    platform.entry(name).or_insert(at);
                } else if let Some(compatible) = alias.strip_prefix(b"of:N*T*C") {
                    let compatible = compatible.strip_suffix(b"C*").unwrap_or(compatible);
                    if compatible.iter().any(|byte| b"*?[".contains(byte)) {
                        odd.push((alias, at));
                        continue;
                    }
                    let list = by_compatible.entry(compatible).or_default();
                    if list.last() != Some(&at) {
                        list.push(at);
                    }
                } else if alias.starts_with(b"of:") {
                    odd.push((alias, at));
                }
            }
        }
        let cells = Mutex::default();
        Drivers { dir, modules, graph, resolver, kernel, places, by_compatible, odd, platform, cells }
    }

    /// It is known what the kernel has built in.
    pub fn knows_kernel(&self) -> bool {
        self.kernel.is_some()
    }

    /// Finds who serves a node.
    pub fn of(&self, tree: &Tree, id: NodeId) -> Driver {
        let mut driver = Driver::default();
        let mut add = |at: usize, by: &str| {
            let is_new = driver.modules.iter().all(|(known, _)| *known != at);
            if is_new && !self.resolver.config.blacklists(self.modules[at].modname.as_bytes()) {
                driver.modules.push((at, by.to_owned()));
            }
        };
        for compatible in tree.compatible(id) {
            for &at in self.by_compatible.get(compatible.as_bytes()).into_iter().flatten() {
                add(at, compatible);
            }
        }
        if !self.odd.is_empty() {
            let of = modalias::of(tree, id);
            for (_, at) in self.odd.iter().filter(|(pattern, _)| glob::matches(pattern, of.as_bytes())) {
                add(*at, &of);
            }
        }
        for other in modalias::others(tree, id) {
            for at in self.resolve(&other) {
                add(at, &other);
            }
        }
        let kernel = self.kernel.filter(|_| driver.modules.is_empty());
        driver.builtin = kernel.and_then(|kernel| tree.compatible(id).find(|name| kernel.serves(name))).map(Into::into);
        driver
    }

    /// Finds the modules that serve a modalias. What can't be looked up serves nothing.
    pub fn resolve(&self, alias: &str) -> Vec<usize> {
        let mut matches = heapless::Vec::<Match<'_>, MATCH_COUNT>::new();
        match self.resolver.resolve(alias.as_bytes(), &mut matches) {
            Ok(Found::Nothing) | Err(_) => Vec::new(),
            Ok(_) => matches.iter().filter_map(|found| self.place(found)).collect(),
        }
    }

    fn place(&self, found: &Match<'_>) -> Option<usize> {
        let Match::Module(line) = found else { return None };
        self.places.get(modname(&String::from_utf8_lossy(line.path())).as_str()).copied()
    }

    /// Finds the modules for the devices that the core at `at`, or one that it is a front of, makes of its parts: no
    /// tree names these, but the core's own file does, as strings that are names of platform devices. A core that
    /// can't be read has none.
    pub fn cells(&self, at: usize) -> Arc<Vec<Cell>> {
        if let Some(known) = self.cells.lock().expect("nobody panics with it").get(&at) {
            return Arc::clone(known);
        }
        let cores = self.graph.closure(ModuleId::new(at)).into_iter().map(ModuleId::index).chain([at]);
        let cores: Vec<usize> = cores.filter(|&core| self.makes_cells(core)).collect();
        let mut found: Vec<Cell> = cores.iter().filter_map(|&core| self.read_cells(core)).flatten().collect();
        found.sort_unstable();
        found.dedup_by_key(|(cell, _)| *cell);
        found.retain(|(cell, _)| *cell != at && !cores.contains(cell));
        let found = Arc::new(found);
        self.cells.lock().expect("nobody panics with it").insert(at, Arc::clone(&found));
        found
    }

    /// Finds modules that may be for the parts of a chip on a slow bus whose core is built in: named as the chip is in the
    /// first letters, and, where the kernel's image is known, by a string in it. Which core a string of the kernel's
    /// belongs to can't be told, so these are likely, not known, and are to be called so.
    pub fn likely_cells(&self, tree: &Tree, id: NodeId) -> Vec<Cell> {
        let bus = tree.node(id).parent.map_or("", |parent| tree.node(parent).stem());
        if !SLOW_BUSES.iter().any(|start| bus.starts_with(start)) {
            return Vec::new();
        }
        let chips = || tree.compatible(id).map(|name| name.split_once(',').map_or(name, |(_, chip)| chip));
        let is_alike = |name: &str| chips().any(|chip| alike_len(chip, name) >= ALIKE_LEN);
        let is_said = |name: &str| self.kernel.is_none_or(|kernel| kernel.says(name));
        let names = self.platform.iter().filter_map(|(name, at)| Some((std::str::from_utf8(name).ok()?, *at)));
        let likely = names.filter(|(name, _)| is_alike(name) && is_said(name));
        let mut cells: Vec<Cell> = likely.map(|(name, at)| (at, name.to_owned())).collect();
        cells.sort_unstable();
        cells.dedup_by_key(|(cell, _)| *cell);
        cells
    }

    fn makes_cells(&self, at: usize) -> bool {
        self.modules[at].imports.iter().any(|symbol| MAKES_CELLS.contains(&symbol.name))
    }

    fn read_cells(&self, at: usize) -> Option<Vec<Cell>> {
        let data = std::fs::read(self.dir.join(&self.modules[at].path)).ok()?;
        let plain = codec::decompress(&data).ok()?;
        let strings = plain.split(|&byte| byte == 0).filter(|text| !text.is_empty());
        let named = |text: &[u8]| Some((*self.platform.get(text)?, String::from_utf8_lossy(text).into_owned()));
        Some(strings.filter_map(named).collect())
    }

    /// Returns a module's path in its tree.
    pub fn path(&self, at: usize) -> &str {
        &self.modules[at].path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::resolve::IndexFile;
    use crate::modules::resolve::tests::Tree as Indexed;

    fn module(modname: &str, aliases: &[&str]) -> Module {
        let info: Vec<u8> = aliases.iter().flat_map(|alias| format!("alias={alias}\0").into_bytes()).collect();
        let path = format!("k/{modname}.ko");
        Module {
            path,
            modname: modname.into(),
            info: crate::host::modules::module::Strings(info.into()),
            ..Module::default()
        }
    }

    #[test]
    fn a_node_is_served_by_compatible_by_bus_and_by_patterns_of_another_shape() {
        let modules = [
            module("ds1307", &["i2c:ds1307"]),
            module("ipmi", &["of:N*Tipmi*Cipmi-kcs*"]),
            module("a", &["of:N*T*Cx,rtc", "of:N*T*Cx,rtcC*"]),
            module("b", &["of:N*T*Cy,rtc", "of:N*T*Cx,rtcC*"]),
        ];
        let indexed = Indexed::new(&["k/ds1307.ko:", "k/ipmi.ko:", "k/a.ko:", "k/b.ko:"])
            .with(IndexFile::Alias, &[("i2c:ds1307", "ds1307")])
            .config("blacklist b");
        let graph = Graph::new(&modules).unwrap();
        let drivers = Drivers::new(Path::new(""), &modules, &graph, indexed.resolver(), None);
        let tree = Tree::of_text(
            "/i2c@1/rtc@68\ncompatible = \"dallas,ds1307\", \"x,rtc\"\n\
            /i2c@1/bmc@1\ndevice_type = \"ipmi\"\ncompatible = \"ipmi-kcs\"\n/i2c@1/none\ncompatible = \"z,z\"",
        );
        let served = |path: &str| drivers.of(&tree, tree.find(path).unwrap()).modules;
        assert_eq!(served("/i2c@1/rtc@68"), [(2, "x,rtc".into()), (0, "i2c:ds1307".into())], "b is blacklisted");
        assert_eq!(served("/i2c@1/bmc@1"), [(1, "of:NbmcTipmiCipmi-kcs".into())]);
        assert_eq!(served("/i2c@1/none"), []);
    }
}
