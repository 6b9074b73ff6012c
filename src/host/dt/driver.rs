// SPDX-License-Identifier: MIT OR Apache-2.0
//! The drivers that match a device tree node: modules, or one in the kernel image, or unknown. Never a guess.
//!
//! `of:` aliases are looked up by `compatible` in a hash: nearly all are `of:N*T*Ccompatible`, with and without `C*` at the
//! end. All other aliases go through the index. Source: scripts/mod/file2alias.c, `do_of_entry_multi`.

use super::modalias;
use super::tree::{NodeId, Tree};
use super::vmlinux::Kernel;
use crate::glob;
use crate::host::codec;
use crate::host::input;
use crate::host::modules::file::modname;
use crate::host::modules::graph::Graph;
use crate::host::modules::module::{Module, ModuleId};
use crate::modules::resolve::{Found, MATCH_COUNT, Match, Resolver};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The drivers that match a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Driver {
    /// Modules that match, in the order of the node's modaliases.
    pub modules: Vec<MatchingModule>,
    /// If no module matches: the first `compatible` that a driver in the kernel image has.
    pub builtin: Option<String>,
    /// Modnames of built-in drivers that serve the node by modules.builtin.modinfo.
    pub builtin_modnames: Vec<String>,
}

/// A module whose driver matches a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchingModule {
    /// The module.
    pub id: ModuleId,
    /// The node's `compatible` or modalias that matched.
    pub by: String,
}

/// An MFD cell: a platform device that the driver of a multi-function chip creates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MfdCell {
    /// The module that matches the platform device.
    pub id: ModuleId,
    /// The platform device's name.
    pub name: String,
}

/// All drivers of a module tree and its kernel.
#[derive(Debug)]
pub struct Drivers<'a> {
    dir: &'a Path,
    modules: &'a [Module],
    graph: &'a Graph,
    resolver: Resolver<'a>,
    kernel: Option<&'a Kernel>,
    /// Whether modules.builtin.modinfo has aliases of device-tree nodes, as that of newer kernels.
    has_builtin_of: bool,
    ids: HashMap<&'a str, ModuleId>,
    by_compatible: HashMap<&'a [u8], Vec<ModuleId>>,
    /// `of:` patterns of another shape.
    odd: Vec<(&'a [u8], ModuleId)>,
    /// Platform device names of the modules' `platform:` aliases.
    platform: HashMap<&'a [u8], ModuleId>,
    /// The cells of each MFD driver looked up so far.
    cells: Mutex<HashMap<ModuleId, Arc<Vec<MfdCell>>>>,
}

/// Kernel functions by which an MFD driver creates its cells.
const CREATE_CELLS: [&[u8]; 2] = [b"mfd_add_devices", b"devm_mfd_add_devices"];

/// Buses of multi-function chips, by the start of the bus node's name.
const SLOW_BUSES: [&str; 6] = ["i2c", "spi", "rsb", "spmi", "ssbi", "p2wi"];

/// Common prefix, in letters, of names of one chip family: `axp221` and `axp20x-regulator`.
const FAMILY_PREFIX_LEN: usize = 3;

/// Returns the length of the common prefix.
fn common_prefix_len(left: &str, right: &str) -> usize {
    left.bytes().zip(right.bytes()).take_while(|(l, r)| l == r).count()
}

impl<'a> Drivers<'a> {
    /// Indexes `modules`, of the tree at `dir`. Without `kernel`, built-in drivers are unknown.
    pub fn new(
        dir: &'a Path,
        modules: &'a [Module],
        graph: &'a Graph,
        resolver: Resolver<'a>,
        kernel: Option<&'a Kernel>,
        has_builtin_of: bool,
    ) -> Self {
        let mut drivers = Drivers {
            dir,
            modules,
            graph,
            resolver,
            kernel,
            has_builtin_of,
            ids: HashMap::new(),
            by_compatible: HashMap::new(),
            odd: Vec::new(),
            platform: HashMap::new(),
            cells: Mutex::default(),
        };
        for (id, module) in ModuleId::all(modules.len()).zip(modules) {
            drivers.ids.insert(&module.modname, id);
            module.aliases().for_each(|alias| drivers.add_alias(alias, id));
        }
        drivers
    }

