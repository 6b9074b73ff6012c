//! What build, select and why have in common: from the command line to the board, its device trees and the stock of
//! modules, and from these to a selection. What the command line says counts instead of what the board file says.

use super::args::SourceArgs;
use crate::host::arch::Arch;
use crate::host::board::family;
use crate::host::board::file::{Board, Scope, TreeKeys};
use crate::host::board::kconfig::Kconfig;
use crate::host::dt::root::Root;
use crate::host::dt::tree::Tree as DeviceTree;
use crate::host::dt::vmlinux::Kernel;
use crate::host::dt::{blob, overlay};
use crate::host::error::{Error, Result};
use crate::host::image::pack;
use crate::host::modules::cache;
use crate::host::select::indexed_tree::{Stock, check_machine};
use crate::host::select::select::{Wish, select};
use crate::host::select::selection::Selection;
use crate::host::spelling;
use std::path::{Path, PathBuf};

/// All that a selection is made from.
#[derive(Debug)]
pub struct Inputs {
    /// The board; of several, what they come to for the image.
    pub board: Board,
    /// Each board that the image is for.
    pub boards: Vec<BoardInputs>,
    /// The modules.
    pub stock: Stock,
    /// What is built in, if that is known.
    pub kernel: Option<Kernel>,
    /// How the kernel was configured, if that is known.
    pub kconfig: Option<Kconfig>,
    /// The stock's and the board's modprobe configuration, which a catalogue borrows.
    pub config_text: Vec<u8>,
}

/// A board that selects for itself.
#[derive(Debug)]
pub struct BoardInputs {
    /// What its board file says.
    pub board: Board,
    /// Its device tree, or none.
    pub trees: Vec<DeviceTree>,
    /// What the root is on.
    pub root: Option<Root>,
}

impl Inputs {
    /// Reads what `args` name: the board files, the module tree, device trees, the kernel's image and configuration.
    ///
    /// The kernel's image is read if `args` name one; with `wants_kernel` also from where packages install it.
    ///
    /// # Errors
    /// A file is missing or unreadable, or two of them contradict each other.
    pub fn read(args: &SourceArgs, wants_kernel: bool) -> Result<Inputs> {
        let mut boards = read_board_files(args)?;
        let joined = if boards.is_empty() { None } else { Some(family::joined(&boards)?) };
        let stock = read_stock(args, joined.as_ref())?;
        let board = match joined {
            Some(board) => board,
            None => Board { tree: tree_keys(args, TreeKeys::default()), ..Board::of_command_line(arch(&stock)?) },
        };
        check_machine(&stock, board.arch)?;
        if boards.is_empty() {
            boards.push(board.clone());
        }
        if boards.len() > 1 && !args.dtb.is_empty() {
            return Err(Error::input(
                "--dtb",
                "which of several boards it is of is not said; dt.blob in its file says it",
            ));
        }
        let mut board_inputs = Vec::new();
        for board in boards {
            board_inputs.extend(read_board(args, board, &stock)?);
        }
        let kernel = args.kernel.clone().or_else(|| stock.beside("vmlinuz").filter(|_| wants_kernel));
        let kernel = kernel.as_deref().map(Kernel::read).transpose()?;
        let kconfig = board.tree.config.clone().or_else(|| stock.beside("config"));
        let kconfig = kconfig.as_deref().map(Kconfig::read).transpose()?;
        let config_text = stock.config_text(&board.modprobe.config_text());
        Ok(Inputs { board, boards: board_inputs, stock, kernel, kconfig, config_text })
    }

    /// Selects the modules of all boards.
    ///
    /// # Errors
    /// As of [`select`].
    pub fn select(&self) -> Result<Selection> {
        let catalogue = self.stock.catalogue(&self.config_text, self.kernel.as_ref(), self.kconfig.as_ref());
        let mut all = Selection::default();
        for part in &self.boards {
            let wish = Wish { board: &part.board, trees: &part.trees, root: part.root.clone() };
            let selection = select(&wish, &catalogue)?;
            if let Some(compatible) = part.compatible().filter(|_| self.boards.len() > 1) {
                all.lanes.entry(compatible.into()).or_default().add(&selection.lane);
            }
            family::add_selection(&mut all, selection);
        }
        Ok(all)
    }

    /// Yields the device trees of all boards.
    pub fn trees(&self) -> impl Iterator<Item = &DeviceTree> {
        self.boards.iter().flat_map(|part| &part.trees)
    }

    /// Returns boards, architecture and kernel for a first line.
    pub fn title(&self) -> String {
        let mut names: Vec<String> = self.boards.iter().map(BoardInputs::name).collect();
        names.dedup();
        format!("{} ({}), Linux {}", names.join(", "), self.board.arch, self.stock.tree.kver)
    }
}

impl BoardInputs {
    /// The whole board counts, not only the way to the root.
    pub fn takes_board(&self) -> bool {
        self.board.dt.scope.unwrap_or(if self.root.is_some() { Scope::Root } else { Scope::Board }) == Scope::Board
    }

    /// Returns the first of its device tree's compatible strings: no other board has it.
    fn compatible(&self) -> Option<&str> {
        self.trees.first().and_then(|tree| tree.str(crate::host::dt::tree::ROOT, "compatible"))
    }

    fn name(&self) -> String {
        let model =
            || self.trees.first().and_then(|tree| tree.str(crate::host::dt::tree::ROOT, "model")).map(str::to_owned);
        let stem = || self.board.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.board.name.clone().or_else(model).unwrap_or_else(stem)
    }
}

