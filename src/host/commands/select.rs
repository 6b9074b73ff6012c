//! `mkinitmod select`: the modules that a board needs, for people and as JSON; and many boards at once, a line each.

use super::args::SelectArgs;
use super::inputs::{BoardInputs, Inputs};
use super::report::{grouped, print};
use crate::host::dt::blob;
use crate::host::dt::root::Root;
use crate::host::error::{Error, Result};
use crate::host::select::dominators::savings;
use crate::host::select::select::{Wish, select};
use crate::host::select::selection::{Selection, numbers};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What is printed of a selection.
#[derive(Debug, Serialize)]
struct Selected<'a> {
    board: String,
    kernel: &'a str,
    modules: Vec<Row<'a>>,
    /// Bytes of all modules, as the tree has them.
    bytes: u64,
    /// What is loaded first, in this order.
    load: Vec<String>,
    /// Of several boards: what is loaded first on each, by the first of its device tree's compatible strings.
    lanes: BTreeMap<&'a str, Vec<String>>,
    builtin: Vec<Named>,
    /// What was asked for, need not be there, and is not.
    not_there: Vec<Named>,
    /// Nodes that the root may be on and whose disks may have another number at each boot.
    numbered_as_they_come: &'a [String],
    /// It is known what the kernel serves by itself.
    knows_kernel: bool,
    /// Nodes that no module serves; nor, if that is known, the kernel.
    unserved: &'a [String],
}

/// A module.
#[derive(Debug, Serialize)]
struct Row<'a> {
    module: &'a str,
    path: &'a str,
    bytes: u64,
    /// What would fall away with it, itself included.
    saves: u64,
    why: String,
    needed_by: Vec<&'a str>,
}

/// What is asked for, and why.
#[derive(Debug, Serialize)]
struct Named {
    name: String,
    why: String,
}

/// Selects, and prints what came of it.
///
/// # Errors
/// As of [`Inputs::read`] and [`select`].
pub fn run(args: &SelectArgs) -> Result<()> {
    if args.each {
        return each(args);
    }
    let inputs = Inputs::read(&args.source, true)?;
    let selection = inputs.select()?;
    let selected = selected(&inputs, &selection);
    let text = if args.json {
        serde_json::to_string_pretty(&selected).expect("strings and numbers are JSON") + "\n"
    } else {
        table(&selected)
    };
    print(&text);
    Ok(())
}

fn selected<'a>(inputs: &'a Inputs, selection: &'a Selection) -> Selected<'a> {
    let modules = &inputs.stock.modules;
    let places: Vec<usize> = selection.picks.iter().map(|pick| pick.at).collect();
    let saves = savings(&places, &selection.edges, |at| modules[at].file_len);
    let rows = selection.picks.iter().zip(saves).map(|(pick, saves)| {
        let users = selection.edges.iter().filter(|(_, needed)| *needed == pick.at).filter_map(|(user, _)| *user);
        let module = &modules[pick.at];
        Row {
            module: &module.modname,
            path: &module.path,
            bytes: module.file_len,
            saves,
            why: pick.to_string(),
            needed_by: users.map(|at| modules[at].modname.as_str()).collect(),
        }
    });
    Selected {
        board: inputs.title(),
        kernel: &inputs.stock.tree.kver,
        modules: rows.collect(),
        bytes: places.iter().map(|&at| modules[at].file_len).sum(),
        load: inputs.stock.order(&selection.lane).load,
        lanes: selection
            .lanes
            .iter()
            .map(|(compatible, lane)| (compatible.as_str(), inputs.stock.order(lane).load))
            .collect(),
        builtin: selection
            .builtin
            .iter()
            .map(|(name, why)| Named { name: name.clone(), why: why.to_string() })
            .collect(),
        not_there: not_there(selection),
        numbered_as_they_come: &selection.as_they_come,
        knows_kernel: inputs.kernel.is_some(),
        unserved: &selection.unserved,
    }
}

/// Lists what is not there, with what asks for it.
fn not_there(selection: &Selection) -> Vec<Named> {
    let softdeps = selection.unknown_softdeps.iter().map(|(name, of)| (name.clone(), format!("softdep of {of}")));
    let idle = selection.idle_exclusions.iter().map(|name| (name.clone(), "modules.exclude".to_owned()));
    let all = selection.absent.iter().cloned().chain(softdeps).chain(idle);
    all.map(|(name, why)| Named { name, why }).collect()
}

