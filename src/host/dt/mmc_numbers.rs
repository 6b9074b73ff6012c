// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the disks whose /dev/mmcblkN number may change between boots.
//!
//! A host for MMC and SD cards with an alias, `mmc0 = "/soc/mmc@1"`, has a fixed number. The others are numbered in the order
//! in which their drivers probe, and most drivers probe asynchronously. Source: the kernel's drivers/mmc/core/host.c,
//! `mmc_alloc_host`.

use super::driver::Drivers;
use super::root::ROOT_KINDS;
use super::tree::{NodeId, ROOT, Tree};

/// Returns the hosts without a fixed number; none if there is only one, whose number cannot change.
pub fn unnumbered(tree: &Tree, drivers: &Drivers<'_>) -> Vec<NodeId> {
    let mmc = ROOT_KINDS.iter().find(|kind| kind.name == "mmc").expect("mmc is in the table");
    let hosts: Vec<NodeId> = tree.devices().into_iter().filter(|&id| mmc.has(tree, drivers, id)).collect();
    let aliases = tree.child(ROOT, "aliases").map(|aliases| tree.node(aliases).props.as_slice()).unwrap_or_default();
    let numbers = aliases.iter().filter(|(name, _)| name.strip_prefix("mmc").is_some_and(is_number));
    let numbered: Vec<NodeId> = numbers.filter_map(|(name, _)| tree.find(name)).collect();
    // If each slot has a node, the slots are the hosts, not the controller above them.
    let has_slots = |id: NodeId| hosts.iter().any(|&slot| slot != id && tree.up(slot).any(|above| above == id));
    let is_free = |id: &NodeId| !numbered.contains(id) && !has_slots(*id);
    let free: Vec<NodeId> = hosts.iter().copied().filter(is_free).collect();
    if free.len() < 2 { Vec::new() } else { free }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
