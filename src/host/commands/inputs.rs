// SPDX-License-Identifier: MIT OR Apache-2.0
//! The inputs of build, select and why: board files, module tree, device trees, and the kernel's image and configuration.
//! An argument overrides its key in the board file.

use super::args::SourceArgs;
use super::given;
use crate::host::arch::Arch;
use crate::host::board::family;
use crate::host::board::file::{Board, Scope, TreeKeys};
use crate::host::board::kconfig::Kconfig;
use crate::host::codec;
use crate::host::dt::root::Root;
use crate::host::dt::tree::Tree as DeviceTree;
use crate::host::dt::vmlinux::Kernel;
use crate::host::dt::{blob, overlay};
use crate::host::error::{Error, Result};
use crate::host::image::pack;
use crate::host::input;
use crate::host::modules::cache;
use crate::host::select::catalogue::Catalogue;
use crate::host::select::for_board::select;
use crate::host::select::indexed_tree::{IndexedTree, check_arch};
use crate::host::select::selection::Selection;
use crate::host::spelling;
use std::path::{Path, PathBuf};

/// The inputs of a selection.
#[derive(Debug)]
pub struct Inputs {
    /// The board; of several, the sum of their board files, for the image.
    pub board: Board,
    /// Each board of the image.
    pub boards: Vec<BoardInputs>,
    /// The module tree.
    pub indexed: IndexedTree,
    /// The kernel's image, which lists its built-in drivers, if it was read.
    pub kernel: Option<Kernel>,
    /// The path of the kernel's image, if an argument named it.
    pub kernel_path: Option<PathBuf>,
    /// The kernel's configuration, if there is one.
    pub kconfig: Option<Kconfig>,
    /// Configuration of modprobe, from the tree and the board. A catalogue borrows it.
    pub config_text: Vec<u8>,
}

/// The inputs of one board.
#[derive(Debug)]
pub struct BoardInputs {
    /// Its board file.
    pub board: Board,
    /// Its device tree, if it has one.
    pub trees: Vec<DeviceTree>,
    /// The storage of its root.
    pub root: Option<Root>,
}

impl Inputs {
    /// Reads the board files, the module tree, the device trees, and the kernel's image and configuration.
    ///
    /// The kernel's image is read if `args` name one; with `wants_kernel` also from where packages install it.
    ///
    /// # Errors
    /// A file is missing or unreadable, or two of them contradict each other.
    pub fn read(args: &SourceArgs, wants_kernel: bool) -> Result<Inputs> {
        args.unpacked_max.into_iter().for_each(codec::set_unpacked_max);
        given::check_sources(args)?;
        let mut boards = read_board_files(args)?;
        let joined = if boards.is_empty() { None } else { Some(family::joined(&boards)?) };
        let indexed = read_tree(args, joined.as_ref())?;
        let board = match joined {
            Some(board) => board,
            None => Board { tree: tree_keys(args, TreeKeys::default()), ..Board::of_command_line(arch(&indexed)?) },
        };
        check_arch(&indexed, board.arch).map_err(|error| match arch(&indexed) {
            Ok(of_tree) if of_tree != board.arch => {
                let dir = indexed.tree.dir.display();
                board.fault("arch", format!("is {}, but the modules of {dir} are for {of_tree}", board.arch))
            }
            _ => error,
        })?;
        if boards.is_empty() {
            boards.push(board.clone());
        }
        if boards.len() > 1 && !args.dtb.is_empty() {
            return Err(Error::Usage(
                "--dtb: cannot be used with several --board; set dt.blob in each board file".into(),
            ));
        }
        let mut board_inputs = Vec::new();
        for board in boards {
            board_inputs.extend(read_board(args, board, &indexed)?);
        }
        let kernel = args.kernel.clone().or_else(|| indexed.boot_file("vmlinuz").filter(|_| wants_kernel));
        let kernel = kernel.as_deref().map(Kernel::read).transpose()?;
        let kconfig = board.tree.config.clone().or_else(|| indexed.boot_file("config"));
        let kconfig = kconfig.as_deref().map(Kconfig::read).transpose()?;
        let config_text = indexed.config_text(&board.modprobe.config_text());
        let kernel_path = args.kernel.clone();
        Ok(Inputs { board, boards: board_inputs, indexed, kernel, kernel_path, kconfig, config_text })
    }

