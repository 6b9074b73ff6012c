//! Which disks the kernel numbers as they come. A host for MMC and SD cards that has an alias, `mmc0 = "/soc/mmc@1"`, has
//! its number at each boot; the others get theirs in the order in which their drivers get to them, and most drivers do
//! so side by side. Source: the kernel's drivers/mmc/core/host.c, `mmc_alloc_host`.

use super::driver::Drivers;
use super::root::CLASSES;
use super::tree::{NodeId, ROOT, Tree};

/// Returns the hosts that change numbers among themselves; none if it is one that has no number.
pub fn as_they_come(tree: &Tree, drivers: &Drivers<'_>) -> Vec<NodeId> {
    let mmc = CLASSES.iter().find(|class| class.name == "mmc").expect("it is a kind");
    let hosts: Vec<NodeId> = tree.devices().into_iter().filter(|&id| mmc.has(tree, drivers, id)).collect();
    let aliases = tree.child(ROOT, "aliases").map(|aliases| tree.node(aliases).props.as_slice()).unwrap_or_default();
    let numbers = aliases.iter().filter(|(name, _)| name.strip_prefix("mmc").is_some_and(is_number));
    let numbered: Vec<NodeId> = numbers.filter_map(|(name, _)| tree.find(name)).collect();
    // A controller with a node for each of its slots is none itself.
    let has_slots = |id: NodeId| hosts.iter().any(|&slot| slot != id && tree.up(slot).any(|above| above == id));
    let is_free = |id: &NodeId| !numbered.contains(id) && !has_slots(*id);
    let free: Vec<NodeId> = hosts.iter().copied().filter(is_free).collect();
    if free.len() < 2 { Vec::new() } else { free }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
