// SPDX-License-Identifier: MIT OR Apache-2.0
//! The modules that a device tree needs, each with its reason: those on the way to the root, suppliers first, or those of
//! the whole board.

use super::driver::{Driver, Drivers};
use super::mmc_numbers;
use super::root::Root;
use super::suppliers::driver_dirs;
use super::tree::{NodeId, Tree};
use super::way::{Steps, Way};
use crate::host::modules::graph::Edge;
use crate::host::modules::module::ModuleId;
use std::collections::{BTreeSet, HashMap};
use std::fmt;

/// The needs of a device tree.
#[derive(Debug, Default)]
pub struct Needs {
    /// Modules, in load order.
    pub modules: Vec<NeededModule>,
    /// Modaliases and modnames that no node names: the kernel requests them once a root device of this kind is there.
    pub implied: Vec<&'static str>,
    /// Modnames of built-in drivers that serve nodes.
    pub builtins: Vec<String>,
    /// Which module needs which; `user` is `None` for a node without module.
    pub edges: BTreeSet<Edge>,
    /// Nodes without a known driver.
    pub without_driver: Vec<NodeId>,
    /// Possible root devices without a fixed number: `mmcblkN` may change between boots.
    pub unnumbered: Vec<NodeId>,
}

/// A module that a node needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededModule {
    /// The module.
    pub id: ModuleId,
    /// Why the node needs it.
    pub reason: NodeReason,
}

/// Why a node needs a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReason {
    /// The root that the node is on the way to; `None` if the whole board is selected.
    pub root: Option<Root>,
    /// The steps to the node.
    pub steps: Steps,
    /// The match between module and node.
    pub driver: NodeDriver,
}

/// The match between a module and a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeDriver {
    /// By the node's `compatible` or modalias.
    Modalias(String),
    /// By an MFD cell, which the driver that matched by `by` creates.
    Cell {
        /// The node's `compatible` or modalias that the MFD driver matched.
        by: String,
        /// The cell's platform device name.
        name: String,
    },
    /// An MFD cell of this name, which a built-in driver probably creates.
    LikelyCell(String),
}

/// Writes `root=mmc -> mmc@1 -cd-gpios-> gpio@2 -> acme,gpio`.
impl fmt::Display for NodeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(root) = &self.root {
            write!(f, "root={root} -> ")?;
        }
        match &self.driver {
            NodeDriver::Modalias(by) => write!(f, "{} -> {by}", self.steps),
            NodeDriver::Cell { by, name } => write!(f, "{} -> {by} -cell-> platform:{name}", self.steps),
            NodeDriver::LikelyCell(name) => write!(f, "{} -likely cell-> platform:{name}", self.steps),
        }
    }
}

/// Returns the needs of the way to the root.
///
/// # Errors
/// As prose: the tree has no such root, or none with a driver.
pub fn of_root(tree: &Tree, drivers: &Drivers<'_>, root: &Root) -> Result<Needs, String> {
    let (starts, implied) = root.nodes(tree, drivers).map_err(|what| format!("{root}: {what}"))?;
    let way = Way::new(tree, &starts);
    let mut needs = Needs { implied, ..Needs::default() };
    let mut bound: HashMap<NodeId, Vec<ModuleId>> = HashMap::new();
    for &node in way.order.iter().filter(|&&node| tree.has(node, "compatible")) {
        let count = needs.modules.len();
        needs.add(drivers, (tree, node), Some(root), way.steps(tree, node), |cell| fits_references(&way, node, cell));
        bound.insert(node, needs.modules[count..].iter().map(|module| module.id).collect());
    }
    if drivers.knows_kernel() && starts.iter().all(|start| needs.without_driver.contains(start)) {
        let hosts: Vec<String> = starts.iter().map(|&node| described(tree, node)).collect();
        return Err(format!("{root}: neither a module nor the kernel has a driver for {}", hosts.join(", ")));
    }
    needs.edges = edges(&way, &starts, &bound);
    needs.unnumbered = mmc_numbers::unnumbered(tree, drivers);
    if !starts.iter().any(|start| needs.unnumbered.contains(start)) {
        needs.unnumbered.clear();
    }
    Ok(needs)
}

