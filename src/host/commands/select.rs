// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mkinitmod select`: prints the modules that a board needs, as a table or JSON, or a line for each of many boards.

use super::args::SelectArgs;
use super::inputs::{BoardInputs, Inputs};
use super::report::{counted, fitted, grouped, print, terminal_columns};
use crate::host::board::file::Board;
use crate::host::dt::blob;
use crate::host::dt::root::Root;
use crate::host::error::{Error, Result};
use crate::host::modules::module::{Module, ModuleId};
use crate::host::select::catalogue::Catalogue;
use crate::host::select::dominators::savings;
use crate::host::select::for_board::select;
use crate::host::select::reason::Request;
use crate::host::select::selection::{Pick, Selection, number_warning};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The output of `mkinitmod select`; with `--json` the document.
#[derive(Debug, Serialize)]
struct Output<'a> {
    board: String,
    kernel: &'a str,
    modules: Vec<Row<'a>>,
    /// Bytes of all modules, as in the tree.
    bytes: u64,
    /// Modules to load first, in this order.
    load: Vec<String>,
    /// For several boards: the modules to load first on each, by the first `compatible` of its device tree.
    load_lists: BTreeMap<&'a str, Vec<String>>,
    builtin: Vec<Named>,
    /// Names that were not found and may be missing.
    #[serde(rename = "not_there")]
    absent: Vec<Named>,
    /// Possible root devices without a fixed number: `mmcblkN` may change between boots.
    #[serde(rename = "numbered_as_they_come")]
    unnumbered: &'a [String],
    /// Whether built-in drivers are known.
    knows_kernel: bool,
    /// Nodes that match no module; nor, if that is known, a built-in driver.
    #[serde(rename = "unserved")]
    without_driver: &'a [String],
}

/// A module.
#[derive(Debug, Serialize)]
struct Row<'a> {
    module: &'a str,
    path: &'a str,
    bytes: u64,
    /// Bytes saved by excluding it, its own included.
    saves: u64,
    why: String,
    /// All modules that need it.
    needed_by: Vec<&'a str>,
    /// Those of `needed_by` that `why` does not name.
    #[serde(skip)]
    also_needed_by: Vec<&'a str>,
}

/// A name and its reason.
#[derive(Debug, Serialize)]
struct Named {
    name: String,
    why: String,
}

/// Selects modules and prints them.
///
/// # Errors
/// Those of [`Inputs::read`] and [`select`].
pub fn run(args: &SelectArgs) -> Result<()> {
    if args.each {
        return each(args);
    }
    let inputs = Inputs::read(&args.source, true)?;
    let selection = inputs.select()?;
    let output = output(&inputs, &selection);
    let text = if args.json {
        serde_json::to_string_pretty(&output).expect("strings and numbers are JSON") + "\n"
    } else {
        table(&output)
    };
    print(&text);
    Ok(())
}

fn output<'a>(inputs: &'a Inputs, selection: &'a Selection) -> Output<'a> {
    let modules = inputs.indexed.modules.as_slice();
    let named = |(name, why): &(String, Request)| Named { name: name.clone(), why: why.to_string() };
    let load_list = |list| inputs.indexed.order(list).names;
    let load_lists = selection.load_lists.iter().map(|(compatible, list)| (compatible.as_str(), load_list(list)));
    Output {
        board: inputs.title(),
        kernel: &inputs.indexed.tree.kver,
        modules: rows(modules, selection),
        bytes: selection.picks.iter().map(|pick| modules[pick.id].file_len).sum(),
        load: load_list(&selection.load_list),
        load_lists: load_lists.collect(),
        builtin: selection.builtin.iter().map(named).collect(),
        absent: absent(selection),
        unnumbered: &selection.unnumbered,
        knows_kernel: inputs.kernel.is_some(),
        without_driver: &selection.without_driver,
    }
}

fn rows<'a>(modules: &'a [Module], selection: &Selection) -> Vec<Row<'a>> {
    let ids: Vec<ModuleId> = selection.picks.iter().map(|pick| pick.id).collect();
    let saves = savings(&ids, &selection.edges, |id| modules[id].file_len);
    let row = |(pick, saves): (&Pick, u64)| {
        let module = &modules[pick.id];
        let named = pick.reason.user();
        let others = selection.users(pick.id).filter(|user| Some(*user) != named);
        Row {
            module: &module.modname,
            path: &module.path,
            bytes: module.file_len,
            saves,
            why: pick.prose(modules),
            needed_by: selection.users(pick.id).map(|user| modules[user].modname.as_str()).collect(),
            also_needed_by: others.map(|user| modules[user].modname.as_str()).collect(),
        }
    };
    selection.picks.iter().zip(saves).map(row).collect()
}

