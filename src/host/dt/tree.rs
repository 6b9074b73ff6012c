// SPDX-License-Identifier: MIT OR Apache-2.0
//! A device tree in memory: nodes with their properties, and look-ups in it. Source: the Devicetree Specification,
//! chapters 2 and 3.

use std::collections::HashMap;

/// Identifies a node of a [`Tree`]: its index in the order in which nodes were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

/// The root node.
pub const ROOT: NodeId = NodeId(0);

impl NodeId {
    fn new(index: usize) -> NodeId {
        NodeId(u32::try_from(index).expect("a blob of less than 4 GiB has fewer nodes"))
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// A device tree.
#[derive(Debug, Clone)]
pub struct Tree {
    nodes: Vec<Node>,
    phandles: HashMap<u32, NodeId>,
}

/// A node.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Name with unit address: `mmc@2198000`; empty for the root.
    pub name: String,
    /// None for the root.
    pub parent: Option<NodeId>,
    /// In the order of the blob.
    pub children: Vec<NodeId>,
    /// Names and values, in the order of the blob.
    pub props: Vec<(String, Vec<u8>)>,
}

impl Default for Tree {
    fn default() -> Self {
        Tree { nodes: vec![Node::default()], phandles: HashMap::new() }
    }
}

impl Tree {
    /// Returns a node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Yields all nodes, the root first.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId::new)
    }

