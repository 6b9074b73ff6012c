//! The architectures that the loader is built for, and which of them an ELF file is for.

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
    /// Says whether an ELF file, a loader or a module, runs on it.
    ///
    /// # Errors
    /// What the file is instead, in prose: `is for aarch64, not armv7`.
    pub fn check(self, elf: &[u8]) -> Result<(), String> {
        let found = Arch::of(elf)
            .map_err(|what| if what.starts_with("is for") { format!("{what}, not {self}") } else { what })?;
        if found == self { Ok(()) } else { Err(format!("is for {found}, not {self}")) }
    }

    /// Tells which architecture an ELF file is for.
    ///
    /// # Errors
    /// In prose: it is for one that there is no loader for.
    pub fn of(elf: &[u8]) -> Result<Arch, String> {
        let file = object::File::parse(elf).map_err(|_| "is no ELF file".to_owned())?;
        Ok(match (file.architecture(), file.is_little_endian()) {
            (Architecture::X86_64, true) => Arch::X86_64,
            (Architecture::Aarch64, true) => Arch::Aarch64,
            (Architecture::Arm, true) => Arch::Armv7,
            (other, _) => return Err(format!("is for {}", format!("{other:?}").to_lowercase())),
        })
    }
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