    /// Selects the modules of all boards.
    ///
    /// # Errors
    /// Those of [`select`], for the first board that fails.
    pub fn select(&self) -> Result<Selection> {
        let catalogue = self.catalogue();
        let mut all = Selection::default();
        for inputs in &self.boards {
            let selection = select(&inputs.board, &inputs.trees, inputs.root.as_ref(), &catalogue)?;
            if let Some(compatible) = inputs.compatible().filter(|_| self.boards.len() > 1) {
                all.load_lists.entry(compatible.into()).or_default().add(&selection.load_list);
            }
            all.add(selection);
        }
        Ok(all)
    }

    /// Returns the catalogue that a selection works on.
    pub fn catalogue(&self) -> Catalogue<'_> {
        self.indexed.catalogue(&self.config_text, self.kernel.as_ref(), self.kconfig.as_ref())
    }

    /// Yields the device trees of all boards.
    pub fn trees(&self) -> impl Iterator<Item = &DeviceTree> {
        self.boards.iter().flat_map(|part| &part.trees)
    }

    /// Returns the title of a report: boards, architecture, kernel.
    pub fn title(&self) -> String {
        let mut names: Vec<String> = self.boards.iter().map(BoardInputs::name).collect();
        names.dedup();
        format!("{} ({}), Linux {}", names.join(", "), self.board.arch, self.indexed.tree.kver)
    }
}

impl BoardInputs {
    /// Whether the modules of the whole board are selected, not only those on the way to its root.
    pub fn takes_board(&self) -> bool {
        self.board.scope(self.root.is_some()) == Scope::Board
    }

    /// Returns the first of its device tree's compatible strings, which is unique to the board.
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

/// Reads the board files. Arguments replace keys before boards are joined: boards may differ in replaced keys.
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
        symvers: args.symvers.clone().or(keys.symvers),
        config: args.config.clone().or(keys.config),
    }
}

/// Reads the module tree that the arguments or else the board name.
fn read_tree(args: &SourceArgs, board: Option<&Board>) -> Result<IndexedTree> {
    let keys = tree_keys(args, board.map(|board| board.tree.clone()).unwrap_or_default());
    let dir = keys.modules.ok_or_else(|| match board {
        Some(board) => board.fault("tree.modules", "no module tree; set this key or pass --modules DIR".into()),
        None => {
            Error::Usage("--modules: missing; pass the module tree of the kernel to boot: ROOT/lib/modules/KVER".into())
        }
    })?;
    let caches = if args.no_cache { None } else { args.cache.clone().or_else(cache::default_dir) };
    IndexedTree::read(&dir, caches, keys.builtin.as_deref(), &args.depmod_config).map_err(|error| match error {
        Error::Io { path, source } if args.modules.as_ref() == Some(&path) => {
            Error::Io { path: format!("--modules {}", path.display()).into(), source }
        }
        error => error,
    })
}

/// Reads a board's device trees. Returns one board for each, or a single one without device tree.
fn read_board(args: &SourceArgs, mut board: Board, indexed: &IndexedTree) -> Result<Vec<BoardInputs>> {
    let trees = read_trees(args, &board, indexed)?;
    let root = read_root(args, &board)?;
    if !args.fs.is_empty() {
        board.fs.clone_from(&args.fs);
    }
    if board.fs.is_empty() && matches!(&root, Some(Root::Kind(kind)) if kind.name == "nfs") {
        board.fs.push("nfs".into());
    }
    board.dt.scope = args.scope.or(board.dt.scope);
    if root.is_some() && trees.is_empty() {
        return Err(board.fault("root", "needs a device tree: set dt.blob or pass --dtb FILE".into()));
    }
    if trees.is_empty() {
        return Ok(vec![BoardInputs { board, trees, root }]);
    }
    let part = |tree| BoardInputs { board: board.clone(), trees: vec![tree], root: root.clone() };
    Ok(trees.into_iter().map(part).collect())
}