/// Reads the board files. Arguments replace keys here already, so that several boards need not agree on those.
fn read_board_files(args: &SourceArgs) -> Result<Vec<Board>> {
    let read = |path: &PathBuf| {
        let board = Board::read(path)?;
        Ok(Board { tree: tree_keys(args, board.tree), ..board })
    };
    args.board.iter().map(read).collect()
}

/// Returns the keys of `[tree]`, each replaced by its argument if there is one.
fn tree_keys(args: &SourceArgs, keys: TreeKeys) -> TreeKeys {
    TreeKeys {
        modules: args.modules.clone().or(keys.modules),
        builtin: args.builtin.clone().or(keys.builtin),
        config: args.config.clone().or(keys.config),
    }
}

/// Reads the module tree that the arguments or else the board name.
fn read_stock(args: &SourceArgs, board: Option<&Board>) -> Result<Stock> {
    let keys = tree_keys(args, board.map(|board| board.tree.clone()).unwrap_or_default());
    let dir = keys.modules.ok_or_else(|| match board {
        Some(board) => board.fault("tree.modules", "the board file names no module tree; --modules DIR does".into()),
        None => Error::input("--modules", "the module tree of the kernel to boot is needed: ROOT/lib/modules/KVER"),
    })?;
    let caches = if args.no_cache { None } else { args.cache.clone().or_else(cache::default_dir) };
    Stock::read(&dir, caches, keys.builtin.as_deref())
}

/// Reads a board's device trees: each is a board.
fn read_board(args: &SourceArgs, mut board: Board, stock: &Stock) -> Result<Vec<BoardInputs>> {
    let trees = read_trees(args, &board, stock)?;
    let root = read_root(args, &board)?;
    board.fs = args.fs.clone().or(board.fs);
    if board.fs.is_none() && matches!(&root, Some(Root::Class(class)) if class.name == "nfs") {
        board.fs = Some("nfs".into());
    }
    board.dt.scope = args.scope.or(board.dt.scope);
    if root.is_some() && trees.is_empty() {
        return Err(board.fault("root", "the way to it needs a device tree: dt.blob, or --dtb FILE".into()));
    }
    if trees.is_empty() {
        return Ok(vec![BoardInputs { board, trees, root }]);
    }
    let part = |tree| BoardInputs { board: board.clone(), trees: vec![tree], root: root.clone() };
    Ok(trees.into_iter().map(part).collect())
}

/// Tells the machine that the stock's modules are for.
fn arch(stock: &Stock) -> Result<Arch> {
    let no_module = || Error::input(&stock.tree.dir, "no module in there can be read");
    let module = stock.modules.first().ok_or_else(no_module)?;
    let plain = pack::unpacked(&stock.tree, module)?.1;
    Arch::of(&plain).map_err(|what| Error::input(stock.tree.dir.join(&module.path), what))
}

fn read_root(args: &SourceArgs, board: &Board) -> Result<Option<Root>> {
    match (&args.root, &board.root) {
        (Some(root), _) => root.parse().map(Some).map_err(|what: String| Error::input("--root", what)),
        (None, Some(root)) => root.parse().map(Some).map_err(|what| board.fault("root", what)),
        (None, None) => Ok(None),
    }
}

fn read_trees(args: &SourceArgs, board: &Board, stock: &Stock) -> Result<Vec<DeviceTree>> {
    let mut dirs: Vec<PathBuf> = vec![Path::new(".").join(board.path.parent().unwrap_or(Path::new("")))];
    dirs.extend(args.dtbs.clone());
    dirs.extend(stock.dtb_dirs());
    let find = |name: &PathBuf, key: &str| {
        let found = dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file());
        found.ok_or_else(|| board.fault(key, no_blob(name, &dirs)))
    };
    let (blobs, overlays) = if args.dtb.is_empty() {
        let blob = board.dt.blob.iter().map(|name| find(name, "dt.blob"));
        let also = board.dt.also.iter().map(|name| find(name, "dt.also"));
        let blobs = blob.chain(also).collect::<Result<Vec<_>>>()?;
        (blobs, board.dt.overlays.iter().map(|name| find(name, "dt.overlays")).collect::<Result<Vec<_>>>()?)
    } else {
        let given = |name: &PathBuf| if name.is_file() { Ok(name.clone()) } else { find(name, "--dtb") };
        (args.dtb.iter().map(given).collect::<Result<Vec<_>>>()?, args.overlay.clone())
    };
    let mut trees = blobs.iter().map(|path| blob::read(path)).collect::<Result<Vec<_>>>()?;
    for path in overlays {
        let first = trees.first_mut().ok_or_else(|| Error::input(&path, "there is no device tree to apply it to"))?;
        let layer = blob::read(&path)?;
        overlay::apply(first, &layer).map_err(|what| Error::input(&path, what))?;
    }
    Ok(trees)
}

/// Says that there is no such device tree, and which name is most like it.
fn no_blob(name: &Path, dirs: &[PathBuf]) -> String {
    let sub = name.parent().unwrap_or(Path::new(""));
    let files = dirs.iter().filter_map(|dir| std::fs::read_dir(dir.join(sub)).ok()).flatten().flatten();
    let names: Vec<String> = files.map(|entry| sub.join(entry.file_name()).to_string_lossy().into_owned()).collect();
    let near = spelling::closest(&name.to_string_lossy(), names.iter().map(String::as_str));
    let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    format!(
        "there is no `{}` beside the board file or among the kernel's device trees (--dtbs DIR){hint}",
        name.display()
    )
}
