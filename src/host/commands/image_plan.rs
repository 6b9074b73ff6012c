// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plan of an image: its modules, and the arguments of `build` merged with the keys of the board file. Refuses an
//! image that the kernel could not unpack, and modules that it would not load.

use super::args::BuildArgs;
use super::bootable;
use super::inputs::Inputs;
use super::loadable;
use crate::host::arch::Arch;
use crate::host::board::file::{Board, ModuleFormat};
use crate::host::board::kconfig::Kconfig;
use crate::host::dt::tree::cpu_of_64_bits;
use crate::host::error::{Error, Result};
use crate::host::image::append::ExistingImage;
use crate::host::image::compress::Method;
use crate::host::image::early::Early;
use crate::host::image::layout::LoaderAs;
use crate::host::image::pack::Style;
use crate::host::image::signature::Signatures;
use crate::host::input;
use crate::host::modules::module::{Module, ModuleId};
use crate::host::select::selection::Selection;
use std::path::{Path, PathBuf};

/// The plan of an image, made before any module is packed. An argument overrides its key in the board file.
#[derive(Debug)]
pub(crate) struct ImagePlan<'a> {
    /// The selected modules, with reasons and load order.
    pub(crate) selection: Selection,
    /// The selected modules, in depmod's order.
    pub(crate) wanted: Vec<&'a Module>,
    /// The loader's binary.
    pub(crate) loader: Vec<u8>,
    /// The image to append to.
    pub(crate) existing: Option<ExistingImage>,
    /// Commands that the loader replaces in the image to append to.
    pub(crate) loader_as: LoaderAs,
    /// Microcode and ACPI tables.
    pub(crate) early: Early,
    /// Format of the modules.
    pub(crate) style: Style,
    /// Compression of the image.
    pub(crate) method: Method,
    /// Warnings for the report.
    pub(crate) notes: Vec<String>,
}

impl<'a> ImagePlan<'a> {
    /// Selects the modules, and reads the loader, the image to append to and the early files.
    ///
    /// # Errors
    /// A file is missing or unusable, a module cannot be selected, or the kernel would refuse the image.
    pub(crate) fn new(args: &BuildArgs, inputs: &'a Inputs) -> Result<ImagePlan<'a>> {
        let board = &inputs.board;
        let loader = read_loader(board, args.loader.as_deref())?;
        let selection = inputs.select()?;
        let existing = read_existing(args, inputs)?;
        let loader_as = loader_as(args, board, existing.is_some())?;
        let early = read_early(args, board)?;
        let style = Style {
            arch: board.arch,
            format: args.module_format.or(board.image.modules).unwrap_or(ModuleFormat::Keep).format(),
            signatures: args.signatures.or(board.image.signatures).unwrap_or(Signatures::Keep),
            strip: args.strip || board.image.strip.unwrap_or(false),
        };
        let method = method(args, board, existing.is_some())?;
        let mut notes = check_kernel(board, inputs.kconfig.as_ref(), method, style.signatures, &early)?;
        notes.extend(other_width(inputs));
        let mut ids: Vec<ModuleId> = selection.picks.iter().map(|pick| pick.id).collect();
        ids.sort_unstable();
        let wanted: Vec<&Module> = ids.into_iter().map(|id| &inputs.indexed.modules.as_slice()[id]).collect();
        loadable::check(inputs, existing.as_ref(), &wanted)?;
        if existing.is_none() {
            bootable::check(inputs, &selection, &wanted)?;
        }
        Ok(ImagePlan { selection, wanted, loader, existing, loader_as, early, style, method, notes })
    }

    /// Whether the image to append to has the module.
    pub(crate) fn has_module(&self, module: &Module) -> bool {
        self.existing.as_ref().is_some_and(|existing| existing.has(&module.modname))
    }

    /// Whether the image to append to has a file, by path without a leading `/`.
    pub(crate) fn has_file(&self, path: &str) -> bool {
        self.existing.as_ref().is_some_and(|existing| existing.contents.has(path))
    }
}

/// Reads the loader, and checks that it is for the board's architecture.
fn read_loader(board: &Board, given: Option<&Path>) -> Result<Vec<u8>> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => {
            let own = std::env::current_exe().and_then(std::fs::canonicalize).map_err(Error::io("/proc/self/exe"))?;
            let prefix = own.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
            prefix.join(format!("lib/initmod/{}/initmod", board.arch))
        }
    };
    let loader = input::read(&path).map_err(|error| match (given, error) {
        (None, Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            let arch = board.arch;
            let advice = format!("build it by `config/loader {arch}` in the sources of initmod and pass --loader FILE");
            Error::input(&path, format!("no loader for {arch} here; {advice}, or run `make install` there"))
        }
        (_, error) => error,
    })?;
    board.arch.check(&loader).and_then(|()| check_loader(&loader)).map_err(|what| Error::input(path, what))?;
    Ok(loader)
}

