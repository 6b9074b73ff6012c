// SPDX-License-Identifier: MIT OR Apache-2.0
//! The architectures of the loader, and the architecture of an ELF file.

use object::{Architecture, Object};
use serde::Deserialize;
use std::fmt;

/// An architecture that the loader is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Arch {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm.
    #[serde(rename = "aarch64")]
    Aarch64,
    /// 32-bit Arm with VFP.
    #[serde(rename = "armv7")]
    Armv7,
}

impl Arch {
    /// Checks that an ELF file, a loader or a module, is for this architecture.
    ///
    /// # Errors
    /// In prose: it is for another, or not an ELF file.
    pub fn check(self, elf: &[u8]) -> Result<(), String> {
        let (name, arch) = machine(elf)?;
        if arch == Some(self) { Ok(()) } else { Err(format!("is for {name}, not {self}")) }
    }

    /// Returns the architecture of an ELF file.
    ///
    /// # Errors
    /// In prose: there is no loader for it, or it is not an ELF file.
    pub fn of(elf: &[u8]) -> Result<Arch, String> {
        let (name, arch) = machine(elf)?;
        arch.ok_or_else(|| format!("is for {name}, which has no loader"))
    }
}

/// Returns the name of an ELF file's machine, and its architecture if there is a loader for it.
fn machine(elf: &[u8]) -> Result<(String, Option<Arch>), String> {
    let file = object::File::parse(elf).map_err(|_| "not an ELF file".to_owned())?;
    let arch = match (file.architecture(), file.is_little_endian()) {
        (Architecture::X86_64, true) => Arch::X86_64,
        (Architecture::Aarch64, true) => Arch::Aarch64,
        (Architecture::Arm, true) => Arch::Armv7,
        (other, _) => return Ok((format!("{other:?}").to_lowercase(), None)),
    };
    Ok((arch.to_string(), Some(arch)))
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
            Arch::Armv7 => "armv7",
        })
    }
}
