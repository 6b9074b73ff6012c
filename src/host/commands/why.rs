// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mkinitmod why`: prints how a module came into the selection, or the drivers and suppliers of a device tree node.

use super::args::WhyArgs;
use super::inputs::{BoardInputs, Inputs};
use super::report::print;
use crate::host::dt::driver::{Driver, Drivers};
use crate::host::dt::modalias;
use crate::host::dt::root::no_node;
use crate::host::dt::suppliers;
use crate::host::dt::tree::{NodeId, ROOT, Tree};
use crate::host::dt::way::Way;
use crate::host::error::{Error, Result};
use crate::host::modules::file::modname;
use crate::host::modules::module::{Module, ModuleId};
use crate::host::spelling;
use std::collections::BTreeSet;

/// Prints the reason of a module, or the drivers and suppliers of a node. Returns whether it is selected; a node counts as
/// such.
///
/// # Errors
/// Those of [`Inputs::read`]; or the name is neither a module nor a node.
pub fn run(args: &WhyArgs) -> Result<bool> {
    let inputs = Inputs::read(&args.source, true)?;
    let modules = inputs.indexed.modules.as_slice();
    let modname = args.what.replace('-', "_");
    let id = ModuleId::all(modules.len()).find(|&id| modules[id].modname == modname);
    let (text, is_selected) = match (id, find_node(&inputs, &args.what)) {
        (Some(id), _) => match why_module(&inputs, id)? {
            Some(text) => (text, true),
            None => (format!("{modname} is not selected: nothing requires it\n"), false),
        },
        (None, Some((board, tree, node))) => (why_node(&inputs, board, tree, node)?, true),
        (None, None) => return Err(not_found(&inputs, &args.what, &modname)),
    };
    print(&text);
    Ok(is_selected)
}

/// Finds a node by path, alias, label or name, in the first tree that has it.
fn find_node<'a>(inputs: &'a Inputs, name: &str) -> Option<(&'a BoardInputs, &'a Tree, NodeId)> {
    let mut trees = inputs.boards.iter().flat_map(|board| board.trees.iter().map(move |tree| (board, tree)));
    trees.find_map(|(board, tree)| {
        let by_name = || tree.ids().skip(1).find(|&node| tree.node(node).name == name);
        tree.find_by_label(name).or_else(by_name).map(|node| (board, tree, node))
    })
}

fn not_found(inputs: &Inputs, name: &str, wanted: &str) -> Error {
    let builtin = inputs.indexed.tree.builtin.as_deref().unwrap_or_default().split(|&byte| byte == b'\n');
    if builtin.map(String::from_utf8_lossy).any(|path| modname(&path) == wanted) {
        return Error::input(name, "is built into the kernel");
    }
    let modnames = inputs.indexed.modules.iter().map(|module| module.modname.as_str());
    match (inputs.trees().next(), spelling::closest(name, modnames)) {
        (_, Some(near)) => Error::input(name, format!("no module or node of that name; did you mean `{near}`?")),
        (Some(tree), None) => Error::input(name, format!("no module of that name, and {}", no_node(tree, name))),
        (None, None) => Error::input(name, "no module of that name"),
    }
}

/// Returns the reason of a module; `None` if it is not selected.
fn why_module(inputs: &Inputs, id: ModuleId) -> Result<Option<String>> {
    let selection = inputs.select()?;
    let modules = inputs.indexed.modules.as_slice();
    if selection.pick(id).is_none() {
        return Ok(None);
    }
    let mut text = format!("{}\n", selection.trail(modules, id));
    let users: BTreeSet<&str> = selection.users(id).map(|user| modules[user].modname.as_str()).collect();
    if !users.is_empty() {
        text += &format!("needed by: {}\n", users.into_iter().collect::<Vec<_>>().join(", "));
    }
    Ok(Some(text))
}

fn why_node(inputs: &Inputs, board: &BoardInputs, tree: &Tree, node: NodeId) -> Result<String> {
    let catalogue = inputs.catalogue();
    let (drivers, modules) = (&catalogue.drivers, catalogue.modules);
    let mut text = format!("{}{}\n", tree.path(node), if tree.is_enabled(node) { "" } else { "  (disabled)" });
    if let Some(root) = &board.root {
        let (starts, _) = root.nodes(tree, drivers).map_err(|what| inputs.board.fault("root", what))?;
        let way = Way::new(tree, &starts);
        text += &match way.order.contains(&node) {
            true => format!("  root={root} -> {}\n", way.steps(tree, node)),
            false => format!("  not on the way to root={root}\n"),
        };
    }
    text += &node_drivers(drivers, modules, tree, node);
    for line in supplier_lines(drivers, modules, tree, node) {
        if !text.contains(&line) {
            text += &line;
        }
    }
    Ok(text)
}

/// Returns the lines of a node's drivers and MFD cells; without a module also those of its modaliases.
fn node_drivers(drivers: &Drivers<'_>, modules: &[Module], tree: &Tree, node: NodeId) -> String {
    let driver = drivers.of(tree, node);
    let mut lines = Vec::new();
    if driver.modules.is_empty() {
        lines.push(without_module(&driver, drivers));
        lines.push(format!("modalias: {}", modalias::of(tree, node)));
        lines.extend(modalias::others(tree, node).iter().map(|other| format!("modalias: {other}")));
        for cell in drivers.likely_cells(tree, node) {
            lines.push(format!("likely MFD cell: platform:{} -> {}", cell.name, modules[cell.id].modname));
        }
    }
    lines.extend(matching(&driver, modules).map(|line| format!("module: {line}")));
    for module in &driver.modules {
        for cell in drivers.cells(module.id).iter() {
            lines.push(format!("MFD cell: platform:{} -> {}", cell.name, modules[cell.id].modname));
        }
    }
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

/// Returns the lines of a node's suppliers, and of the device above it, with their drivers.
fn supplier_lines(drivers: &Drivers<'_>, modules: &[Module], tree: &Tree, node: NodeId) -> Vec<String> {
    let above = tree.up(node).skip(1).find(|&above| tree.has(above, "compatible")).filter(|&above| above != ROOT);
    let above = above.map(|above| ("parent", above)).into_iter();
    let suppliers = suppliers::of(tree, node).into_iter().map(|supplier| (supplier.property, supplier.target));
    let line = |(property, target)| {
        let device = tree.device_of(target).unwrap_or(target);
        let driver = drivers.of(tree, device);
        let drivers = match driver.modules.is_empty() {
            true => without_module(&driver, drivers),
            false => matching(&driver, modules).collect::<Vec<_>>().join(", "),
        };
        format!("  -{property}-> {}: {drivers}\n", tree.node(device).name)
    };
    above.chain(suppliers).map(line).collect()
}

/// Yields the modules of a driver: `acme,mmc -> acme_mmc`.
fn matching<'a>(driver: &'a Driver, modules: &'a [Module]) -> impl Iterator<Item = String> + 'a {
    driver.modules.iter().map(|module| format!("{} -> {}", module.by, modules[module.id].modname))
}

/// Returns the text for a node that matches no module.
fn without_module(driver: &Driver, drivers: &Drivers<'_>) -> String {
    match &driver.builtin {
        Some(compatible) => format!("built in: {compatible}"),
        None if drivers.knows_kernel() => "no driver: matches neither a module nor a built-in driver".into(),
        None => "matches no module; --kernel FILE shows whether a built-in driver matches".into(),
    }
}
