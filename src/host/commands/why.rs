//! `mkinitmod why`: how a module came to be in, or what a node of the device tree asks for and hangs on.

use super::args::WhyArgs;
use super::inputs::{BoardInputs, Inputs};
use super::report::print;
use crate::host::dt::driver::{Driver, Drivers};
use crate::host::dt::modalias;
use crate::host::dt::root::unknown;
use crate::host::dt::suppliers::supplies;
use crate::host::dt::tree::{NodeId, Tree};
use crate::host::dt::way::Way;
use crate::host::error::{Error, Result};
use crate::host::select::selection::{Reason, Selection};
use std::collections::BTreeSet;

/// Answers, and prints the answer.
///
/// # Errors
/// As of [`Inputs::read`]; and where what is asked for is neither a module nor a node.
pub fn run(args: &WhyArgs) -> Result<()> {
    let inputs = Inputs::read(&args.source, true)?;
    let modname = args.what.replace('-', "_");
    let at = inputs.stock.modules.iter().position(|module| module.modname == modname);
    let text = match (at, node(&inputs, &args.what)) {
        (Some(at), _) => why_module(&inputs, at)?,
        (None, Some((part, tree, id))) => why_node(&inputs, part, tree, id)?,
        (None, None) => return Err(neither(&inputs, &args.what, &modname)),
    };
    print(&text);
    Ok(())
}

/// Finds a node by path, alias, label or name, in the first tree that has it.
fn node<'a>(inputs: &'a Inputs, what: &str) -> Option<(&'a BoardInputs, &'a Tree, NodeId)> {
    let trees = inputs.boards.iter().flat_map(|part| part.trees.iter().map(move |tree| (part, tree)));
    trees.into_iter().find_map(|(part, tree)| {
        let labelled = tree.symbol(what).map(str::to_owned);
        let found = tree.find(what).or_else(|| tree.find(&labelled?));
        let named = || (1..tree.len()).find(|&id| tree.node(id).name == what);
        found.or_else(named).map(|id| (part, tree, id))
    })
}

fn neither(inputs: &Inputs, what: &str, modname: &str) -> Error {
    let is_builtin = inputs.stock.tree.builtin.as_deref().unwrap_or_default().split(|&byte| byte == b'\n');
    if is_builtin.map(String::from_utf8_lossy).any(|path| crate::host::modules::file::modname(&path) == modname) {
        return Error::input(what, "is built into the kernel");
    }
    let modnames = inputs.stock.modules.iter().map(|module| module.modname.as_str());
    let near = crate::host::spelling::closest(what, modnames);
    match (inputs.trees().next(), near) {
        (_, Some(near)) => Error::input(what, format!("no module or node of that name; did you mean `{near}`?")),
        (Some(tree), None) => Error::input(what, format!("no module of that name, and {}", unknown(tree, what))),
        (None, None) => Error::input(what, "no module of that name"),
    }
}

fn why_module(inputs: &Inputs, at: usize) -> Result<String> {
    let selection = inputs.select()?;
    let module = &inputs.stock.modules[at];
    if selection.picks.iter().all(|pick| pick.at != at) {
        return Ok(format!("{} is not in: nothing asks for it\n", module.modname));
    }
    let mut text = format!("{}\n", trail(inputs, &selection, at));
    let users = selection.edges.iter().filter(|(_, needed)| *needed == at).filter_map(|(user, _)| *user);
    let users: BTreeSet<&str> = users.map(|at| inputs.stock.modules[at].modname.as_str()).collect();
    if !users.is_empty() {
        text += &format!("needed by: {}\n", users.into_iter().collect::<Vec<_>>().join(", "));
    }
    Ok(text)
}

/// Tells how a module came in, from what the board asks for down to it.
fn trail(inputs: &Inputs, selection: &Selection, at: usize) -> String {
    let modname = &inputs.stock.modules[at].modname;
    let place =
        |name: &str| inputs.stock.modules.iter().position(|module| module.modname == name).expect("it was picked");
    match selection.picks.iter().find(|pick| pick.at == at).map(|pick| (&pick.reason, &pick.note)) {
        Some((Reason::NeededBy(user), _)) => format!("{} -> {modname}", trail(inputs, selection, place(user))),
        Some((Reason::SoftdepOf(user), _)) => format!("{} -softdep-> {modname}", trail(inputs, selection, place(user))),
        Some((Reason::WeakdepOf(user), _)) => format!("{} -weakdep-> {modname}", trail(inputs, selection, place(user))),
        Some((reason, Some(note))) => format!("{reason} ({note}) -> {modname}"),
        Some((reason, None)) => format!("{reason} -> {modname}"),
        None => modname.clone(),
    }
}

fn why_node(inputs: &Inputs, part: &BoardInputs, tree: &Tree, id: NodeId) -> Result<String> {
    let catalogue = inputs.stock.catalogue(&inputs.config_text, inputs.kernel.as_ref(), None);
    let drivers = &catalogue.drivers;
    let modnames = |driver: &Driver| {
        let names = driver.modules.iter().map(|(at, by)| format!("{by} -> {}", inputs.stock.modules[*at].modname));
        names.collect::<Vec<_>>()
    };
    let mut text = format!("{}{}\n", tree.path(id), if tree.is_enabled(id) { "" } else { "  (disabled)" });
    if let Some(root) = &part.root {
        let (starts, _) = root.nodes(tree, drivers).map_err(|what| inputs.board.fault("root", what))?;
        let way = Way::new(tree, &starts);
        text += &match way.order.contains(&id) {
            true => format!("  root={root} -> {}\n", way.chain(tree, id)),
            false => format!("  not on the way to root={root}\n"),
        };
    }
    let driver = drivers.of(tree, id);
    for answer in modnames(&driver) {
        text += &format!("  module: {answer}\n");
    }
    if driver.modules.is_empty() {
        text += &format!("  {}\n", answer(&driver, drivers));
        text += &format!("  asks for {}\n", modalias::of(tree, id));
        modalias::others(tree, id).iter().for_each(|other| text += &format!("  asks for {other}\n"));
    }
    for (at, _) in &driver.modules {
        for (cell, name) in drivers.cells(*at).iter() {
            text += &format!("  part: platform:{name} -> {}\n", inputs.stock.modules[*cell].modname);
        }
    }
    if driver.modules.is_empty() {
        for (cell, name) in drivers.likely_cells(tree, id) {
            text += &format!("  part, likely: platform:{name} -> {}\n", inputs.stock.modules[cell].modname);
        }
    }
    let above = tree.up(id).skip(1).find(|&above| tree.has(above, "compatible")).filter(|&above| above != 0);
    let above = above.map(|above| ("parent", above)).into_iter();
    for (prop, target) in above.chain(supplies(tree, id).into_iter().map(|supply| (supply.prop, supply.target))) {
        let device = tree.device_of(target).unwrap_or(target);
        let driver = drivers.of(tree, device);
        let served = modnames(&driver).join(", ");
        let served = if served.is_empty() { answer(&driver, drivers) } else { served };
        let line = format!("  -{prop}-> {}: {served}\n", tree.node(device).name);
        if !text.contains(&line) {
            text += &line;
        }
    }
    Ok(text)
}

/// Says who serves a node that no module serves.
fn answer(driver: &Driver, drivers: &Drivers<'_>) -> String {
    match &driver.builtin {
        Some(compatible) => format!("built in: {compatible}"),
        None if drivers.knows_kernel() => "no driver: neither a module nor the kernel serves it".into(),
        None => "no module; whether the kernel serves it is not known (--kernel FILE tells)".into(),
    }
}