    fn add_alias(&mut self, alias: &'a [u8], id: ModuleId) {
        if let Some(name) = alias.strip_prefix(b"platform:") {
            self.platform.entry(name).or_insert(id);
        } else if let Some(compatible) = alias.strip_prefix(b"of:N*T*C") {
            let compatible = compatible.strip_suffix(b"C*").unwrap_or(compatible);
            if compatible.iter().any(|byte| b"*?[".contains(byte)) {
                self.odd.push((alias, id));
                return;
            }
            let list = self.by_compatible.entry(compatible).or_default();
            if list.last() != Some(&id) {
                list.push(id);
            }
        } else if alias.starts_with(b"of:") {
            self.odd.push((alias, id));
        }
    }

    /// Whether the drivers in the kernel image are known.
    pub fn knows_kernel(&self) -> bool {
        self.kernel.is_some()
    }

    /// Returns the drivers that match a node; blacklisted modules are left out.
    pub fn of(&self, tree: &Tree, node: NodeId) -> Driver {
        let mut driver = Driver::default();
        let mut add = |id: ModuleId, by: &str| {
            let is_new = driver.modules.iter().all(|known| known.id != id);
            if is_new && !self.resolver.config.blacklists(self.modules[id].modname.as_bytes()) {
                driver.modules.push(MatchingModule { id, by: by.to_owned() });
            }
        };
        for compatible in tree.compatible(node) {
            for &id in self.by_compatible.get(compatible.as_bytes()).into_iter().flatten() {
                add(id, compatible);
            }
        }
        if !self.odd.is_empty() {
            let of = modalias::of(tree, node);
            for (_, id) in self.odd.iter().filter(|(pattern, _)| glob::matches(pattern, of.as_bytes())) {
                add(*id, &of);
            }
        }
        for other in modalias::others(tree, node) {
            for id in self.resolve(&other) {
                add(id, &other);
            }
        }
        if self.has_builtin_of {
            driver.builtin_modnames = self.resolve_builtin(&modalias::of(tree, node));
        }
        let kernel = self.kernel.filter(|_| driver.modules.is_empty());
        let builtin = kernel.and_then(|kernel| tree.compatible(node).find(|name| kernel.has_driver(name)));
        driver.builtin = builtin.map(Into::into);
        driver
    }

    /// Finds the built-in drivers that serve a modalias.
    fn resolve_builtin(&self, alias: &str) -> Vec<String> {
        let mut matches = heapless::Vec::<Match<'_>, MATCH_COUNT>::new();
        _ = self.resolver.resolve(alias.as_bytes(), &mut matches);
        let builtins = matches.iter().filter_map(|found| match found {
            Match::Builtin(modname) if !modname.is_empty() => Some(String::from_utf8_lossy(modname).into_owned()),
            _ => None,
        });
        builtins.collect()
    }

    /// Returns the modules that match a modalias; none if the look-up fails.
    pub fn resolve(&self, alias: &str) -> Vec<ModuleId> {
        let mut matches = heapless::Vec::<Match<'_>, MATCH_COUNT>::new();
        match self.resolver.resolve(alias.as_bytes(), &mut matches) {
            Ok(Found::Nothing) | Err(_) => Vec::new(),
            Ok(_) => matches.iter().filter_map(|found| self.id(found)).collect(),
        }
    }

    fn id(&self, found: &Match<'_>) -> Option<ModuleId> {
        let Match::Module(line) = found else { return None };
        self.ids.get(modname(&String::from_utf8_lossy(line.path())).as_str()).copied()
    }

    /// Returns the MFD cells of a module, or of an MFD driver that it depends on.
    ///
    /// No tree names cells; the MFD driver's file does, as strings that are names of platform devices. A file that cannot
    /// be read has none.
    pub fn cells(&self, id: ModuleId) -> Arc<Vec<MfdCell>> {
        if let Some(known) = self.cells.lock().expect("no holder panics").get(&id) {
            return Arc::clone(known);
        }
        let cores = self.graph.closure(id).into_iter().chain([id]);
        let cores: Vec<ModuleId> = cores.filter(|&core| self.creates_cells(core)).collect();
        let mut found: Vec<MfdCell> = cores.iter().filter_map(|&core| self.read_cells(core)).flatten().collect();
        found.sort_unstable();
        found.dedup_by_key(|cell| cell.id);
        found.retain(|cell| cell.id != id && !cores.contains(&cell.id));
        let found = Arc::new(found);
        self.cells.lock().expect("no holder panics").insert(id, Arc::clone(&found));
        found
    }