/// Returns the needs of all enabled nodes.
pub fn of_board(tree: &Tree, drivers: &Drivers<'_>) -> Needs {
    let mut needs = Needs::default();
    for node in tree.devices() {
        // Without a kernel image the MFD cell can only be guessed; for a whole board that is too much.
        let is_known = |_: &str| drivers.knows_kernel() || !drivers.of(tree, node).modules.is_empty();
        let driver = needs.add(drivers, (tree, node), None, Steps::only(&tree.node(node).name), is_known);
        if tree.node(node).stem() == "mmc" {
            needs.imply("mmc:block");
        }
        let is_disk_host =
            |path: &str| path.starts_with("kernel/drivers/ata/") || path.starts_with("kernel/drivers/ufs/");
        if driver.modules.iter().any(|module| is_disk_host(drivers.path(module.id))) {
            needs.imply("scsi:t-0x00");
        }
    }
    needs.edges = needs.modules.iter().map(|module| Edge { user: None, needed: module.id }).collect();
    needs
}

/// Returns a node's path and its first `compatible`, for messages.
pub fn described(tree: &Tree, id: NodeId) -> String {
    format!("{} ({})", tree.path(id), tree.compatible(id).next().unwrap_or_default())
}

impl Needs {
    /// Adds the modules that match a node, and those of their MFD cells, or of a built-in driver's, that `wants_cell`
    /// accepts by the module's path.
    fn add(
        &mut self,
        drivers: &Drivers<'_>,
        (tree, node): (&Tree, NodeId),
        root: Option<&Root>,
        steps: Steps,
        wants_cell: impl Fn(&str) -> bool,
    ) -> Driver {
        let reason = |driver| NodeReason { root: root.cloned(), steps: steps.clone(), driver };
        let matching = drivers.of(tree, node);
        for module in &matching.modules {
            let by = &module.by;
            self.modules.push(NeededModule { id: module.id, reason: reason(NodeDriver::Modalias(by.clone())) });
            for cell in drivers.cells(module.id).iter().filter(|cell| wants_cell(drivers.path(cell.id))) {
                let driver = NodeDriver::Cell { by: by.clone(), name: cell.name.clone() };
                self.modules.push(NeededModule { id: cell.id, reason: reason(driver) });
            }
        }
        self.builtins.extend(matching.builtin_modnames.iter().cloned());
        if matching.modules.is_empty() {
            let cells = drivers.likely_cells(tree, node).into_iter();
            for cell in cells.filter(|cell| wants_cell(drivers.path(cell.id))) {
                self.modules.push(NeededModule { id: cell.id, reason: reason(NodeDriver::LikelyCell(cell.name)) });
            }
            if matching.builtin.is_none() && matching.builtin_modnames.is_empty() {
                self.without_driver.push(node);
            }
        }
        matching
    }

    fn imply(&mut self, name: &'static str) {
        if !self.implied.contains(&name) {
            self.implied.push(name);
        }
    }
}

/// Whether an MFD cell fits the kind of reference (clocks, -supply) by which the way refers to the chip, judged by the
/// directory of the cell's driver.
fn fits_references(way: &Way, node: NodeId, path: &str) -> bool {
    let below = path.strip_prefix("kernel/drivers/").unwrap_or(path);
    way.referring(node).any(|property| match driver_dirs(property) {
        [] => true,
        dirs => dirs.iter().any(|dir| below.starts_with(dir)),
    })
}

/// Returns the edges between the modules of consumers and of their nearest suppliers that have modules; `bound` holds the
/// modules of each node.
fn edges(way: &Way, starts: &[NodeId], bound: &HashMap<NodeId, Vec<ModuleId>>) -> BTreeSet<Edge> {
    let modules = |node: &NodeId| bound.get(node).map(Vec::as_slice).unwrap_or_default();
    let of_starts = starts.iter().flat_map(modules).map(|&needed| Edge { user: None, needed });
    let mut edges: BTreeSet<Edge> = of_starts.collect();
    for node in &way.order {
        let users: Vec<Option<ModuleId>> = match modules(node) {
            [] if starts.contains(node) => vec![None],
            users => users.iter().copied().map(Some).collect(),
        };
        for supplier in nearest_suppliers(way, bound, *node) {
            for &user in &users {
                let needed = modules(&supplier).iter().copied().filter(|&needed| user != Some(needed));
                edges.extend(needed.map(|needed| Edge { user, needed }));
            }
        }
    }
    edges
}

/// Returns the nearest suppliers of `node` that have modules.
fn nearest_suppliers(way: &Way, bound: &HashMap<NodeId, Vec<ModuleId>>, node: NodeId) -> BTreeSet<NodeId> {
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::from([node]));
    let mut open = vec![node];
    while let Some(next) = open.pop() {
        for &supplier in way.suppliers(next) {
            if !seen.insert(supplier) {
                continue;
            }
            match bound.get(&supplier) {
                Some(modules) if !modules.is_empty() => drop(found.insert(supplier)),
                _ => open.push(supplier),
            }
        }
    }
    found
}
