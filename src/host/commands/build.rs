// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mkinitmod build`: plans an image from the inputs, packs the modules, lays the files out, writes the image, reports.

use super::args::BuildArgs;
use super::given;
use super::image_files::{ImageFiles, firmware_path};
use super::image_plan::ImagePlan;
use super::inputs::Inputs;
use super::manifest;
use super::report::{Report, counted, print, terminal_columns};
use crate::host::error::{Error, Result};
use crate::host::image::compress::compress;
use crate::host::image::cpio::Archive;
use crate::host::image::early;
use crate::host::image::layout;
use crate::host::image::layout::{Destination, ImageParts, LoadOrderFiles};
use crate::host::image::output::write_tree;
use crate::host::output;
use crate::host::select::load_order::LoadOrder;

/// The archives of an image.
struct Archives {
    /// Microcode and ACPI tables; may be empty.
    early: Archive,
    /// All other files.
    main: Archive,
}

/// Builds the image that `args` describe, and prints a report of its files.
///
/// # Errors
/// An input is missing or unusable, with its file and its key or line. No partial image is written.
pub fn run(args: &BuildArgs) -> Result<()> {
    let mtime = source_date()?;
    given::check_build(args)?;
    let inputs = Inputs::read(&args.source, false)?;
    let plan = ImagePlan::new(args, &inputs)?;
    let files = ImageFiles::read(args, &inputs, &plan)?;
    let mut report = report(&inputs, &plan, &files);
    let reasons = files.reasons(&inputs, &plan);
    let archives = lay_out(&inputs, &plan, files)?;
    let mut outputs = Vec::new();
    if let Some(path) = &args.output {
        outputs.push((path.as_path(), emit_image(&plan, &archives, mtime, &mut report)?));
    }
    if let Some(path) = &args.manifest {
        let archives = [&archives.early, &archives.main];
        let manifest = manifest::render(&report.title, &inputs.indexed.tree.kver, &archives, &reasons);
        outputs.push((path.as_path(), manifest.into_bytes()));
    }
    if let Some(dir) = &args.tree {
        write_tree(dir, &archives.main)?;
    }
    output::write_files(&outputs)?;
    if args.quiet {
        return Ok(());
    }
    let text = format!("{}{}", report.text(terminal_columns()), written(args, &inputs, &plan));
    if outputs.iter().any(|(output, _)| output::is_stdout(output)) {
        eprint!("{text}");
    } else {
        print(&text);
    }
    Ok(())
}

/// Returns the last lines of the report: what was written, and what to do with it.
fn written(args: &BuildArgs, inputs: &Inputs, plan: &ImagePlan<'_>) -> String {
    if let Some(dir) = &args.tree {
        return format!("wrote the tree {}\n", dir.display());
    }
    let Some(output) = args.output.as_deref().filter(|output| !output::is_stdout(output)) else { return String::new() };
    let image = output.display();
    if plan.existing.is_some() {
        return format!(
            "wrote {image}: give it to the boot loader in the place of the initramfs that it is made from\n"
        );
    }
    let root = inputs.boards.iter().find_map(|board| board.root.as_ref());
    let words = match root.map(ToString::to_string).as_deref() {
        Some("nfs") => "root=/dev/nfs nfsroot=SERVER:PATH ip=dhcp",
        _ => "root=PARTUUID=... rootwait",
    };
    format!("wrote {image}: give it to the boot loader as the initrd, with `{words}` on the kernel command line\n")
}

/// Returns the time that all files get: SOURCE_DATE_EPOCH, or 0.
fn source_date() -> Result<u32> {
    let Some(value) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(0) };
    let value = value.to_string_lossy();
    value
        .parse()
        .map_err(|_| Error::input("SOURCE_DATE_EPOCH", format!("`{value}` is not a time in seconds below 2^32")))
}

/// Reports the modules and the lengths of all files; the lengths of the image are added when it is emitted.
fn report<'a>(inputs: &'a Inputs, plan: &'a ImagePlan<'a>, files: &ImageFiles) -> Report<'a> {
    let mut report = Report {
        title: inputs.title(),
        modules: module_rows(inputs, plan, files),
        totals: Vec::new(),
        selection: &plan.selection,
        missing_firmware: files.firmware.missing.clone(),
        notes: notes(inputs, plan, files),
    };
    let (modules, firmware, extra) = (&files.modules, &files.firmware.found, &files.extra);
    report.total(counted(modules.len(), "module"), modules.iter().map(|packed| packed.data.len()).sum());
    report.total("loader", plan.loader.len());
    report.total("indexes", files.indexes.iter().map(|(_, data)| data.len()).sum());
    if !firmware.is_empty() {
        report.total(counted(firmware.len(), "firmware file"), firmware.values().map(|(_, data)| data.len()).sum());
    }
    if !extra.is_empty() {
        report.total("extra files", extra.iter().map(|(_, _, data)| data.len()).sum());
    }
    report
}

