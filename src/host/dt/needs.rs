//! Which modules a device tree asks for, and why: those on the way to the root, in provider order, and those of the
//! whole board.

use super::driver::{Driver, Drivers};
use super::mmc_numbers;
use super::root::Root;
use super::suppliers::directories;
use super::tree::{NodeId, Tree};
use super::way::Way;
use std::collections::{BTreeSet, HashMap};

/// What a device tree asks for.
#[derive(Debug, Default)]
pub struct Needs {
    /// Modules, in the order in which they are to be loaded.
    pub wanted: Vec<Wanted>,
    /// What no node names, and the root's kind implies: modaliases and modnames.
    pub implied: Vec<&'static str>,
    /// Who needs whom, of the modules; `None` where a node without module does.
    pub edges: BTreeSet<(Option<usize>, usize)>,
    /// Nodes on the way, or of the board, of which it is not known who serves them.
    pub unserved: Vec<NodeId>,
    /// Nodes that the root may be on and whose disks may have another number at each boot.
    pub as_they_come: Vec<NodeId>,
}

/// A module that a node asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its place.
    pub at: usize,
    /// How it was found: `mmc@1 -cd-gpios-> gpio@2 -> acme,gpio`.
    pub chain: String,
}

/// Returns what lies on the way to the root.
///
/// # Errors
/// In prose: there is no such root.
pub fn of_root(tree: &Tree, drivers: &Drivers<'_>, root: &Root) -> Result<Needs, String> {
    let (starts, implied) = root.nodes(tree, drivers).map_err(|what| format!("{root}: {what}"))?;
    let way = Way::new(tree, &starts);
    let mut needs = Needs::default();
    let mut served: HashMap<NodeId, Vec<usize>> = HashMap::new();
    for &id in way.order.iter().filter(|&&id| tree.has(id, "compatible")) {
        let start = needs.wanted.len();
        let chain = format!("root={root} -> {}", way.chain(tree, id));
        want(&mut needs, drivers, (tree, id), &chain, |cell| serves_uses(&way, id, cell));
        served.insert(id, needs.wanted[start..].iter().map(|wanted| wanted.at).collect());
    }
    let is_served = |&&start: &&NodeId| !needs.unserved.contains(&start);
    if drivers.knows_kernel() && starts.iter().find(is_served).is_none() {
        let hosts: Vec<String> = starts.iter().map(|&id| described(tree, id)).collect();
        return Err(format!("{root}: neither a module nor the kernel serves {}", hosts.join(", ")));
    }
    for &start in &starts {
        needs.edges.extend(served.get(&start).into_iter().flatten().map(|&at| (None, at)));
    }
    for &id in &way.order {
        let users = served.get(&id).map(Vec::as_slice).unwrap_or_default();
        let users: Vec<Option<usize>> = match users {
            [] if starts.contains(&id) => vec![None],
            users => users.iter().copied().map(Some).collect(),
        };
        for target in reached(&way, &served, id) {
            for &user in &users {
                needs
                    .edges
                    .extend(served[&target].iter().map(|&at| (user, at)).filter(|(user, at)| *user != Some(*at)));
            }
        }
    }
    needs.implied = implied;
    needs.as_they_come = mmc_numbers::as_they_come(tree, drivers);
    if !starts.iter().any(|start| needs.as_they_come.contains(start)) {
        needs.as_they_come.clear();
    }
    Ok(needs)
}

/// Names a node by path and what it is.
pub fn described(tree: &Tree, id: NodeId) -> String {
    format!("{} ({})", tree.path(id), tree.compatible(id).next().unwrap_or_default())
}

/// Returns what all enabled nodes ask for.
pub fn of_board(tree: &Tree, drivers: &Drivers<'_>) -> Needs {
    let mut needs = Needs::default();
    for id in tree.devices() {
        // With the kernel unknown any chip of the family would do: of a whole board that is too many.
        let is_sure = |_: &str| drivers.knows_kernel() || !drivers.of(tree, id).modules.is_empty();
        let driver = want(&mut needs, drivers, (tree, id), &tree.node(id).name, is_sure);
        if tree.node(id).stem() == "mmc" && !needs.implied.contains(&"mmc:block") {
            needs.implied.push("mmc:block");
        }
        let holds_disks = |(at, _): &(usize, String)| {
            let path = drivers.path(*at);
            path.starts_with("kernel/drivers/ata/") || path.starts_with("kernel/drivers/ufs/")
        };
        if driver.modules.iter().any(holds_disks) && !needs.implied.contains(&"scsi:t-0x00") {
            needs.implied.push("scsi:t-0x00");
        }
    }
    needs.edges = needs.wanted.iter().map(|wanted| (None, wanted.at)).collect();
    needs
}

/// Adds a node's modules, and those for the parts of each, or of what is built in, that `takes_cell` wants.
fn want(
    needs: &mut Needs,
    drivers: &Drivers<'_>,
    (tree, id): (&Tree, NodeId),
    chain: &str,
    takes_cell: impl Fn(&str) -> bool,
) -> Driver {
    let driver = drivers.of(tree, id);
    for (at, by) in &driver.modules {
        needs.wanted.push(Wanted { at: *at, chain: format!("{chain} -> {by}") });
        for (cell, name) in drivers.cells(*at).iter().filter(|(cell, _)| takes_cell(drivers.path(*cell))) {
            needs.wanted.push(Wanted { at: *cell, chain: format!("{chain} -> {by} -cell-> platform:{name}") });
        }
    }
    if driver.modules.is_empty() {
        for (cell, name) in
            drivers.likely_cells(tree, id).into_iter().filter(|(cell, _)| takes_cell(drivers.path(*cell)))
        {
            needs.wanted.push(Wanted { at: cell, chain: format!("{chain} -likely cell-> platform:{name}") });
        }
        if driver.builtin.is_none() {
            needs.unserved.push(id);
        }
    }
    driver
}

/// A module for a part answers to what the way refers to the device for.
fn serves_uses(way: &Way, id: NodeId, path: &str) -> bool {
    let below = path.strip_prefix("kernel/drivers/").unwrap_or(path);
    way.uses(id).any(|prop| match directories(prop) {
        [] => true,
        dirs => dirs.iter().any(|dir| below.starts_with(dir)),
    })
}

/// Finds the nearest nodes with modules that provide for `id`.
fn reached(way: &Way, served: &HashMap<NodeId, Vec<usize>>, id: NodeId) -> BTreeSet<NodeId> {
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::from([id]));
    let mut open = vec![id];
    while let Some(next) = open.pop() {
        for &target in way.providers(next) {
            if !seen.insert(target) {
                continue;
            }
            match served.get(&target) {
                Some(modules) if !modules.is_empty() => drop(found.insert(target)),
                _ => open.push(target),
            }
        }
    }
    found
}
