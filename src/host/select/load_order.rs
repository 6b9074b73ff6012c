// SPDX-License-Identifier: MIT OR Apache-2.0
//! The load order towards the root.
//!
//! A driver loaded before its suppliers is deferred by the kernel and probed again in any order: /dev/mmcblk0 may then be
//! another slot. So each driver gets softdeps on its suppliers' drivers. A softdep that fails does not stop the load, and
//! modules without softdeps on each other load in parallel.

use crate::host::modules::graph::Graph;
use crate::host::modules::module::{Module, ModuleId};
use crate::modules::name::same;
use std::collections::{BTreeMap, BTreeSet};

/// The modules to load first, as they were found.
#[derive(Clone, Debug, Default)]
pub struct LoadList {
    /// Modnames or aliases, as in modules-load.d.
    names: Vec<String>,
    links: BTreeSet<SupplierLink>,
}

/// A driver whose devices need devices of another driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SupplierLink {
    /// The consumers' driver.
    pub consumer: ModuleId,
    /// The suppliers' driver.
    pub supplier: ModuleId,
}

/// The modules to load first, in order.
#[derive(Debug, Default)]
pub struct LoadOrder {
    /// Modnames or aliases, as in modules-load.d; suppliers before their consumers.
    pub names: Vec<String>,
    /// Modules with the drivers of their suppliers; without cycles.
    pub softdeps: Vec<(String, Vec<String>)>,
}

impl LoadList {
    /// Adds a modname or alias, unless it is there.
    pub fn push(&mut self, name: &str) {
        if has(&self.names, name) {
            return;
        }
        self.names.push(name.into());
    }

    /// Adds links between consumers and suppliers.
    pub fn add_links(&mut self, links: impl IntoIterator<Item = SupplierLink>) {
        self.links.extend(links);
    }

    /// Adds the list of another board.
    pub fn add(&mut self, other: &LoadList) {
        other.names.iter().for_each(|name| self.push(name));
        self.links.extend(&other.links);
    }

    /// Sorts suppliers before consumers. Links of a device tree may form cycles; the links against the order in which the
    /// names were found are added last, and one that closes a cycle is dropped.
    pub fn order(&self, modules: &[Module], graph: &Graph) -> LoadOrder {
        let rank =
            |id: ModuleId| self.names.iter().position(|name| same(name.as_bytes(), modules[id].modname.as_bytes()));
        let mut links: Vec<SupplierLink> = self.links.iter().copied().collect();
        links.sort_by_key(|link| {
            let (consumer, supplier) = (rank(link.consumer), rank(link.supplier));
            (consumer < supplier, consumer, supplier)
        });
        let mut suppliers = BTreeMap::<ModuleId, Vec<ModuleId>>::new();
        for SupplierLink { consumer, supplier } in links {
            let closes_cycle = waits_for(supplier, consumer, &suppliers, graph);
            if !closes_cycle && !graph.closure(consumer).contains(&supplier) {
                suppliers.entry(consumer).or_default().push(supplier);
            }
        }
        let name = |id: &ModuleId| modules[*id].modname.clone();
        let mut softdeps: Vec<_> = suppliers.iter().collect();
        softdeps.sort_by_key(|(consumer, _)| rank(**consumer));
        let softdeps = softdeps.into_iter().map(|(consumer, list)| (name(consumer), list.iter().map(name).collect()));
        let mut order = LoadOrder { names: Vec::new(), softdeps: softdeps.collect() };
        self.names.iter().for_each(|name| order.push(name));
        order
    }
}

impl LoadOrder {
    /// Returns the text of a modules-load.d file.
    pub fn modules_load_conf(&self) -> Vec<u8> {
        self.names.iter().flat_map(|name| format!("{name}\n").into_bytes()).collect()
    }

    /// Returns the text of a modprobe.d file with the softdeps.
    pub fn modprobe_conf(&self) -> Vec<u8> {
        let line = |(consumer, suppliers): &(String, Vec<String>)| {
            format!("softdep {consumer} pre: {}\n", suppliers.join(" "))
        };
        self.softdeps.iter().flat_map(|softdep| line(softdep).into_bytes()).collect()
    }

    /// Adds a name after the drivers of its suppliers.
    fn push(&mut self, name: &str) {
        if has(&self.names, name) {
            return;
        }
        let softdep = self.softdeps.iter().find(|(consumer, _)| same(consumer.as_bytes(), name.as_bytes()));
        for supplier in softdep.map(|(_, suppliers)| suppliers.clone()).unwrap_or_default() {
            self.push(&supplier);
        }
        self.names.push(name.into());
    }
}

fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|known| same(known.as_bytes(), name.as_bytes()))
}

/// Whether `from` waits for `to`, directly or through others.
fn waits_for(from: ModuleId, to: ModuleId, suppliers: &BTreeMap<ModuleId, Vec<ModuleId>>, graph: &Graph) -> bool {
    let (mut open, mut seen) = (vec![from], BTreeSet::new());
    while let Some(id) = open.pop() {
        if id == to {
            return true;
        }
        if seen.insert(id) {
            open.extend(graph.direct(id).iter().chain(suppliers.get(&id).into_iter().flatten()));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Orders a list of `names`, all of them modules, with links from consumers to suppliers.
    fn order(names: &[&str], links: &[(&str, &str)]) -> LoadOrder {
        let modules: Vec<Module> =
            names.iter().map(|name| Module { modname: name.replace('-', "_"), ..Module::default() }).collect();
        let id = |wanted: &str| ModuleId::new(names.iter().position(|name| *name == wanted).unwrap());
        let mut list = LoadList::default();
        names.iter().for_each(|name| list.push(name));
        list.add_links(
            links.iter().map(|(consumer, supplier)| SupplierLink { consumer: id(consumer), supplier: id(supplier) }),
        );
        list.order(&modules, &Graph::new(&modules).unwrap())
    }

    #[test]
    fn suppliers_come_first_and_the_rest_stays() {
        let order = order(&["a-host", "x", "gpio", "power", "y"], &[("a-host", "power"), ("power", "gpio")]);
        assert_eq!(order.names, ["gpio", "power", "a-host", "x", "y"]);
        assert_eq!(order.modprobe_conf(), b"softdep a_host pre: power\nsoftdep power pre: gpio\n");
        assert_eq!(order.modules_load_conf(), b"gpio\npower\na-host\nx\ny\n");
    }

    #[test]
    fn a_cycle_is_cut_by_the_order_found() {
        let order = order(&["clock", "pmic", "mmc"], &[("clock", "pmic"), ("pmic", "clock"), ("mmc", "clock")]);
        assert_eq!(order.names, ["clock", "pmic", "mmc"]);
        assert_eq!(order.modprobe_conf(), b"softdep pmic pre: clock\nsoftdep mmc pre: clock\n");
        assert!(self::order(&["a"], &[]).softdeps.is_empty());
    }
}
