//! `mkinitmod build`: board, stock and selection (see [`job`](super::inputs)) -> pack -> depmod -> image, and the report.

use super::args::BuildArgs;
use super::inputs::Inputs;
use super::manifest;
use super::report::{Report, print};
use crate::host::arch::Arch;
use crate::host::board::file::{Board, ModuleFormat};
use crate::host::board::kconfig::Kconfig;
use crate::host::depmod;
use crate::host::depmod::Builtin;
use crate::host::dt::tree::strings;
use crate::host::error::{Error, Result};
use crate::host::image::append::ExistingImage;
use crate::host::image::compress::{Method, compress};
use crate::host::image::depmod_inputs;
use crate::host::image::early;
use crate::host::image::early::Early;
use crate::host::image::firmware::Firmware;
use crate::host::image::layout::{Destination, ImageParts, LoadOrderFiles, LoaderAs, lay_out};
use crate::host::image::output;
use crate::host::image::pack;
use crate::host::image::pack::{Packed, Style};
use crate::host::image::signature::Signatures;
use crate::host::modules::module::Module;
use crate::host::modules::tree::Tree;
use crate::host::select::left_out::left_out;
use crate::host::select::load_order::Order;
use crate::host::select::selection::Selection;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Builds the image that `args` describe, and prints what is in it.
///
/// # Errors
/// What stands in the way, with the file and the key or line. The image is whole, or it is not written.
pub fn run(args: &BuildArgs) -> Result<()> {
    let mtime = source_date()?;
    let inputs = Inputs::read(&args.source, false)?;
    let Inputs { board, stock, .. } = &inputs;
    let (tree, modules) = (&stock.tree, &stock.modules);
    let loader = read_loader(board, args.loader.as_deref())?;
    let selection = inputs.select()?;
    // A tree stands for itself.
    let is_image = args.tree.is_none();
    let base = args.append.as_ref().or(board.image.append.as_ref()).filter(|_| is_image);
    let base = base.map(|path| ExistingImage::read(path, &tree.kver)).transpose()?;
    let has = |module: &Module| base.as_ref().is_some_and(|base| base.has(&module.modname));
    let loader_as = args.loader_as.or(board.image.loader_as);
    if base.is_none() && loader_as.is_some() && is_image {
        return Err(board.fault("image.loader-as", "without an image that is appended to the loader is /init".into()));
    }
    let early = [&args.early[..], &board.image.early].concat();
    let early = if is_image { Early::read(&early)? } else { Early::default() };
    let style = Style {
        arch: board.arch,
        format: args.module_format.or(board.image.modules).unwrap_or(ModuleFormat::Keep).format(),
        signatures: args.signatures.or(board.image.signatures).unwrap_or(Signatures::Keep),
        strip: args.strip || board.image.strip.unwrap_or(false),
    };
    let method = args.compress.or(board.image.compress).unwrap_or(Method::Zst);
    let mut notes = check_kernel(board, inputs.kconfig.as_ref(), method, style.signatures, &early)?;

    let mut places: Vec<usize> = selection.picks.iter().map(|pick| pick.at).collect();
    places.sort_unstable();
    let wanted: Vec<&Module> = places.iter().map(|&at| &modules[at]).collect();
    let packed = pack::pack(tree, &wanted.iter().copied().filter(|module| !has(module)).collect::<Vec<_>>(), style)?;
    let signed_count = packed.iter().filter(|packed| packed.module.signed).count();
    if style.strip && signed_count > 0 {
        notes.push(format!("{signed_count} signed modules are not stripped (--signatures drop makes them fit for it)"));
    }
    let mut indexed: Vec<Module> = packed.iter().map(|packed| packed.module.clone()).collect();
    if let Some(base) = &base {
        notes.push(format!(
            "in the image already: {} of its {} modules",
            wanted.len() - packed.len(),
            base.modules.len()
        ));
        indexed = base.with(indexed, modules);
    }
    let mut indexes = indexes(tree, &indexed)?;
    let mut firmware = firmware(args, &inputs, &wanted)?;
    firmware.found.retain(|name, _| base.as_ref().is_none_or(|base| !base.contents.has(&firmware_path(name))));
    let suppliers = left_out(modules, &indexed);
    if board.arch != Arch::X86_64 && !suppliers.is_empty() {
        indexes.push(("modules.left-out", suppliers));
    }
    let extra = board.image.files.iter().map(|file| {
        let data = std::fs::read(&file.from).map_err(Error::io(&file.from))?;
        Ok((file.to.clone(), file.mode, data))
    });
    let extra: Vec<_> = extra.collect::<Result<_>>()?;

    let lens = |lens: &mut dyn Iterator<Item = usize>| lens.sum::<usize>() as u64;
    let mut report = Report {
        title: inputs.title(),
        modules: rows(modules, &selection, &packed),
        totals: vec![
            (format!("{} modules", packed.len()), lens(&mut packed.iter().map(|packed| packed.data.len()))),
            ("loader".into(), loader.len() as u64),
            ("indexes".into(), lens(&mut indexes.iter().map(|(_, data)| data.len()))),
        ],
        selection: &selection,
        missing_firmware: &firmware.missing,
        notes,
    };
    if !firmware.found.is_empty() {
        let len = lens(&mut firmware.found.values().map(|(_, data)| data.len()));
        report.totals.push((format!("{} firmware files", firmware.found.len()), len));
    }
    if !extra.is_empty() {
        report.totals.push(("extra files".into(), lens(&mut extra.iter().map(|(_, _, data)| data.len()))));
    }
    let reasons = reasons(modules, &selection, &packed, &firmware, &early, &tree.kver);
    let firmware_files = firmware.found.iter().map(|(name, (_, data))| (firmware_path(name), data.clone()));
    let content = ImageParts {
        destination: match &base {
            Some(base) => Destination::Existing(&base.contents, loader_as.unwrap_or(LoaderAs::Modprobe)),
            None => Destination::New,
        },
        loader,
        kver: &tree.kver,
        modules: packed,
        indexes,
        load_order: load_order_files(&inputs.stock.order(&selection.lane)),
        board_load_orders: selection
            .lanes
            .iter()
            .map(|(compatible, lane)| (compatible.as_str(), load_order_files(&inputs.stock.order(lane))))
            .collect(),
        modprobe_conf: board.modprobe.file_text(),
        firmware: firmware_files.collect(),
        extra,
    };
    let archive = lay_out(content).map_err(|error| board.fault("image.files", error.to_string()))?;
    let early = early.archive().map_err(|error| board.fault("image.early", error.to_string()))?;
    let title = report.title.clone();
    if let Some(output) = &args.output {
        let bytes = match &base {
            Some(base) => base.emit(&archive, mtime)?,
            None => archive.emit(mtime),
        };
        let mut image = compress(&bytes, method);
        report.totals.push(("archive".into(), bytes.len() as u64));
        if let Some(base) = &base {
            report.totals.push((format!("appended{}", method.named()), image.len() as u64));
            report.totals.push(("appended to".into(), base.len()));
            image = base.in_front_of(&image);
        }
        if !early.is_empty() {
            let bytes = early::emit(&early, mtime);
            report.totals.push(("early archive".into(), bytes.len() as u64));
            image = [bytes, image].concat();
        }
        report.totals.push((format!("image{}", if base.is_some() { "" } else { method.named() }), image.len() as u64));
        output::write_file(output, &image)?;
    }
    if let Some(dir) = &args.tree {
        output::write_tree(dir, &archive)?;
    }
    if let Some(path) = &args.manifest {
        output::write_file(path, manifest::render(&title, &tree.kver, &[&early, &archive], &reasons).as_bytes())?;
    }
    if !args.quiet {
        print(&report.text());
    }
    Ok(())
}