    /// Returns modules that are likely for the MFD cells of a chip on a slow bus whose driver is built in.
    ///
    /// Such a module shares its first letters with the chip, and its device's name is a string in the kernel image, if
    /// that is known. Which built-in driver the string belongs to is unknown, so these are likely only.
    pub fn likely_cells(&self, tree: &Tree, node: NodeId) -> Vec<MfdCell> {
        let bus = tree.node(node).parent.map_or("", |parent| tree.node(parent).stem());
        if !SLOW_BUSES.iter().any(|start| bus.starts_with(start)) {
            return Vec::new();
        }
        let chips = || tree.compatible(node).map(|name| name.split_once(',').map_or(name, |(_, chip)| chip));
        let is_family = |name: &str| chips().any(|chip| common_prefix_len(chip, name) >= FAMILY_PREFIX_LEN);
        let is_in_kernel = |name: &str| self.kernel.is_none_or(|kernel| kernel.has_string(name));
        let names = self.platform.iter().filter_map(|(name, id)| Some((std::str::from_utf8(name).ok()?, *id)));
        let likely = names.filter(|(name, _)| is_family(name) && is_in_kernel(name));
        let mut cells: Vec<MfdCell> = likely.map(|(name, id)| MfdCell { id, name: name.to_owned() }).collect();
        cells.sort_unstable();
        cells.dedup_by_key(|cell| cell.id);
        cells
    }

    fn creates_cells(&self, id: ModuleId) -> bool {
        self.modules[id].imports.iter().any(|symbol| CREATE_CELLS.contains(&symbol.name))
    }

    fn read_cells(&self, id: ModuleId) -> Option<Vec<MfdCell>> {
        let data = input::read(&self.dir.join(&self.modules[id].path)).ok()?;
        let plain = codec::decompress(&data).ok()?;
        let strings = plain.split(|&byte| byte == 0).filter(|text| !text.is_empty());
        let cell = |text: &[u8]| {
            let name = String::from_utf8_lossy(text).into_owned();
            self.platform.get(text).map(|&id| MfdCell { id, name })
        };
        Some(strings.filter_map(cell).collect())
    }