    /// Returns the number of nodes, the root included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the tree has an empty root only.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1 && self.node(ROOT).props.is_empty()
    }

    /// Adds an empty node below `parent`.
    pub fn add(&mut self, parent: NodeId, name: &str) -> NodeId {
        let id = NodeId::new(self.nodes.len());
        self.nodes.push(Node { name: name.into(), parent: Some(parent), ..Node::default() });
        self.nodes[parent.index()].children.push(id);
        id
    }

    /// Adds a property or replaces its value.
    pub fn set(&mut self, id: NodeId, name: &str, value: Vec<u8>) {
        if matches!(name, "phandle" | "linux,phandle")
            && let Some(phandle) = first_cell(&value)
        {
            self.phandles.insert(phandle, id);
        }
        let props = &mut self.nodes[id.index()].props;
        match props.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => props.push((name.into(), value)),
        }
    }

    /// Returns the node with a phandle.
    pub fn by_phandle(&self, phandle: u32) -> Option<NodeId> {
        self.phandles.get(&phandle).copied()
    }

    /// Returns the highest phandle in use; 0 if there is none.
    pub fn max_phandle(&self) -> u32 {
        self.phandles.keys().copied().max().unwrap_or(0)
    }

    /// Returns the child with that full name.
    pub fn child(&self, id: NodeId, name: &str) -> Option<NodeId> {
        self.node(id).children.iter().copied().find(|&child| self.node(child).name == name)
    }

    /// Finds a node by path, `/soc/mmc@2198000`, or by alias, `mmc0`, with or without a path below it.
    pub fn find(&self, path: &str) -> Option<NodeId> {
        if let Some(below_root) = path.strip_prefix('/') {
            let mut parts = below_root.split('/').filter(|part| !part.is_empty());
            return parts.try_fold(ROOT, |id, part| self.child(id, part));
        }
        let (alias, rest) = path.split_once('/').unwrap_or((path, ""));
        let target = self.str(self.child(ROOT, "aliases")?, alias)?;
        if !target.starts_with('/') {
            return None;
        }
        let parts = rest.split('/').filter(|part| !part.is_empty());
        parts.into_iter().try_fold(self.find(target)?, |id, part| self.child(id, part))
    }

    /// Finds a node like [`find`](Tree::find), or by label.
    pub fn find_by_label(&self, name: &str) -> Option<NodeId> {
        self.find(name).or_else(|| self.find(self.symbol(name)?))
    }

    /// Returns the path that a label stands for. Only a tree built with symbols (`dtc -@`) has labels.
    pub fn symbol(&self, label: &str) -> Option<&str> {
        self.str(self.child(ROOT, "__symbols__")?, label)
    }

    /// Returns a node's full path.
    pub fn path(&self, id: NodeId) -> String {
        let mut names: Vec<&str> = self.up(id).map(|id| self.node(id).name.as_str()).collect();
        names.reverse();
        if id == ROOT { "/".into() } else { names.join("/") }
    }

    /// Yields a node and all above it, up to the root.
    pub fn up(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(Some(id), |&id| self.node(id).parent)
    }

    /// Yields a node and all below it, depth first.
    pub fn down(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let mut open = vec![id];
        std::iter::from_fn(move || {
            let id = open.pop()?;
            open.extend(self.node(id).children.iter().rev());
            Some(id)
        })
    }

    /// Returns a property's bytes.
    pub fn prop(&self, id: NodeId, name: &str) -> Option<&[u8]> {
        let found = self.node(id).props.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_slice())
    }

    /// Whether the node has the property.
    pub fn has(&self, id: NodeId, name: &str) -> bool {
        self.prop(id, name).is_some()
    }

    /// Returns a property's first string.
    pub fn str(&self, id: NodeId, name: &str) -> Option<&str> {
        strings(self.prop(id, name)?).next()
    }

    /// Returns a property's first cell.
    pub fn cell(&self, id: NodeId, name: &str) -> Option<u32> {
        first_cell(self.prop(id, name)?)
    }

    /// Yields the strings of `compatible`, the most specific first.
    pub fn compatible(&self, id: NodeId) -> impl Iterator<Item = &str> {
        strings(self.prop(id, "compatible").unwrap_or_default())
    }

    /// Whether the node and all above it are enabled. Source: drivers/of/base.c, `__of_device_is_available`.
    pub fn is_enabled(&self, id: NodeId) -> bool {
        self.up(id).all(|id| match self.prop(id, "status") {
            None => true,
            Some(status) => matches!(strings(status).next(), Some("okay" | "ok")),
        })
    }

    /// Returns the enabled nodes that become devices: all with a `compatible` below the root. Source:
    /// drivers/of/platform.c, and the bus drivers for the nodes below theirs.
    pub fn devices(&self) -> Vec<NodeId> {
        let mut devices = Vec::new();
        let mut open = vec![ROOT];
        while let Some(id) = open.pop() {
            match self.prop(id, "status").map(|status| strings(status).next()) {
                None | Some(Some("okay" | "ok")) => {}
                _ => continue,
            }
            // Nodes that overlays leave in the root, as __symbols__, are not devices.
            if self.node(id).parent == Some(ROOT) && self.node(id).name.starts_with("__") {
                continue;
            }
            if id != ROOT && self.has(id, "compatible") {
                devices.push(id);
            }
            open.extend(self.node(id).children.iter().rev());
        }
        devices
    }

    /// Returns the device that a node belongs to: itself or the nearest above it with a `compatible`.
    pub fn device_of(&self, id: NodeId) -> Option<NodeId> {
        self.up(id).find(|&id| id != ROOT && self.has(id, "compatible"))
    }
}

impl Node {
    /// Returns the name without unit address.
    pub fn stem(&self) -> &str {
        self.name.split('@').next().unwrap_or_default()
    }
}

/// Yields the NUL-terminated strings of a property, without those that are empty or not UTF-8.
pub fn strings(value: &[u8]) -> impl Iterator<Item = &str> {
    let value = value.strip_suffix(b"\0").unwrap_or(value);
    value.split(|&byte| byte == 0).filter_map(|text| std::str::from_utf8(text).ok()).filter(|text| !text.is_empty())
}

/// Yields the big-endian 32-bit cells of a property.
pub fn cells(value: &[u8]) -> impl Iterator<Item = u32> {
    value.as_chunks().0.iter().map(|cell| u32::from_be_bytes(*cell))
}

fn first_cell(value: &[u8]) -> Option<u32> {
    cells(value).next()
}

