// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that a new image can boot: it has modules, and a file system for the root where the kernel has none built in.

use super::inputs::Inputs;
use crate::host::error::{Error, Result};
use crate::host::modules::module::Module;
use crate::host::select::selection::Selection;

/// File systems of disk roots. Where a kernel has one of them built in, its roots need no module.
const ROOT_FS: [&str; 10] = ["ext4", "ext3", "ext2", "btrfs", "xfs", "f2fs", "bcachefs", "squashfs", "erofs", "vfat"];

/// Checks the selection of a new image.
///
/// # Errors
/// Nothing is selected, the board has a root and the image no file system for it, or an index is damaged. Without `root` the lack of a file
/// system is a warning: the image may mount none.
pub(super) fn check(inputs: &Inputs, selection: &Selection, wanted: &[&Module]) -> Result<()> {
    let board = &inputs.board;
    if wanted.is_empty() && selection.builtin.is_empty() && inputs.kernel.is_none() {
        let asked = if inputs.trees().next().is_some() {
            "no node of the device tree has a driver in the module tree; pass --kernel FILE if the kernel has them built in"
        } else {
            "nothing asks for one; pass --dtb FILE, --fs NAME or --board FILE with modules.load or modules.names"
        };
        return Err(board.fault("modules", format!("the image has no module: {asked}")));
    }
    let has_fs =
        inputs.boards.iter().any(|part| !part.board.fs.is_empty()) || wanted.iter().any(|module| is_fs(module));
    let modular = if has_fs { Vec::new() } else { modular_fs(inputs)? };
    if modular.is_empty() {
        return Ok(());
    }
    let what = format!(
        "the image has no file system for its root, and the kernel has none built in; pass --fs NAME ({})",
        modular.join(", ")
    );
    if inputs.boards.iter().any(|part| part.root.is_some()) {
        return Err(board.fault("fs", what));
    }
    eprintln!("mkinitmod: {}: fs: {what}", board.path.display());
    Ok(())
}

/// Whether the module is a file system that can be mounted.
fn is_fs(module: &Module) -> bool {
    module.aliases().any(|alias| alias.starts_with(b"fs-"))
}

/// Returns the file systems of roots that are modules. Where one is built in, or that is unknown, returns none.
///
/// # Errors
/// An index of the tree is damaged.
fn modular_fs(inputs: &Inputs) -> Result<Vec<&'static str>> {
    let catalogue = inputs.catalogue();
    let mut modular = Vec::new();
    for fs in ROOT_FS {
        let hits = catalogue.resolve_softdep(&format!("fs-{fs}")).map_err(|what| Error::input(catalogue.dir, what))?;
        let has_option = inputs.kconfig.as_ref().is_some_and(|kconfig| kconfig.has(&format!("{fs}_FS").to_uppercase()));
        if has_option || !hits.builtins.is_empty() || !catalogue.by_name(fs).builtins.is_empty() {
            return Ok(Vec::new());
        }
        modular.extend((!hits.modules.is_empty()).then_some(fs));
    }
    Ok(modular)
}
