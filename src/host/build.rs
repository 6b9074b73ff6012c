//! `mkinitmod build`: board, stock and selection (see [`job`](super::job)) -> pack -> depmod -> image, and the report.

use super::arch::Arch;
use super::board::{Board, ModuleFormat, Signatures};
use super::cli::BuildArgs;
use super::codec::Format;
use super::depmod::{self, Builtin};
use super::error::{Error, Result};
use super::image::compress::compress;
use super::image::layout::{Content, lay_out};
use super::image::pack::{self, Packed, Style};
use super::image::trim;
use super::job::Job;
use super::kconfig::Kconfig;
use super::left_out::left_out;
use super::module::Module;
use super::report::{Report, print};
use super::selection::Selection;
use super::tree::Tree;
use std::path::Path;

/// Builds the image that `args` describe, and prints what is in it.
///
/// # Errors
/// What stands in the way, with the file and the key or line. The image is whole, or it is not written.
pub fn run(args: &BuildArgs) -> Result<()> {
    let mtime = source_date()?;
    let job = Job::read(&args.source, false)?;
    let Job { board, stock, .. } = &job;
    let (tree, modules) = (&stock.tree, &stock.modules);
    let loader = read_loader(board, args.loader.as_deref())?;
    let selection = job.select()?;
    let format = args.module_format.or(board.image.modules).unwrap_or(ModuleFormat::Keep).format();
    let mut places: Vec<usize> = selection.picks.iter().map(|pick| pick.at).collect();
    places.sort_unstable();
    let wanted: Vec<&Module> = places.iter().map(|&at| &modules[at]).collect();
    let signatures = args.signatures.or(board.image.signatures).unwrap_or(Signatures::Keep);
    let compression = args.compress.or(board.image.compress).unwrap_or(Format::Zst);
    if let Some(config) = args.config.clone().or_else(|| stock.beside("config")) {
        check_config(&Kconfig::read(&config)?, compression, signatures)?;
    }
    let packed = pack::pack(tree, &wanted, Style { arch: board.arch, format, signatures })?;
    let mut indexes = indexes(tree, &packed)?;
    let suppliers = left_out(modules, &wanted);
    if board.arch != Arch::X86_64 && !suppliers.is_empty() {
        indexes.push(("modules.left-out", suppliers));
    }
    let extra = board.image.files.iter().map(|file| {
        let data = std::fs::read(&file.from).map_err(Error::io(&file.from))?;
        Ok((file.to.clone(), file.mode, data))
    });
    let content = Content {
        loader,
        kver: &tree.kver,
        modules: packed,
        indexes,
        load: &selection.lane,
        modprobe_conf: board.modprobe.file_text(),
        extra: extra.collect::<Result<_>>()?,
    };

    let lens = |lens: &mut dyn Iterator<Item = usize>| lens.sum::<usize>() as u64;
    let mut report = Report {
        title: job.title(),
        modules: rows(modules, &selection, &content.modules),
        totals: vec![
            (format!("{} modules", content.modules.len()), lens(&mut content.modules.iter().map(|p| p.data.len()))),
            ("loader".into(), content.loader.len() as u64),
            ("indexes".into(), lens(&mut content.indexes.iter().map(|(_, data)| data.len()))),
        ],
        selection: &selection,
    };
    if !content.extra.is_empty() {
        report.totals.push(("extra files".into(), lens(&mut content.extra.iter().map(|(_, _, data)| data.len()))));
    }
    let archive = lay_out(content).map_err(|error| board.fault("image.files", error.to_string()))?.emit(mtime);
    let image = compress(&archive, compression);
    report.totals.push(("archive".into(), archive.len() as u64));
    report.totals.push((format!("image{}", compression.suffix().replace('.', ", ")), image.len() as u64));
    write_beside(&args.output, &image)?;
    if !args.quiet {
        print(&report.text());
    }
    Ok(())
}

/// Refuses what the kernel would refuse.
fn check_config(config: &Kconfig, compression: Format, signatures: Signatures) -> Result<()> {
    config.require("BLK_DEV_INITRD", "an initramfs")?;
    let method = match compression {
        Format::None => None,
        Format::Gz => Some("RD_GZIP"),
        Format::Xz => Some("RD_XZ"),
        Format::Zst => Some("RD_ZSTD"),
    };
    if let Some(method) = method {
        config.require(method, "an image so compressed")?;
    }
    if signatures == Signatures::Drop {
        for option in ["MODULE_SIG_FORCE", "LOCK_DOWN_KERNEL_FORCE_INTEGRITY", "LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY"]
        {
            config.forbid(option, "modules without signature")?;
        }
    }
    Ok(())
}

/// Emits the index files of the trimmed tree, and what depmod needs to write them again.
fn indexes(tree: &Tree, packed: &[Packed]) -> Result<Vec<depmod::IndexFile>> {
    let modules: Vec<Module> = packed.iter().map(|packed| packed.module.clone()).collect();
    let modinfo = tree.builtin_modinfo.as_deref().map(trim::builtin_modinfo);
    let mut files = depmod::indexes(Builtin { list: tree.builtin.as_deref(), modinfo: modinfo.as_deref() }, &modules)?;
    files.push(("modules.order", trim::order(modules.iter().map(|module| module.path.as_str()))));
    files.extend(tree.builtin.clone().map(|list| ("modules.builtin", list)));
    files.extend(modinfo.map(|modinfo| ("modules.builtin.modinfo", modinfo)));
    Ok(files)
}

fn rows<'a>(modules: &'a [Module], selection: &Selection, packed: &[Packed]) -> Vec<(&'a str, u64, String)> {
    let row = |pick: &super::selection::Pick| {
        let modname = modules[pick.at].modname.as_str();
        let len =
            packed.iter().find(|packed| packed.module.modname == modname).map_or(0, |packed| packed.module.file_len);
        (modname, len, pick.to_string())
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

/// Writes `image` beside `output` and renames it: nobody ever sees a part of it.
fn write_beside(output: &Path, image: &[u8]) -> Result<()> {
    if std::fs::metadata(output).is_ok_and(|meta| !meta.is_file()) {
        // A device or pipe takes the bytes as they come; a directory refuses.
        return std::fs::write(output, image).map_err(Error::io(output));
    }
    let name = output.file_name().ok_or_else(|| Error::input(output, "is no name of a file"))?;
    let beside = output.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let written = std::fs::write(&beside, image).and_then(|()| std::fs::rename(&beside, output));
    written.map_err(|error| {
        // What is left of it, if it was there at all.
        let _ = std::fs::remove_file(&beside);
        Error::io(output)(error)
    })
}