/// Returns the `compatible` of a CPU that runs 64-bit code: a Cortex-A of Armv8, which begin with the A34 but for the
/// 32-bit A32. Source: the kernel's Documentation/devicetree/bindings/arm/cpus.yaml.
pub fn cpu_of_64_bits(tree: &Tree) -> Option<&str> {
    let cpus = tree.ids().filter(|&id| tree.str(id, "device_type") == Some("cpu"));
    let mut compatible = cpus.flat_map(|id| tree.compatible(id));
    compatible.find(|name| {
        let model =
            name.strip_prefix("arm,cortex-a").map(|model| model.trim_end_matches(|c: char| !c.is_ascii_digit()));
        model.and_then(|model| model.parse::<u32>().ok()).is_some_and(|model| model > 32) || *name == "arm,armv8"
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    impl Tree {
        /// Builds a tree from lines: `/path`, or `  name = "string", <cells>` for the path before.
        pub(crate) fn of_text(text: &str) -> Tree {
            let (mut tree, mut node) = (Tree::default(), ROOT);
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                if let Some(path) = line.strip_prefix('/') {
                    node = path
                        .split('/')
                        .filter(|part| !part.is_empty())
                        .fold(ROOT, |id, part| tree.child(id, part).unwrap_or_else(|| tree.add(id, part)));
                    continue;
                }
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                let mut bytes = Vec::new();
                for value in value.split(", ").map(str::trim).filter(|value| !value.is_empty()) {
                    match value.strip_prefix('<') {
                        Some(list) => {
                            for cell in list.trim_end_matches('>').split_whitespace() {
                                bytes.extend(cell.parse::<u32>().unwrap().to_be_bytes());
                            }
                        }
                        None => bytes.extend(value.trim_matches('"').bytes().chain([0])),
                    }
                }
                tree.set(node, name.trim(), bytes);
            }
            tree
        }
    }

    #[test]
    fn a_node_below_a_disabled_one_is_disabled() {
        let tree = Tree::of_text(
            "/soc\ncompatible = \"simple-bus\"\n/soc/i2c@1\ncompatible = \"a,i2c\"\nstatus = \"disabled\"\n\
            /soc/i2c@1/pmic@2\ncompatible = \"a,pmic\"\n/soc/mmc@3\ncompatible = \"a,mmc\"\nstatus = \"okay\"",
        );
        let names: Vec<String> = tree.devices().iter().map(|&id| tree.path(id)).collect();
        assert_eq!(names, ["/soc", "/soc/mmc@3"]);
        assert!(!tree.is_enabled(tree.find("/soc/i2c@1/pmic@2").unwrap()));
    }

    #[test]
    fn paths_aliases_and_phandles_find_their_node() {
        let tree = Tree::of_text("/soc/mmc@3\nphandle = <7>\n/aliases\nmmc0 = \"/soc/mmc@3\"\nodd = \"mmc0\"");
        let mmc = tree.find("/soc/mmc@3");
        assert!(mmc.is_some() && mmc == tree.find("mmc0") && mmc == tree.by_phandle(7));
        assert_eq!((tree.find("odd"), tree.find("/soc/mmc"), tree.find("mmc1")), (None, None, None));
        assert_eq!((tree.find("/"), tree.path(ROOT).as_str()), (Some(ROOT), "/"));
    }

    #[test]
    fn cpus_of_armv8_are_of_64_bits() {
        let is_64 = |name: &str| {
            let tree = Tree::of_text(&format!("/cpus/cpu@0\ndevice_type = \"cpu\"\ncompatible = \"{name}\""));
            cpu_of_64_bits(&tree).is_some()
        };
        assert!(["arm,cortex-a53", "arm,cortex-a78ae", "arm,armv8"].into_iter().all(is_64));
        assert!(!["arm,cortex-a7", "arm,cortex-a17", "arm,cortex-a32", "arm,armv7"].into_iter().any(is_64));
    }
}
