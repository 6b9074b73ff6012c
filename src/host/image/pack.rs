// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packing of modules for the image: checks the architecture, removes signatures and debug sections, recompresses.

use super::signature;
use super::signature::Signatures;
use super::strip;
use crate::host::arch::Arch;
use crate::host::codec;
use crate::host::codec::Format;
use crate::host::error::{Error, Result};
use crate::host::input;
use crate::host::modules::file::plain_path;
use crate::host::modules::module::Module;
use crate::host::modules::tree::Tree;
use rayon::prelude::*;
use std::borrow::Cow;

/// A module file of the image.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The module's metadata; path and lengths are those in the image.
    pub module: Module,
    /// Content.
    pub data: Vec<u8>,
}

/// Requested form of the packed modules.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Architecture that they must have.
    pub arch: Arch,
    /// Compression; `None` keeps each file's own.
    pub format: Option<Format>,
    /// Treatment of signatures.
    pub signatures: Signatures,
    /// Whether unsigned modules lose debug sections and BTF.
    pub strip: bool,
}

/// Reads modules of `tree` and packs them in the form of `style`. Returns them in the order of `modules`.
///
/// # Errors
/// A file cannot be read or unpacked, or is for another architecture.
pub fn pack(tree: &Tree, modules: &[&Module], style: Style) -> Result<Vec<Packed>> {
    let packed: Vec<Result<Packed>> =
        modules.par_iter().with_max_len(1).map(|module| pack_one(tree, module, style)).collect();
    // Of several errors, the first in the order of `modules` is reported.
    packed.into_iter().collect()
}

/// Reads one module file. Returns the file, and its unpacked content.
///
/// # Errors
/// It cannot be read or unpacked, or is not for `arch`.
pub fn read(tree: &Tree, module: &Module, arch: Arch) -> Result<(Vec<u8>, Vec<u8>)> {
    let (data, plain) = unpacked(tree, module)?;
    arch.check(&plain).map_err(|what| Error::input(tree.dir.join(&module.path), what))?;
    Ok((data, plain))
}

/// Like [`read`], for a module of any architecture.
///
/// # Errors
/// It cannot be read or unpacked.
pub fn unpacked(tree: &Tree, module: &Module) -> Result<(Vec<u8>, Vec<u8>)> {
    let path = tree.real_path(&module.path);
    let data = input::read(&path)?;
    let plain = codec::decompress(&data).map_err(|damage| damage.in_file(&path))?;
    Ok((data, plain))
}

fn pack_one(tree: &Tree, module: &Module, style: Style) -> Result<Packed> {
    let path = tree.dir.join(&module.path);
    let (data, plain) = read(tree, module, style.arch)?;
    let mut module = module.clone();
    let old_format = Format::of(&data);
    let bare = match style.signatures {
        Signatures::Keep => &plain[..],
        Signatures::Drop => signature::dropped(&plain).map_err(|what| Error::input(&path, what))?,
    };
    let wanted = if style.strip && !signature::is_signed(bare) {
        strip::stripped(bare).map_err(|what| Error::input(&path, what))?
    } else {
        Cow::Borrowed(bare)
    };
    let format = style.format.unwrap_or(old_format);
    // A file that already has the requested form is copied unchanged.
    let is_same = matches!(wanted, Cow::Borrowed(bytes) if bytes.len() == plain.len());
    let data = if format == old_format && is_same { data } else { codec::compress(&wanted, format) };
    if format != old_format {
        module.path = format!("{}{}", plain_path(&module.path), format.suffix());
    }
    module.signed &= style.signatures == Signatures::Keep;
    (module.file_len, module.plain_len) = (data.len() as u64, wanted.len() as u64);
    Ok(Packed { module, data })
}