fn table(selected: &Selected<'_>) -> String {
    let mut text = format!("{}\n\n", selected.board);
    let total = format!("{} modules", selected.modules.len());
    let names = selected.modules.iter().map(|row| row.module.len()).chain(["module".len(), total.len()]);
    let width = names.max().unwrap_or(0);
    let size_width = grouped(selected.bytes).len().max("bytes".len());
    let mut line = |name: &str, bytes: &str, saves: &str, why: &str| {
        let line = format!("{name:width$}  {bytes:>size_width$}  {saves:>size_width$}  {why}");
        writeln!(text, "{}", line.trim_end()).expect("a String takes it");
    };
    line("module", "bytes", "saves", "why; and who else needs it");
    for row in &selected.modules {
        let also = row
            .needed_by
            .iter()
            .filter(|user| !row.why.ends_with(&format!(" {user}")))
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        let why = if also.is_empty() { row.why.clone() } else { format!("{}; {also}", row.why) };
        line(row.module, &grouped(row.bytes), &grouped(row.saves), &why);
    }
    line(&total, &grouped(selected.bytes), "", "");
    if !selected.load.is_empty() {
        writeln!(text, "\nloaded first: {}", selected.load.join(" ")).expect("a String takes it");
    }
    for (compatible, lane) in &selected.lanes {
        writeln!(text, "loaded first on {compatible}: {}", lane.join(" ")).expect("a String takes it");
    }
    for Named { name, why } in &selected.builtin {
        writeln!(text, "built in: {name} ({why})").expect("a String takes it");
    }
    for Named { name, why } in &selected.not_there {
        writeln!(text, "missing: {name} ({why})").expect("a String takes it");
    }
    if let Some(numbers) = numbers(selected.numbered_as_they_come) {
        writeln!(text, "{numbers}").expect("a String takes it");
    }
    if selected.knows_kernel {
        for node in selected.unserved {
            writeln!(text, "no driver: {node}").expect("a String takes it");
        }
    } else if !selected.unserved.is_empty() {
        let count = selected.unserved.len();
        writeln!(
            text,
            "{count} nodes without module: whether the kernel serves them is not known (--kernel FILE tells)"
        )
        .expect("a String takes it");
    }
    text
}

/// Selects for each device tree by itself. What is wrong with one is told, and the others go on.
fn each(args: &SelectArgs) -> Result<()> {
    let mut source = args.source.clone();
    let blobs = blobs(&std::mem::take(&mut source.dtb))?;
    let root = source.root.take().map(|root| root.parse::<Root>()).transpose();
    let root = root.map_err(|what| Error::input("--root", what))?;
    let inputs = Inputs::read(&source, true)?;
    let [BoardInputs { board, .. }] = &inputs.boards[..] else {
        return Err(Error::input("--each", "takes one board file at most"));
    };
    let catalogue = inputs.stock.catalogue(&inputs.config_text, inputs.kernel.as_ref(), inputs.kconfig.as_ref());
    let lines: Vec<(String, bool)> = blobs
        .par_iter()
        .map(|path| {
            let name = path.display();
            let outcome = blob::read(path).and_then(|tree| {
                let trees = [tree];
                let of = |root| select(&Wish { board, trees: &trees, root }, &catalogue);
                // A board without the root asked for is none of the tool's faults: the whole of it is shown.
                let (selection, none) = match of(root.clone()) {
                    Err(error) if root.is_some() => (of(None)?, format!("  ({error}: whole board)")),
                    outcome => (outcome?, String::new()),
                };
                Ok((selection, none))
            });
            match outcome {
                Ok((selection, none)) => {
                    let bytes = selection.picks.iter().map(|pick| inputs.stock.modules[pick.at].file_len).sum();
                    (format!("{:5}  {:>11}  {name}{none}\n", selection.picks.len(), grouped(bytes)), true)
                }
                Err(error) => (format!("{error}\n"), false),
            }
        })
        .collect();
    print("count        bytes  device tree\n");
    print(&lines.iter().filter(|(_, is_good)| *is_good).map(|(line, _)| line.as_str()).collect::<String>());
    let bad: Vec<&str> = lines.iter().filter(|(_, is_good)| !is_good).map(|(line, _)| line.trim_end()).collect();
    bad.iter().for_each(|line| eprintln!("mkinitmod: {line}"));
    match bad.len() {
        0 => Ok(()),
        count => Err(Error::input("--each", format!("{count} of {} device trees failed", blobs.len()))),
    }
}

/// Lists the files given, and all device trees in the directories given.
fn blobs(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let (mut blobs, mut open) = (Vec::new(), given.to_vec());
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).map_err(Error::io(&path))? {
                let path = entry.map_err(Error::io(&path))?.path();
                if path.is_dir() || path.extension() == Some("dtb".as_ref()) {
                    open.push(path);
                }
            }
        } else {
            blobs.push(path);
        }
    }
    blobs.sort();
    if blobs.is_empty() {
        let path: &Path = given.first().map_or(Path::new("--dtb"), PathBuf::as_path);
        return Err(Error::input(path, "no device tree in there"));
    }
    Ok(blobs)
}
