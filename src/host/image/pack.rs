//! Module files on their way into the image: read, checked against the architecture, packed anew if so wanted.

use crate::host::arch::Arch;
use crate::host::codec::{self, Format};
use crate::host::error::{Error, Result};
use crate::host::module::Module;
use crate::host::tree::plain_path;
use rayon::prelude::*;
use std::path::Path;

/// A module as it goes into the image.
#[derive(Clone, Debug)]
pub struct Packed {
    /// What it says of itself; path and length are those in the image.
    pub module: Module,
    /// The file.
    pub data: Vec<u8>,
}

/// Reads the module files of the tree at `dir`; `format` says how to pack them, `None` leaves them as they are. The
/// order stays.
///
/// # Errors
/// A file can't be read or unpacked, or is not for `arch`.
pub fn pack(dir: &Path, modules: &[&Module], arch: Arch, format: Option<Format>) -> Result<Vec<Packed>> {
    modules.par_iter().with_max_len(1).map(|module| one(dir, module, arch, format)).collect()
}

fn one(dir: &Path, module: &Module, arch: Arch, format: Option<Format>) -> Result<Packed> {
    let path = dir.join(&module.path);
    let data = std::fs::read(&path).map_err(Error::io(&path))?;
    let plain = codec::decompress(&data).map_err(|damage| Error::Damaged {
        path: path.clone(),
        off: damage.off,
        what: damage.what,
    })?;
    arch.check(&plain).map_err(|what| Error::input(path, what))?;
    let mut module = module.clone();
    // A file that is packed as wanted already stays as it is, its signature of the distribution included.
    let data = match format.filter(|&format| format != Format::of(&data)) {
        Some(format) => {
            module.path = format!("{}{}", plain_path(&module.path), format.suffix());
            codec::compress(&plain, format)
        }
        None => data,
    };
    module.file_len = data.len() as u64;
    Ok(Packed { module, data })
}