/// Emits the two files of a load order.
fn load_order_files(order: &Order) -> LoadOrderFiles {
    LoadOrderFiles { modules_load: order.modules_load_conf(), softdeps: order.modprobe_conf() }
}

fn firmware_path(name: &str) -> String {
    format!("lib/firmware/{name}")
}

/// Looks up the firmware that the modules, the device trees' enabled nodes and the board file ask for, and what the
/// kernel's own drivers ask for if the board file says so. Without directories to look in nothing is asked for.
fn firmware(args: &BuildArgs, inputs: &Inputs, wanted: &[&Module]) -> Result<Firmware> {
    let keys = &inputs.board.firmware;
    let dirs: Vec<PathBuf> = args.firmware.iter().chain(&keys.dirs).cloned().collect();
    let mut firmware = Firmware::default();
    if dirs.is_empty() {
        return Ok(firmware);
    }
    if let Some(dir) = dirs.iter().find(|dir| !dir.is_dir()) {
        return Err(Error::input(dir, "is no directory with firmware"));
    }
    for module in wanted {
        for name in module.firmware() {
            firmware.add(&dirs, &String::from_utf8_lossy(name), &module.modname)?;
        }
    }
    for tree in inputs.boards.iter().filter(|part| part.takes_board()).flat_map(|part| &part.trees) {
        for id in tree.devices() {
            for name in strings(tree.prop(id, "firmware-name").unwrap_or_default()) {
                firmware.add(&dirs, name, &tree.path(id))?;
            }
        }
    }
    for name in &keys.files {
        firmware.add(&dirs, name, "firmware.files")?;
    }
    if keys.builtin {
        let known = std::mem::take(&mut firmware.missing);
        let modinfo = inputs.stock.tree.builtin_modinfo.as_deref().unwrap_or_default();
        for text in modinfo.split(|&byte| byte == 0).filter_map(|text| std::str::from_utf8(text).ok()) {
            if let Some((modname, name)) = text.split_once(".firmware=") {
                firmware.add(&dirs, name, modname)?;
            }
        }
        // Of all that the kernel could drive most is not on the board.
        firmware.missing = known;
    }
    Ok(firmware)
}

