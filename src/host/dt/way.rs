//! The way to the root: storage or network nodes, all above them, all that provides for any of these; in provider
//! order, and for each how it was reached.

use super::suppliers::supplies;
use super::tree::{NodeId, ROOT, Tree};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

/// What the root needs.
#[derive(Debug, Default)]
pub struct Way {
    /// Nodes, providers before what they provide for.
    pub order: Vec<NodeId>,
    /// Where each was first reached from, and by which property.
    from: HashMap<NodeId, (NodeId, String)>,
    /// By which properties each device, or a node inside of it, is referred to.
    uses: HashMap<NodeId, BTreeSet<String>>,
    /// What each refers to.
    providers: HashMap<NodeId, Vec<NodeId>>,
}

/// The name of the edge from a node to the one above it.
const PARENT: &str = "parent";

impl Way {
    /// Follows all that provides for `starts`. What is disabled provides nothing.
    pub fn new(tree: &Tree, starts: &[NodeId]) -> Way {
        let mut way = Way::default();
        // Breadth first, for the shortest reasons.
        let mut open: VecDeque<NodeId> = starts.iter().copied().collect();
        let mut seen: HashSet<NodeId> = starts.iter().copied().collect();
        while let Some(id) = open.pop_front() {
            let mut targets = Vec::new();
            for (prop, target) in providers(tree, id, starts.contains(&id)) {
                if target == ROOT || !tree.is_enabled(target) {
                    continue;
                }
                if prop != PARENT
                    && let Some(device) = tree.device_of(target)
                {
                    way.uses.entry(device).or_default().insert(prop.to_owned());
                }
                targets.push(target);
                if seen.insert(target) {
                    way.from.insert(target, (id, prop.to_owned()));
                    open.push_back(target);
                }
            }
            way.providers.insert(id, targets);
        }
        way.order = providers_first(starts, &way.providers);
        way
    }

    /// Returns by which properties a device is referred to; none for one that is only above others.
    pub fn uses(&self, id: NodeId) -> impl Iterator<Item = &str> {
        self.uses.get(&id).into_iter().flatten().map(String::as_str)
    }

    /// Returns what a node refers to directly.
    pub fn providers(&self, id: NodeId) -> &[NodeId] {
        self.providers.get(&id).map(Vec::as_slice).unwrap_or_default()
    }

    /// Tells how a node was reached: `mmc@1 -cd-gpios-> gpio@2`. Of a node inside of a device the device is told.
    pub fn chain(&self, tree: &Tree, id: NodeId) -> String {
        let device = |id: NodeId| tree.device_of(id).unwrap_or(id);
        let mut parts = vec![tree.node(device(id)).name.clone()];
        let mut at = id;
        while let Some((from, prop)) = self.from.get(&at) {
            if device(*from) != device(at) {
                parts.push(format!(" -{prop}-> "));
                parts.push(tree.node(device(*from)).name.clone());
            }
            at = *from;
        }
        parts.reverse();
        parts.concat()
    }
}

/// Returns what provides for a node: above all what it sits on. Of a start also what its parts refer to that are no
/// devices: ports, slots, slaves.
fn providers(tree: &Tree, id: NodeId, is_start: bool) -> Vec<(&str, NodeId)> {
    let mut found: Vec<(&str, NodeId)> = tree.node(id).parent.map(|parent| (PARENT, parent)).into_iter().collect();
    let mut inside = vec![id];
    while let Some(id) = inside.pop() {
        found.extend(supplies(tree, id).into_iter().map(|supply| (supply.prop, supply.target)));
        if is_start {
            inside.extend(tree.node(id).children.iter().rev().filter(|&&child| !tree.has(child, "compatible")));
        }
    }
    found
}

/// Sorts so that each node stands behind all that its edges lead to; circles are cut where they close.
fn providers_first(starts: &[NodeId], edges: &HashMap<NodeId, Vec<NodeId>>) -> Vec<NodeId> {
    let (mut order, mut seen) = (Vec::new(), HashSet::new());
    for &start in starts {
        let mut path: Vec<(NodeId, usize)> = Vec::new();
        if seen.insert(start) {
            path.push((start, 0));
        }
        while let Some((id, next)) = path.last_mut() {
            match edges.get(id).and_then(|targets| targets.get(*next)) {
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
    fn providers_come_first_and_panels_not_at_all() {
        let tree = tree();
        let way = Way::new(&tree, &[tree.find("/soc/mmc@1").unwrap()]);
        let order: Vec<String> =
            way.order.iter().filter(|&&id| tree.has(id, "compatible")).map(|&id| tree.path(id)).collect();
        assert_eq!(order, ["/soc", "/osc", "/soc/i2c@2", "/soc/i2c@2/pmic@3", "/soc/gpio@4", "/soc/mmc@1"]);
    }

    #[test]
    fn a_chain_tells_properties_and_leaves_the_inside_out() {
        let tree = tree();
        let way = Way::new(&tree, &[tree.find("/soc/mmc@1").unwrap()]);
        let chain = |path: &str| way.chain(&tree, tree.find(path).unwrap());
        assert_eq!(chain("/soc/gpio@4"), "mmc@1 -cd-gpios-> gpio@4");
        assert_eq!(chain("/soc/i2c@2/pmic@3"), "mmc@1 -vmmc-supply-> pmic@3");
        assert_eq!(chain("/osc"), "mmc@1 -vmmc-supply-> pmic@3 -parent-> i2c@2 -clocks-> osc");
        let pmic = tree.find("/soc/i2c@2/pmic@3").unwrap();
        assert_eq!(way.uses(pmic).collect::<Vec<_>>(), ["vmmc-supply"]);
    }
}