    /// Returns a module's path in its tree.
    pub fn path(&self, id: ModuleId) -> &str {
        &self.modules[id].path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::resolve::IndexFile;
    use crate::modules::resolve::tests::Tree as Indexed;
    use crate::modules::uevent::Uevent;

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

    /// Rules by which a node gets a module: the node, the module's one alias, and the uevent of the device in /sys, or the
    /// name that the kernel requests by itself.
    const RULES: [(&str, &str, &str); 10] = [
        ("/mmc@1\ncompatible = \"a,new\", \"a,old\"", "of:N*T*Ca,old", "MODALIAS=of:NmmcT(null)Ca,newCa,old"),
        (
            "/bmc@1\ndevice_type = \"ipmi\"\ncompatible = \"ipmi-kcs\"",
            "of:N*Tipmi*Cipmi-kcs*",
            "MODALIAS=of:NbmcTipmiCipmi-kcs",
        ),
        (
            "/i2c@1/rtc@68\ncompatible = \"dallas,ds1307\"",
            "i2c:ds1307",
            "OF_NAME=rtc\nOF_COMPATIBLE_0=dallas,ds1307\nOF_COMPATIBLE_N=1\nMODALIAS=of:NrtcT(null)Cdallas,ds1307",
        ),
        (
            "/spi@1/f@0\ncompatible = \"a,flash\", \"jedec,spi-nor\"",
            "spi:flash",
            "OF_NAME=f\nOF_COMPATIBLE_0=a,flash\nOF_COMPATIBLE_1=jedec,spi-nor\nMODALIAS=spi:flash",
        ),
        (
            "/spi@1/f@0\ncompatible = \"a,flash\", \"jedec,spi-nor\"",
            "of:N*T*Cjedec,spi-nor",
            "OF_NAME=f\nOF_COMPATIBLE_0=a,flash\nOF_COMPATIBLE_1=jedec,spi-nor\nMODALIAS=spi:flash",
        ),
        (
            "/w@1\ncompatible = \"arm,sp805\", \"arm,primecell\"",
            "amba:d00141805*",
            "OF_NAME=w\nOF_COMPATIBLE_0=arm,sp805\nMODALIAS=amba:d00141805",
        ),
        (
            "/mdio/p@1\ncompatible = \"ethernet-phy-id0007.c0f1\"",
            "mdio:0000000000000111110000001111????",
            "MODALIAS=mdio:00000000000001111100000011110001",
        ),
        ("/mmc@1/wifi@1\ncompatible = \"brcm,bcm4329-fmac\"", "sdio:c*v02D0d4329*", "MODALIAS=sdio:c00v02D0d4329"),
        (
            "/usb/ethernet@1\ncompatible = \"usb424,ec00\"",
            "usb:v0424pEC00d*dc*dsc*dp*ic*isc*ip*in*",
            "MODALIAS=usb:v0424pEC00d0200dcFFdsc00dp01icFFisc00ipFFin00",
        ),
        (
            "/pcie/wifi@0\ncompatible = \"pci168c,3c\"",
            "pci:v0000168Cd0000003Csv*sd*bc*sc*i*",
            "MODALIAS=pci:v0000168Cd0000003Csv00000000sd00000000bc02sc80i00",
        ),
    ];

    #[test]
    fn what_the_host_selects_by_each_rule_the_device_finds_in_sys() {
        for (node, alias, uevent) in RULES {
            // SDIO drivers are selected by name.
            let name = if alias.starts_with("sdio:") { "brcmfmac" } else { "m" };
            let line = format!("k/{name}.ko:");
            let modules = [module(name, &[alias])];
            // depmod writes `-` as `_`.
            let indexed = Indexed::new(&[&line]).with(IndexFile::Alias, &[(&alias.replace('-', "_"), name)]);
            let graph = Graph::new(&modules).unwrap();
            let drivers = Drivers::new(Path::new(""), &modules, &graph, indexed.resolver(), None, false);
            let tree = Tree::of_text(node);
            let selected = drivers.of(&tree, tree.ids().next_back().unwrap()).modules.len();
            let device = Uevent::file(uevent.as_bytes());
            let finds = |alias: &[u8]| !drivers.resolve(str::from_utf8(alias).unwrap()).is_empty();
            let by_fallback = || {
                let mut alias = heapless::Vec::<u8, 512>::new();
                (0..10).any(|number| device.fallback_alias(number, &mut alias) == Ok(true) && finds(&alias))
            };
            let found = finds(device.get(b"MODALIAS").unwrap()) || by_fallback();
            assert_eq!((selected, found), (1, true), "{node}: {alias}");
        }
    }

    #[test]
    fn a_node_matches_by_compatible_by_bus_and_by_patterns_of_another_shape() {
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
        let drivers = Drivers::new(Path::new(""), &modules, &graph, indexed.resolver(), None, false);
        let tree = Tree::of_text(
            "/i2c@1/rtc@68\ncompatible = \"dallas,ds1307\", \"x,rtc\"\n\
            /i2c@1/bmc@1\ndevice_type = \"ipmi\"\ncompatible = \"ipmi-kcs\"\n/i2c@1/none\ncompatible = \"z,z\"",
        );
        let matching = |path: &str| drivers.of(&tree, tree.find(path).unwrap()).modules;
        let module = |index, by: &str| MatchingModule { id: ModuleId::new(index), by: by.into() };
        assert_eq!(matching("/i2c@1/rtc@68"), [module(2, "x,rtc"), module(0, "i2c:ds1307")], "b is blacklisted");
        assert_eq!(matching("/i2c@1/bmc@1"), [module(1, "of:NbmcTipmiCipmi-kcs")]);
        assert_eq!(matching("/i2c@1/none"), []);
    }
}