/// Returns the architecture of the tree's first module.
fn arch(indexed: &IndexedTree) -> Result<Arch> {
    let no_module = || Error::input(&indexed.tree.dir, "no readable module in this directory");
    let module = indexed.modules.first().ok_or_else(no_module)?;
    let plain = pack::unpacked(&indexed.tree, module)?.1;
    Arch::of(&plain).map_err(|what| Error::input(indexed.tree.dir.join(&module.path), what))
}

fn read_root(args: &SourceArgs, board: &Board) -> Result<Option<Root>> {
    match (&args.root, &board.root) {
        (Some(root), _) => root.parse().map(Some).map_err(|what: String| Error::Usage(format!("--root: {what}"))),
        (None, Some(root)) => root.parse().map(Some).map_err(|what| board.fault("root", what)),
        (None, None) => Ok(None),
    }
}

fn read_trees(args: &SourceArgs, board: &Board, indexed: &IndexedTree) -> Result<Vec<DeviceTree>> {
    let mut dirs: Vec<PathBuf> = vec![Path::new(".").join(board.path.parent().unwrap_or(Path::new("")))];
    dirs.extend(args.dtbs.clone());
    let find = |name: &PathBuf, key: &str| {
        let found = dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file());
        let found = found.or_else(|| indexed.device_tree(name));
        found.map_or_else(|| Err(board.fault(key, no_blob(name, &[&dirs[..], &indexed.dtb_dirs()].concat())?)), Ok)
    };
    let (blobs, overlays) = if args.dtb.is_empty() {
        let blob = board.dt.blob.iter().map(|name| find(name, "dt.blob"));
        let also = board.dt.also.iter().map(|name| find(name, "dt.also"));
        let blobs = blob.chain(also).collect::<Result<Vec<_>>>()?;
        (blobs, board.dt.overlays.iter().map(|name| find(name, "dt.overlays")).collect::<Result<Vec<_>>>()?)
    } else {
        let given = |name: &PathBuf| match name.metadata() {
            Ok(meta) if meta.is_dir() => Err(Error::Usage(format!(
                "--dtb {}: a directory; pass one of its files, or `select --each`",
                name.display()
            ))),
            Ok(_) => Ok(name.clone()), // another kind of file is reported when it is read
            Err(_) => find(name, "--dtb"),
        };
        (args.dtb.iter().map(given).collect::<Result<Vec<_>>>()?, args.overlay.clone())
    };
    let mut trees = blobs.iter().map(|path| blob::read(path)).collect::<Result<Vec<_>>>()?;
    for path in overlays {
        let first = trees.first_mut().ok_or_else(|| {
            Error::input(&path, "no device tree to apply this overlay to; set dt.blob or pass --dtb FILE")
        })?;
        let layer = blob::read(&path)?;
        overlay::apply(first, &layer).map_err(|what| Error::input(&path, what))?;
    }
    Ok(trees)
}

/// Returns the message on a missing device tree, with the closest name.
///
/// # Errors
/// One of `dirs` cannot be read: it may have the device tree.
fn no_blob(name: &Path, dirs: &[PathBuf]) -> Result<String> {
    let sub = name.parent().unwrap_or(Path::new(""));
    let mut names = Vec::new();
    for dir in dirs {
        let below = input::names(&dir.join(sub))?.into_iter();
        names.extend(below.map(|name| sub.join(name).to_string_lossy().into_owned()));
    }
    let near = spelling::closest(&name.to_string_lossy(), names.iter().map(String::as_str));
    let advice = near.map_or("pass --dtbs DIR".into(), |near| format!("did you mean `{near}`?"));
    Ok(format!("`{}` is neither beside the board file nor among the kernel's device trees; {advice}", name.display()))
}
