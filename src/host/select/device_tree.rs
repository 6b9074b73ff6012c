// SPDX-License-Identifier: MIT OR Apache-2.0
//! Picks the modules that a device tree needs.

use super::load_order::SupplierLink;
use super::picker::Picker;
use super::reason::{Reason, Request};
use crate::host::dt::needs;
use crate::host::dt::needs::Needs;
use crate::host::dt::root::{Root, USB_STORAGE_DIR};
use crate::host::dt::tree::Tree;
use crate::host::error::Result;

impl Picker<'_> {
    /// Picks the modules on the way to the root; they are loaded first.
    pub(super) fn add_way_to_root(&mut self, tree: &Tree, root: &Root) -> Result<()> {
        let needs = needs::of_root(tree, &self.catalogue.drivers, root).map_err(|what| self.fault("root", what))?;
        for module in &needs.modules {
            if !self.is_excluded(module.id) {
                self.load_first(module.id);
            }
        }
        self.add_needs(tree, &needs);
        let links = needs.edges.iter().filter(|edge| self.is_picked(edge.needed));
        let links = links.filter_map(|edge| Some(SupplierLink { consumer: edge.user?, supplier: edge.needed }));
        let links: Vec<SupplierLink> = links.filter(|link| self.is_picked(link.consumer)).collect();
        self.selection.load_list.add_links(links);
        self.use_builtins(&needs.builtins, true);
        self.add_implied(&needs, Some(root), true);
        Ok(())
    }

    /// Picks the modules of all enabled nodes.
    pub(super) fn add_whole_board(&mut self, tree: &Tree) {
        let needs = needs::of_board(tree, &self.catalogue.drivers);
        self.add_needs(tree, &needs);
        self.use_builtins(&needs.builtins, false);
        self.add_implied(&needs, None, false);
    }

    fn add_needs(&mut self, tree: &Tree, needs: &Needs) {
        for module in &needs.modules {
            if !self.is_excluded(module.id) {
                self.pick(module.id, Reason::Requested(Request::Node(module.reason.clone())));
            }
        }
        let edges: Vec<_> = needs.edges.iter().copied().filter(|edge| self.is_picked(edge.needed)).collect();
        self.selection.edges.extend(edges);
        self.selection.unnumbered.extend(needs.unnumbered.iter().map(|&node| tree.path(node)));
        self.selection.without_driver.extend(needs.without_driver.iter().map(|&node| needs::described(tree, node)));
    }

    /// Picks the modules that no node names; they may be missing.
    fn add_implied(&mut self, needs: &Needs, root: Option<&Root>, is_first: bool) {
        for &name in &needs.implied {
            let hits = self.catalogue.resolve(name).unwrap_or_default();
            let request = Request::Implied { root: root.cloned(), name };
            self.use_builtins(&hits.builtins, is_first);
            if !hits.builtins.is_empty() {
                self.selection.add_builtin(name, request.clone());
            }
            for id in hits.modules {
                if !self.is_excluded(id) {
                    self.pick_requested(id, request.clone());
                    if is_first {
                        self.load_first(id);
                    }
                }
            }
            if is_first && name == "usb_storage" {
                self.add_usb_bridges(root);
            }
        }
    }

    /// Picks the drivers for bridges of USB disks. The device loads that of its disk.
    fn add_usb_bridges(&mut self, root: Option<&Root>) {
        for id in self.catalogue.by_dir(USB_STORAGE_DIR).modules {
            if !self.is_excluded(id) {
                self.pick_requested(id, Request::Implied { root: root.cloned(), name: "bridges of USB disks" });
            }
        }
    }
}
