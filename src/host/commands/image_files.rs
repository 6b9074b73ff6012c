// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files for an image: packed modules, their indexes, firmware, the board's own files; and the reason for each file.

use super::args::BuildArgs;
use super::image_plan::ImagePlan;
use super::inputs::Inputs;
use crate::host::arch::Arch;
use crate::host::depmod;
use crate::host::depmod::IndexFile;
use crate::host::dt::tree::strings;
use crate::host::error::Result;
use crate::host::image::depmod_inputs;
use crate::host::image::firmware::{Firmware, FirmwareDir};
use crate::host::image::pack;
use crate::host::image::pack::Packed;
use crate::host::input;
use crate::host::modules::module::Module;
use crate::host::modules::tree::{Builtin, Tree};
use crate::host::select::builtin::Builtins;
use crate::host::select::left_out::left_out;
use std::collections::HashMap;

/// The files for an image, except the loader and the early files, which the plan has.
#[derive(Debug)]
pub(crate) struct ImageFiles {
    /// The modules that the image to append to lacks.
    pub(crate) modules: Vec<Packed>,
    /// The modules.* files, for all modules of the image.
    pub(crate) indexes: Vec<IndexFile>,
    /// Firmware that the image to append to lacks.
    pub(crate) firmware: Firmware,
    /// `image.files` of the board file: path, permissions, content.
    pub(crate) extra: Vec<(String, u32, Vec<u8>)>,
}

impl ImageFiles {
    /// Packs the modules of the plan, and collects the files that go with them.
    ///
    /// # Errors
    /// A file is unreadable, or a module is unusable.
    pub(crate) fn read(args: &BuildArgs, inputs: &Inputs, plan: &ImagePlan<'_>) -> Result<ImageFiles> {
        let all = &inputs.indexed.modules;
        let missing: Vec<&Module> = plan.wanted.iter().copied().filter(|module| !plan.has_module(module)).collect();
        let modules = pack::pack(&inputs.indexed.tree, &missing, plan.style)?;
        let mut indexed: Vec<Module> = modules.iter().map(|packed| packed.module.clone()).collect();
        if let Some(existing) = &plan.existing {
            indexed = existing.with(indexed, all);
        }
        let mut indexes = indexes(&inputs.indexed.tree, &indexed)?;
        let suppliers = left_out(all, &indexed);
        if inputs.board.arch != Arch::X86_64 && !suppliers.is_empty() {
            indexes.push(("modules.left-out", suppliers));
        }
        let mut firmware = read_firmware(args, inputs, plan)?;
        firmware.found.retain(|name, _| !plan.has_file(&firmware_path(name)));
        let extra = read_extra(inputs)?;
        Ok(ImageFiles { modules, indexes, firmware, extra })
    }

    /// Returns the reason why each module, firmware file and early file is in the image, by its path there.
    pub(crate) fn reasons(&self, inputs: &Inputs, plan: &ImagePlan<'_>) -> HashMap<String, String> {
        let (kver, all) = (&inputs.indexed.tree.kver, inputs.indexed.modules.as_slice());
        let picks = plan.selection.picks.iter();
        let picked: HashMap<&str, String> =
            picks.map(|pick| (all[pick.id].modname.as_str(), pick.prose(all))).collect();
        let modules = self.modules.iter().map(|packed| {
            let reason = picked.get(packed.module.modname.as_str()).cloned().unwrap_or_default();
            (format!("lib/modules/{kver}/{}", packed.module.path), reason)
        });
        let firmware = self.firmware.found.iter();
        let firmware = firmware.map(|(name, (user, _))| (firmware_path(name), format!("firmware of {user}")));
        let early =
            plan.early.sources.iter().map(|(path, files)| (path.clone(), format!("early archive, from {files}")));
        modules.chain(firmware).chain(early).collect()
    }
}

/// Returns the path of a firmware file in the image.
pub(crate) fn firmware_path(name: &str) -> String {
    format!("lib/firmware/{name}")
}

/// Emits the indexes of `modules`, and the files from which depmod would write them again.
fn indexes(tree: &Tree, modules: &[Module]) -> Result<Vec<IndexFile>> {
    let modinfo = tree.builtin_modinfo.as_deref().map(depmod_inputs::builtin_modinfo);
    let mut files = depmod::indexes(Builtin { modinfo: modinfo.as_deref(), ..tree.builtin() }, modules)?;
    files.push(("modules.order", depmod_inputs::order(modules.iter().map(|module| module.path.as_str()))));
    files.extend(tree.builtin.clone().map(|list| ("modules.builtin", list)));
    files.extend(modinfo.map(|modinfo| ("modules.builtin.modinfo", modinfo)));
    Ok(files)
}

/// Looks up the firmware of the modules, of the device trees' enabled nodes and of the board file; with
/// `firmware.builtin` also that of built-in drivers. Without a directory of firmware there is none, and none is missing.
fn read_firmware(args: &BuildArgs, inputs: &Inputs, plan: &ImagePlan<'_>) -> Result<Firmware> {
    let keys = &inputs.board.firmware;
    let dirs = args.firmware.iter().chain(&keys.dirs).map(|dir| FirmwareDir::new(dir));
    let dirs = dirs.collect::<Result<Vec<_>>>()?;
    let mut firmware = Firmware { kver: inputs.indexed.tree.kver.clone(), ..Firmware::default() };
    if dirs.is_empty() {
        return Ok(firmware);
    }
    for (name, user) in firmware_names(inputs, plan) {
        firmware.add(&dirs, &name, &user)?;
    }
    if keys.builtin {
        // The kernel has drivers for many devices that the board lacks: their missing firmware is not reported.
        let missing = std::mem::take(&mut firmware.missing);
        let modinfo = inputs.indexed.tree.builtin_modinfo.as_deref().unwrap_or_default();
        for text in modinfo.split(|&byte| byte == 0).filter_map(|text| std::str::from_utf8(text).ok()) {
            if let Some((modname, name)) = text.split_once(".firmware=") {
                firmware.add(&dirs, name, modname)?;
            }
        }
        firmware.missing = missing;
    }
    Ok(firmware)
}

/// Returns firmware names, each with its user: a module, a node of the device tree, or a key of the board file.
fn firmware_names(inputs: &Inputs, plan: &ImagePlan<'_>) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for module in &plan.wanted {
        names.extend(module.firmware().map(|name| (String::from_utf8_lossy(name).into(), module.modname.clone())));
    }
    let builtins = Builtins::new(inputs.indexed.tree.builtin_modinfo.as_deref().unwrap_or_default());
    for modname in &plan.selection.builtin_drivers {
        names
            .extend(builtins.values(modname, "firmware").map(|name| (name.to_owned(), format!("{modname}, built in"))));
    }
    for tree in inputs.boards.iter().filter(|board| board.takes_board()).flat_map(|board| &board.trees) {
        for id in tree.devices() {
            let of_node = strings(tree.prop(id, "firmware-name").unwrap_or_default());
            names.extend(of_node.map(|name| (name.to_owned(), tree.path(id))));
        }
    }
    names.extend(inputs.board.firmware.files.iter().map(|name| (name.clone(), "firmware.files".into())));
    names
}

/// Reads `image.files` of the board file.
fn read_extra(inputs: &Inputs) -> Result<Vec<(String, u32, Vec<u8>)>> {
    let read = |file: &crate::host::board::file::ExtraFile| {
        let data = input::read_named(&file.from)?;
        Ok((file.to.clone(), file.mode, data))
    };
    inputs.board.image.files.iter().map(read).collect()
}
