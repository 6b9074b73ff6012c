// SPDX-License-Identifier: MIT OR Apache-2.0
//! An existing image to append to. Its bytes stay unchanged. Files that it has are not appended again; its modules are
//! listed in the appended indexes, which replace its own.

use super::contents::Contents;
use super::cpio::{Archive, PathError};
use super::unpack::ALIGN;
use crate::host::error::{Error, Result};
use crate::host::input;
use crate::host::modules::module::Module;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// An existing image to append to.
#[derive(Debug)]
pub(crate) struct ExistingImage {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Its entries.
    pub(crate) contents: Contents,
    /// Its modules for the kernel.
    pub(crate) modules: Vec<Module>,
    modnames: HashSet<String>,
}

impl ExistingImage {
    /// Reads the image at `path`, and its modules for the kernel `kver`. Prints a warning for each unreadable module, and
    /// ignores it.
    ///
    /// # Errors
    /// The image is unreadable or not an initramfs.
    pub(crate) fn read(path: &Path, kver: &str) -> Result<ExistingImage> {
        let bytes = input::read(path)?;
        let contents = Contents::read(&bytes, kver).map_err(|damage| damage.in_file(path))?;
        let dir = format!("lib/modules/{kver}");
        let mut modules = Vec::new();
        for (name, module) in contents.modules(&dir) {
            match module {
                Ok(module) => modules.push(module),
                Err(what) => eprintln!("mkinitmod: {}: /{dir}/{name}: {what}", path.display()),
            }
        }
        let others: Vec<&str> = contents.names("lib/modules").filter(|name| *name != kver).collect();
        if modules.is_empty() && !others.is_empty() {
            let others = others.join(", ");
            eprintln!("mkinitmod: {}: no modules for Linux {kver}, only for {others}; check --modules", path.display());
        }
        let modnames = modules.iter().map(|module| module.modname.clone()).collect();
        Ok(ExistingImage { path: path.into(), bytes, contents, modules, modnames })
    }

    /// Whether the image has the module.
    pub(crate) fn has(&self, modname: &str) -> bool {
        self.modnames.contains(modname)
    }

    /// Returns the image's modules and `more`, in the order of `all`; those that `all` lacks come last.
    pub(crate) fn with(&self, more: Vec<Module>, all: &[Module]) -> Vec<Module> {
        let mut modules = [self.modules.clone(), more].concat();
        let place =
            |module: &Module| all.iter().position(|known| known.modname == module.modname).unwrap_or(usize::MAX);
        modules.sort_by_cached_key(|module| (place(module), module.path.clone()));
        modules
    }

    /// Emits `archive` with its paths resolved in the image.
    ///
    /// # Errors
    /// An entry of the image has the path of an appended one, or is a file where a directory is needed.
    pub(crate) fn emit(&self, archive: &Archive, mtime: u32) -> Result<Vec<u8>> {
        let what = |error: PathError| Error::input(&self.path, error);
        let (fitted, in_front) = self.contents.fit(archive).map_err(what)?;
        let in_front = if in_front.is_empty() { Vec::new() } else { in_front.emit(mtime) };
        Ok([in_front, fitted.emit(mtime)].concat())
    }

    /// Returns the image with `appended`, an archive that may be compressed, behind it.
    pub(crate) fn followed_by(&self, appended: &[u8]) -> Vec<u8> {
        // lz4 data ends at a zero length: at least 4 zeros.
        let padded_len = (self.bytes.len() + ALIGN).next_multiple_of(ALIGN);
        let mut image = Vec::with_capacity(padded_len + appended.len());
        image.extend(&self.bytes);
        image.resize(padded_len, 0);
        image.extend(appended);
        image
    }

    /// Length of the image, bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}