/// Checks that a program is the loader: it has its name in it, and the image has no libraries.
fn check_loader(elf: &[u8]) -> Result<(), String> {
    if interpreter(elf).is_some() {
        return Err("dynamically linked, and the image has no libraries; build the loader for a musl target".into());
    }
    if !elf.windows(b"initmod".len()).any(|text| text == b"initmod") {
        return Err("not the loader; pass the file initmod that make leaves in target/dist/lib/initmod/ARCH".into());
    }
    Ok(())
}

/// Returns the segment that names the dynamic linker. Source: elf(5), `PT_INTERP`.
fn interpreter(elf: &[u8]) -> Option<&[u8]> {
    use object::read::elf::{ElfFile32, ElfFile64, ProgramHeader};
    let little = object::Endianness::Little;
    match ElfFile64::<object::Endianness>::parse(elf) {
        Ok(file) => file.elf_program_headers().iter().find_map(|segment| segment.interpreter(little, elf).ok()?),
        Err(_) => {
            let file = ElfFile32::<object::Endianness>::parse(elf).ok()?;
            file.elf_program_headers().iter().find_map(|segment| segment.interpreter(little, elf).ok()?)
        }
    }
}

/// Returns the compression of the image: that of the arguments or the board, or that which the image's name stands for.
///
/// # Errors
/// The two contradict each other. With --append the name is that of a sequence of archives: it stands for none.
fn method(args: &BuildArgs, board: &Board, has_existing: bool) -> Result<Method> {
    let given = args.compress.or(board.image.compress);
    let named = args.output.as_deref().filter(|_| !has_existing).and_then(Method::of_name);
    match (given, named, &args.output) {
        (Some(given), Some(named), Some(output)) if given != named => {
            let (given, named) = (given.word(), named.word());
            let what = format!("the name is that of an image with --compress {named}, not {given}");
            let advice = format!("pass --compress {named}, or another name with -o");
            Err(Error::input(output, format!("{what}; {advice}")))
        }
        _ => Ok(given.or(named).unwrap_or(Method::Zst)),
    }
}

/// Reads the image to append to. With --tree there is none.
fn read_existing(args: &BuildArgs, inputs: &Inputs) -> Result<Option<ExistingImage>> {
    let path = args.append.as_ref().or(inputs.board.image.append.as_ref()).filter(|_| args.tree.is_none());
    path.map(|path| ExistingImage::read(path, &inputs.indexed.tree.kver)).transpose()
}

/// Returns the commands that the loader replaces; refuses them for a new image, where the loader is always /init.
fn loader_as(args: &BuildArgs, board: &Board, has_existing: bool) -> Result<LoaderAs> {
    let loader_as = args.loader_as.or(board.image.loader_as);
    if loader_as.is_some() && !has_existing && args.tree.is_none() {
        return Err(board.fault("image.loader-as", "only valid with --append".into()));
    }
    Ok(loader_as.unwrap_or(LoaderAs::Modprobe))
}

/// Reads the early files. With --tree there are none.
fn read_early(args: &BuildArgs, board: &Board) -> Result<Early> {
    if args.tree.is_some() {
        return Ok(Early::default());
    }
    let paths: Vec<PathBuf> = args.early.iter().chain(&board.image.early).cloned().collect();
    Early::read(&paths)
}

/// Checks the image against the kernel's configuration. Returns warnings about modules that it may refuse.
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
        let unknown = "cannot check whether the kernel accepts unsigned modules; pass --config FILE";
        return Ok(if signatures == Signatures::Drop { vec![unknown.into()] } else { Vec::new() });
    };
    config.require("BLK_DEV_INITRD", "an initramfs")?;
    for option in early.options() {
        config.require(option, "an early archive")?;
    }
    if let Some(option) = method.option() {
        config.require(option, "an image in this compression")?;
    }
    if signatures == Signatures::Drop { check_unsigned(config) } else { Ok(Vec::new()) }
}

/// Notes that a board has 64-bit CPUs, and its modules are for a 32-bit kernel: that may be meant.
fn other_width(inputs: &Inputs) -> Option<String> {
    let boards = inputs.boards.iter().filter(|_| inputs.board.arch == Arch::Armv7);
    let cpu = boards.flat_map(|board| &board.trees).find_map(cpu_of_64_bits)?;
    Some(format!(
        "the device tree has 64-bit CPUs ({cpu}), and the modules are for a 32-bit kernel; if that is an error, pass --modules of an arm64 kernel"
    ))
}

/// Checks that the kernel's configuration allows unsigned modules. Returns a warning if Secure Boot forbids them.
fn check_unsigned(config: &Kconfig) -> Result<Vec<String>> {
    for option in ["MODULE_SIG_FORCE", "LOCK_DOWN_KERNEL_FORCE_INTEGRITY", "LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY"] {
        config.forbid(option, "unsigned modules")?;
    }
    let secure_boot = "under Secure Boot this kernel refuses unsigned modules";
    Ok(if config.has("LOCK_DOWN_IN_EFI_SECURE_BOOT") { vec![secure_boot.into()] } else { Vec::new() })
}