/// Returns the names that were not found, with the keys and modules that name them.
fn absent(selection: &Selection) -> Vec<Named> {
    let softdeps = selection.unknown_softdeps.iter().map(|(name, of)| (name.clone(), format!("softdep of {of}")));
    let exclusions = selection.unused_exclusions.iter().map(|name| (name.clone(), "modules.exclude".to_owned()));
    let all = selection.absent.iter().cloned().chain(softdeps).chain(exclusions);
    all.map(|(name, why)| Named { name, why }).collect()
}

fn table(output: &Output<'_>) -> String {
    let mut text = format!("{}\n\n", output.board);
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("a String can be written to");
    module_table(output, &mut line);
    if !output.load.is_empty() {
        line(format_args!("\nloaded first: {}", output.load.join(" ")));
    }
    for (compatible, names) in &output.load_lists {
        line(format_args!("loaded first on {compatible}: {}", names.join(" ")));
    }
    for Named { name, why } in &output.builtin {
        line(format_args!("built in: {name} ({why})"));
    }
    for Named { name, why } in &output.absent {
        line(format_args!("missing: {name} ({why})"));
    }
    if let Some(warning) = number_warning(output.unnumbered) {
        line(format_args!("{warning}"));
    }
    match output.without_driver {
        [] => {}
        nodes if output.knows_kernel => nodes.iter().for_each(|node| line(format_args!("no driver: {node}"))),
        nodes => {
            let count = nodes.len();
            line(format_args!("{count} nodes match no module; --kernel FILE shows which have a built-in driver"));
        }
    }
    text
}

/// Writes the rows of the modules in aligned columns.
fn module_table(output: &Output<'_>, line: &mut impl FnMut(std::fmt::Arguments<'_>)) {
    let total = counted(output.modules.len(), "module");
    let columns_of_terminal = terminal_columns();
    let names = output.modules.iter().map(|row| row.module.len()).chain(["module".len(), total.len()]);
    let width = names.max().unwrap_or(0);
    let size_width = grouped(output.bytes).len().max("bytes".len());
    let mut columns = |name: &str, bytes: &str, saves: &str, why: &str| {
        let text = format!("{name:width$}  {bytes:>size_width$}  {saves:>size_width$}  {why}");
        line(format_args!("{}", fitted(text.trim_end(), columns_of_terminal)));
    };
    columns("module", "bytes", "saves", "why; and who else needs it");
    for row in &output.modules {
        let why = match &row.also_needed_by[..] {
            [] => row.why.clone(),
            also => format!("{}; {}", row.why, also.join(", ")),
        };
        columns(row.module, &grouped(row.bytes), &grouped(row.saves), &why);
    }
    columns(&total, &grouped(output.bytes), "", "");
}

/// Selects for each device tree on its own and prints a line for each. A bad one is reported and the others go on.
fn each(args: &SelectArgs) -> Result<()> {
    let mut source = args.source.clone();
    let blobs = blobs(&std::mem::take(&mut source.dtb))?;
    let root = source.root.take().map(|root| root.parse::<Root>()).transpose();
    let root = root.map_err(|what| Error::Usage(format!("--root: {what}")))?;
    let inputs = Inputs::read(&source, true)?;
    let [BoardInputs { board, .. }] = &inputs.boards[..] else {
        return Err(Error::Usage("--each: only valid with one board file at most".into()));
    };
    let catalogue = inputs.catalogue();
    let line = |path: &PathBuf| each_line(path, board, root.as_ref(), &catalogue);
    let lines: Vec<Result<String>> = blobs.par_iter().map(line).collect();
    print("count        bytes  device tree\n");
    print(&lines.iter().flatten().map(String::as_str).collect::<String>());
    let errors: Vec<&Error> = lines.iter().filter_map(|line| line.as_ref().err()).collect();
    errors.iter().for_each(|error| eprintln!("mkinitmod: {error}"));
    match errors.len() {
        0 => Ok(()),
        count => Err(Error::input("--each", format!("{count} of {} device trees failed", blobs.len()))),
    }
}

/// Selects for one device tree. A board without the requested root is not an error here: its whole board is selected.
fn each_line(path: &Path, board: &Board, root: Option<&Root>, catalogue: &Catalogue<'_>) -> Result<String> {
    let trees = [blob::read(path)?];
    let (selection, remark) = match select(board, &trees, root, catalogue) {
        Err(error) if root.is_some() => (select(board, &trees, None, catalogue)?, format!("  ({error}: whole board)")),
        selection => (selection?, String::new()),
    };
    let bytes = selection.picks.iter().map(|pick| catalogue.modules[pick.id].file_len).sum();
    Ok(format!("{:5}  {:>11}  {}{remark}\n", selection.picks.len(), grouped(bytes), path.display()))
}

/// Returns the given files, and all device trees in the given directories.
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
        return Err(Error::input(path, "no device tree in it"));
    }
    Ok(blobs)
}