/// Returns a row for each selected module: modname, bytes in the image, reason.
fn module_rows<'a>(inputs: &'a Inputs, plan: &ImagePlan<'_>, files: &ImageFiles) -> Vec<(&'a str, u64, String)> {
    let row = |pick: &crate::host::select::selection::Pick| {
        let modname = inputs.indexed.modules.as_slice()[pick.id].modname.as_str();
        match files.modules.iter().find(|packed| packed.module.modname == modname) {
            Some(packed) => (modname, packed.module.file_len, pick.prose(&inputs.indexed.modules)),
            None => (modname, 0, format!("{}; already in the image", pick.prose(&inputs.indexed.modules))),
        }
    };
    plan.selection.picks.iter().map(row).collect()
}

/// Returns the plan's warnings, and notes on modules that were not packed or not stripped.
fn notes(inputs: &Inputs, plan: &ImagePlan<'_>, files: &ImageFiles) -> Vec<String> {
    let mut notes = plan.notes.clone();
    let is_wanted = |modname: &str| plan.wanted.iter().any(|module| module.modname == modname);
    let hidden = inputs.indexed.tree.hidden.iter().filter(|hidden| is_wanted(&hidden.modname));
    notes.extend(hidden.map(ToString::to_string));
    let signed_count = files.modules.iter().filter(|packed| packed.module.signed).count();
    if plan.style.strip && signed_count > 0 {
        notes.push(format!("{} not stripped (needs --signatures drop)", counted(signed_count, "signed module")));
    }
    if let Some(existing) = &plan.existing {
        let already_count = plan.wanted.len() - files.modules.len();
        notes.push(format!("already in the image: {already_count} of its {} modules", existing.modules.len()));
    }
    notes
}

/// Lays the early files out in one archive, and all other files in another.
fn lay_out(inputs: &Inputs, plan: &ImagePlan<'_>, files: ImageFiles) -> Result<Archives> {
    let board = &inputs.board;
    let order = |list| load_order_files(&inputs.indexed.order(list));
    let board_orders = plan.selection.load_lists.iter();
    let firmware = files.firmware.found.into_iter();
    let main = layout::lay_out(ImageParts {
        destination: match &plan.existing {
            Some(existing) => Destination::Existing(&existing.contents, plan.loader_as),
            None => Destination::New,
        },
        loader: plan.loader.clone(),
        kver: &inputs.indexed.tree.kver,
        modules: files.modules,
        indexes: files.indexes,
        load_order: order(&plan.selection.load_list),
        board_load_orders: board_orders.map(|(compatible, list)| (compatible.as_str(), order(list))).collect(),
        modprobe_conf: board.modprobe.file_text(),
        firmware: firmware.map(|(name, (_, data))| (firmware_path(&name), data)).collect(),
        extra: files.extra,
    });
    let main = main.map_err(|error| board.fault("image.files", error.to_string()))?;
    let early = plan.early.archive().map_err(|error| board.fault("image.early", error.to_string()))?;
    Ok(Archives { early, main })
}

/// Emits the two files of a load order.
fn load_order_files(order: &LoadOrder) -> LoadOrderFiles {
    LoadOrderFiles { modules_load: order.modules_load_conf(), softdeps: order.modprobe_conf() }
}

/// Emits the image, and reports the length of each of its parts.
fn emit_image(plan: &ImagePlan<'_>, archives: &Archives, mtime: u32, report: &mut Report<'_>) -> Result<Vec<u8>> {
    let archive = match &plan.existing {
        Some(existing) => existing.emit(&archives.main, mtime)?,
        None => archives.main.emit(mtime),
    };
    report.total("archive", archive.len());
    let compressed = compress(&archive, plan.method);
    let method = plan.method.named();
    let (mut image, name) = match &plan.existing {
        Some(existing) => {
            report.total(format!("appended{method}"), compressed.len());
            report.total("appended to", existing.len());
            (existing.followed_by(&compressed), "image".into())
        }
        None => (compressed, format!("image{method}")),
    };
    if !archives.early.is_empty() {
        let early = early::emit(&archives.early, mtime);
        report.total("early archive", early.len());
        image = [early, image].concat();
    }
    report.total(name, image.len());
    Ok(image)
}
