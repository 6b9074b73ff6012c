// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way to the root: the nodes of storage or network, all nodes above them, and the suppliers of any of these.
//!
//! [`Way::order`] lists suppliers before their consumers; [`Way::steps`] gives the path by which a node was found.

use super::suppliers;
use super::tree::{NodeId, ROOT, Tree};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;

/// The nodes that the root device depends on.
#[derive(Debug, Default)]
pub struct Way {
    /// Nodes, suppliers before their consumers.
    pub order: Vec<NodeId>,
    /// The consumer through which each node was found first, and the property.
    found_from: HashMap<NodeId, (NodeId, String)>,
    /// For each device: the properties that refer to it, or to a node inside it.
    referring: HashMap<NodeId, BTreeSet<String>>,
    /// For each node: its direct suppliers.
    suppliers: HashMap<NodeId, Vec<NodeId>>,
}

/// The devices from a start of the way to one of its suppliers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    /// The node's name at which the way starts.
    pub start: String,
    /// For each step the property that refers to the supplier, and the supplier's node name.
    pub steps: Vec<(String, String)>,
}

/// Label of the step from a node to the one above it.
const PARENT: &str = "parent";

impl Way {
    /// Follows the suppliers of `starts`. Disabled nodes are left out.
    pub fn new(tree: &Tree, starts: &[NodeId]) -> Way {
        let mut way = Way::default();
        // Breadth first finds the shortest steps.
        let mut open: VecDeque<NodeId> = starts.iter().copied().collect();
        let mut seen: HashSet<NodeId> = starts.iter().copied().collect();
        while let Some(id) = open.pop_front() {
            let mut targets = Vec::new();
            for (property, target) in parent_and_suppliers(tree, id, starts.contains(&id)) {
                if target == ROOT || !tree.is_enabled(target) {
                    continue;
                }
                if property != PARENT
                    && let Some(device) = tree.device_of(target)
                {
                    way.referring.entry(device).or_default().insert(property.to_owned());
                }
                targets.push(target);
                if seen.insert(target) {
                    way.found_from.insert(target, (id, property.to_owned()));
                    open.push_back(target);
                }
            }
            way.suppliers.insert(id, targets);
        }
        way.order = suppliers_first(starts, &way.suppliers);
        way
    }

    /// Yields the properties that refer to a device; none for one that is only above other nodes.
    pub fn referring(&self, id: NodeId) -> impl Iterator<Item = &str> {
        self.referring.get(&id).into_iter().flatten().map(String::as_str)
    }

    /// Returns a node's direct suppliers.
    pub fn suppliers(&self, id: NodeId) -> &[NodeId] {
        self.suppliers.get(&id).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the steps by which a node was found first. A node inside a device is named by the device.
    pub fn steps(&self, tree: &Tree, id: NodeId) -> Steps {
        let device = |id: NodeId| tree.device_of(id).unwrap_or(id);
        let name = |id: NodeId| tree.node(device(id)).name.clone();
        let mut steps = Vec::new();
        let mut node = id;
        while let Some((from, property)) = self.found_from.get(&node) {
            if device(*from) != device(node) {
                steps.push((property.clone(), name(node)));
            }
            node = *from;
        }
        steps.reverse();
        Steps { start: name(node), steps }
    }
}

impl Steps {
    /// Returns the way that consists of a single node.
    pub fn only(node: &str) -> Steps {
        Steps { start: node.to_owned(), steps: Vec::new() }
    }
}

/// Writes `mmc@1 -cd-gpios-> gpio@2`.
impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.start)?;
        self.steps.iter().try_for_each(|(property, node)| write!(f, " -{property}-> {node}"))
    }
}

/// Returns the node above and the suppliers. For a start also those of children that are not devices of their own: ports,
/// slots.
fn parent_and_suppliers(tree: &Tree, id: NodeId, is_start: bool) -> Vec<(&str, NodeId)> {
    let mut found: Vec<(&str, NodeId)> = tree.node(id).parent.map(|parent| (PARENT, parent)).into_iter().collect();
    let mut inside = vec![id];
    while let Some(id) = inside.pop() {
        found.extend(suppliers::of(tree, id).into_iter().map(|supplier| (supplier.property, supplier.target)));
        if is_start {
            inside.extend(tree.node(id).children.iter().rev().filter(|&&child| !tree.has(child, "compatible")));
        }
    }
    found
}

/// Sorts nodes so that suppliers precede their consumers. A cycle is cut at the edge that closes it.
fn suppliers_first(starts: &[NodeId], suppliers: &HashMap<NodeId, Vec<NodeId>>) -> Vec<NodeId> {
    let (mut order, mut seen) = (Vec::new(), HashSet::new());
    for &start in starts {
        let mut path: Vec<(NodeId, usize)> = Vec::new();
        if seen.insert(start) {
            path.push((start, 0));
        }
        while let Some((id, next)) = path.last_mut() {
            match suppliers.get(id).and_then(|targets| targets.get(*next)) {
                Some(&target) => {
                    *next += 1;
                    if seen.insert(target) {
                        path.push((target, 0));
                    }
                }
                None => {
                    order.push(*id);
                    path.pop();
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        Tree::of_text(
            "/soc\ncompatible = \"simple-bus\"\n/soc/mmc@1\ncompatible = \"a,mmc\"\nvmmc-supply = <2>\ncd-gpios = <3 1>\n\
            panel = <4>\n/soc/i2c@2\ncompatible = \"a,i2c\"\nclocks = <5>\n/soc/i2c@2/pmic@3\ncompatible = \"a,pmic\"\n\
            /soc/i2c@2/pmic@3/regulators/ldo1\nphandle = <2>\nvin-supply = <6>\n\
            /soc/gpio@4\ncompatible = \"a,gpio\"\nphandle = <3>\n#gpio-cells = <1>\n/panel\ncompatible = \"p\"\nphandle = <4>\n\
            /osc\ncompatible = \"fixed-clock\"\nphandle = <5>\n#clock-cells = <0>\n\
            /5v\ncompatible = \"regulator-fixed\"\nphandle = <6>\nstatus = \"disabled\"",
        )
    }

    #[test]
    fn suppliers_come_first_and_panels_not_at_all() {
        let tree = tree();
        let way = Way::new(&tree, &[tree.find("/soc/mmc@1").unwrap()]);
        let order: Vec<String> =
            way.order.iter().filter(|&&id| tree.has(id, "compatible")).map(|&id| tree.path(id)).collect();
        assert_eq!(order, ["/soc", "/osc", "/soc/i2c@2", "/soc/i2c@2/pmic@3", "/soc/gpio@4", "/soc/mmc@1"]);
    }

    #[test]
    fn steps_name_properties_and_devices() {
        let tree = tree();
        let way = Way::new(&tree, &[tree.find("/soc/mmc@1").unwrap()]);
        let steps = |path: &str| way.steps(&tree, tree.find(path).unwrap()).to_string();
        assert_eq!(steps("/soc/gpio@4"), "mmc@1 -cd-gpios-> gpio@4");
        assert_eq!(steps("/soc/i2c@2/pmic@3"), "mmc@1 -vmmc-supply-> pmic@3");
        assert_eq!(steps("/osc"), "mmc@1 -vmmc-supply-> pmic@3 -parent-> i2c@2 -clocks-> osc");
        let pmic = tree.find("/soc/i2c@2/pmic@3").unwrap();
        assert_eq!(way.referring(pmic).collect::<Vec<_>>(), ["vmmc-supply"]);
    }
}
