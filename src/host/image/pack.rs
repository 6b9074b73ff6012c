//! Module files on their way into the image: read, checked against architecture and kernel, packed anew if so wanted.

use super::signature;
use super::signature::Signatures;
use super::strip;
use crate::host::arch::Arch;
use crate::host::codec;
use crate::host::codec::Format;
use crate::host::error::{Error, Result};
use crate::host::modules::file::plain_path;
use crate::host::modules::module::Module;
use crate::host::modules::tree::Tree;
use rayon::prelude::*;
use std::borrow::Cow;

/// A module as it goes into the image.
#[derive(Clone, Debug)]
pub struct Packed {
    /// What it says of itself; path and length are those in the image.
    pub module: Module,
    /// The file.
    pub data: Vec<u8>,
}

/// What becomes of module files.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// For which machine they have to be.
    pub arch: Arch,
    /// How they are packed; `None` leaves that as it is.
    pub format: Option<Format>,
    /// What becomes of their signatures.
    pub signatures: Signatures,
    /// Those without signature lose debug sections and BTF.
    pub strip: bool,
}

/// Reads module files of `tree`, and makes of them what `style` says. The order stays.
///
/// # Errors
/// A file can't be read or unpacked, or is not for `arch` or the tree's kernel.
pub fn pack(tree: &Tree, modules: &[&Module], style: Style) -> Result<Vec<Packed>> {
    modules.par_iter().with_max_len(1).map(|module| one(tree, module, style)).collect()
}

/// Reads one module file: as it lies, and unpacked.
///
/// # Errors
/// It can't be read or unpacked, or is not for `arch`.
pub fn read(tree: &Tree, module: &Module, arch: Arch) -> Result<(Vec<u8>, Vec<u8>)> {
    let (data, plain) = unpacked(tree, module)?;
    arch.check(&plain).map_err(|what| Error::input(tree.dir.join(&module.path), what))?;
    Ok((data, plain))
}

/// Reads one module file of any architecture: as it lies, and unpacked.
///
/// # Errors
/// It can't be read or unpacked.
pub fn unpacked(tree: &Tree, module: &Module) -> Result<(Vec<u8>, Vec<u8>)> {
    let path = tree.dir.join(&module.path);
    let data = std::fs::read(&path).map_err(Error::io(&path))?;
    let plain = codec::decompress(&data).map_err(|damage| damage.in_file(&path))?;
    Ok((data, plain))
}

fn one(tree: &Tree, module: &Module, style: Style) -> Result<Packed> {
    let path = tree.dir.join(&module.path);
    check_kernel(module, &tree.kver).map_err(|what| Error::input(&path, what))?;
    let (data, plain) = read(tree, module, style.arch)?;
    let mut module = module.clone();
    let was = Format::of(&data);
    let bare = match style.signatures {
        Signatures::Keep => &plain[..],
        Signatures::Drop => signature::dropped(&plain).map_err(|what| Error::input(&path, what))?,
    };
    let wanted = if style.strip && !signature::is_signed(bare) {
        strip::stripped(bare).map_err(|what| Error::input(&path, what))?
    } else {
        Cow::Borrowed(bare)
    };
    let format = style.format.unwrap_or(was);
    // A file that is as wanted already stays as it is, to the byte.
    let is_same = matches!(wanted, Cow::Borrowed(bytes) if bytes.len() == plain.len());
    let data = if format == was && is_same { data } else { codec::compress(&wanted, format) };
    if format != was {
        module.path = format!("{}{}", plain_path(&module.path), format.suffix());
    }
    module.signed &= style.signatures == Signatures::Keep;
    (module.file_len, module.plain_len) = (data.len() as u64, wanted.len() as u64);
    Ok(Packed { module, data })
}

/// Refuses what the kernel would refuse: a module of another release, unless versions of symbols decide instead.
/// Source: the kernel's kernel/module/version.c, `same_magic`.
fn check_kernel(module: &Module, kver: &str) -> Result<(), String> {
    let vermagic = String::from_utf8_lossy(module.vermagic().unwrap_or_default());
    let mut words = vermagic.split_whitespace();
    match words.next() {
        Some(release) if release != kver && !words.any(|word| word == "modversions") => {
            Err(format!("is for Linux {release}, not {kver}"))
        }
        _ => Ok(()),
    }
}