/// Says for each module and firmware file, by its path in the image, why it is in.
fn reasons(
    modules: &[Module],
    selection: &Selection,
    packed: &[Packed],
    firmware: &Firmware,
    early: &Early,
    kver: &str,
) -> HashMap<String, String> {
    let why: HashMap<&str, String> =
        selection.picks.iter().map(|pick| (modules[pick.at].modname.as_str(), pick.to_string())).collect();
    let modules = packed.iter().map(|packed| {
        let why = why.get(packed.module.modname.as_str()).cloned().unwrap_or_default();
        (format!("lib/modules/{kver}/{}", packed.module.path), why)
    });
    let firmware = firmware.found.iter().map(|(name, (who, _))| (firmware_path(name), format!("firmware of {who}")));
    let early = early.sources.iter().map(|(path, files)| (path.clone(), format!("early, of {files}")));
    modules.chain(firmware).chain(early).collect()
}

/// Refuses what the kernel would refuse; returns what there is to say of what it may refuse.
fn check_kernel(
    board: &Board,
    config: Option<&Kconfig>,
    method: Method,
    signatures: Signatures,
    early: &Early,
) -> Result<Vec<String>> {
    if early.has_microcode() && board.arch != Arch::X86_64 {
        return Err(board.fault("image.early", format!("microcode is for x86_64, not {}", board.arch)));
    }
    let Some(config) = config else {
        let unknown = "whether the kernel takes modules without signature is not known (--config FILE tells)";
        return Ok(if signatures == Signatures::Drop { vec![unknown.into()] } else { Vec::new() });
    };
    config.require("BLK_DEV_INITRD", "an initramfs")?;
    for option in early.options() {
        config.require(option, "what is to be found early")?;
    }
    if let Some(option) = method.option() {
        config.require(option, "an image so compressed")?;
    }
    if signatures == Signatures::Drop {
        for option in ["MODULE_SIG_FORCE", "LOCK_DOWN_KERNEL_FORCE_INTEGRITY", "LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY"]
        {
            config.forbid(option, "modules without signature")?;
        }
        if config.has("LOCK_DOWN_IN_EFI_SECURE_BOOT") {
            return Ok(vec!["under Secure Boot this kernel takes no module without signature".into()]);
        }
    }
    Ok(Vec::new())
}

/// Emits the index files of the trimmed tree, and what depmod needs to write them again.
fn indexes(tree: &Tree, modules: &[Module]) -> Result<Vec<depmod::IndexFile>> {
    let modinfo = tree.builtin_modinfo.as_deref().map(depmod_inputs::builtin_modinfo);
    let mut files = depmod::indexes(Builtin { list: tree.builtin.as_deref(), modinfo: modinfo.as_deref() }, modules)?;
    files.push(("modules.order", depmod_inputs::order(modules.iter().map(|module| module.path.as_str()))));
    files.extend(tree.builtin.clone().map(|list| ("modules.builtin", list)));
    files.extend(modinfo.map(|modinfo| ("modules.builtin.modinfo", modinfo)));
    Ok(files)
}

fn rows<'a>(modules: &'a [Module], selection: &Selection, packed: &[Packed]) -> Vec<(&'a str, u64, String)> {
    let row = |pick: &crate::host::select::selection::Pick| {
        let modname = modules[pick.at].modname.as_str();
        match packed.iter().find(|packed| packed.module.modname == modname) {
            Some(packed) => (modname, packed.module.file_len, pick.to_string()),
            None => (modname, 0, format!("{pick}; in the image already")),
        }
    };
    selection.picks.iter().map(row).collect()
}

/// Reads the loader, and sees that the board can run it.
fn read_loader(board: &Board, given: Option<&Path>) -> Result<Vec<u8>> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => {
            let own = std::env::current_exe().and_then(std::fs::canonicalize).map_err(Error::io("/proc/self/exe"))?;
            let prefix = own.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
            prefix.join(format!("lib/initmod/{}/initmod", board.arch))
        }
    };
    let loader = std::fs::read(&path).map_err(|error| match (given, error.kind()) {
        (None, std::io::ErrorKind::NotFound) => Error::input(&path, "no loader there; --loader FILE names one"),
        _ => Error::io(&path)(error),
    })?;
    board.arch.check(&loader).map_err(|what| Error::input(path, what))?;
    Ok(loader)
}

/// Returns the time that all files get: SOURCE_DATE_EPOCH, or 0.
fn source_date() -> Result<u32> {
    let Some(value) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(0) };
    let value = value.to_string_lossy();
    value
        .parse()
        .map_err(|_| Error::input("SOURCE_DATE_EPOCH", format!("`{value}` is no time in seconds that newc can hold")))
}
