// SPDX-License-Identifier: MIT OR Apache-2.0
//! A module file for the commands that read it: mapped, decompressed if needed; and modprobe's lists of its symbols.

use super::print::{Out, error, fatal};
use crate::device::io::file::open;
use crate::device::io::log::{Decimal, refusal_prose};
use crate::device::io::mmap::map;
use crate::device::kernel::codec::decode;
use crate::device::kernel::codec::mapping::Mapping;
use crate::loading::kernel::{Errno, Refusal};
use crate::modules::compression::Compression;
use crate::modules::elf::Elf;
use crate::modules::index::Fault;
use rustix::fd::OwnedFd;
use rustix::fs::CWD;

/// A module's content.
pub(crate) enum ModuleFile {
    Plain(&'static [u8]),
    Decoded(Mapping),
}

impl ModuleFile {
    /// Takes a file's content.
    ///
    /// # Errors
    /// Why that can't be read.
    pub(crate) fn read(file: &OwnedFd) -> Result<ModuleFile, Refusal> {
        let data = map(file).map_err(Refusal::File)?;
        if Compression::of(data).is_none() {
            return Ok(ModuleFile::Plain(data));
        }
        decode(data).map(ModuleFile::Decoded).map_err(Refusal::from)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            ModuleFile::Plain(data) => data,
            ModuleFile::Decoded(data) => data,
        }
    }
}

/// Prints the symbols that a module file exports, or imports, with their checksums; returns the exit status.
pub(crate) fn show_symbols(has: bool, file: &[u8]) -> i32 {
    let image = match open(CWD, file).map_err(Refusal::File).and_then(|file| ModuleFile::read(&file)) {
        Ok(image) => image,
        Err(Refusal::File(Errno::ENOENT)) => {
            fatal("Module % not found.", &[file]);
            return 1;
        }
        Err(refusal) => {
            fatal("Module %: %", &[file, refusal_prose(refusal)]);
            return 1;
        }
    };
    let elf = match Elf::new(image.bytes()) {
        Ok(elf) => elf,
        Err(fault) => return damaged(file, fault),
    };
    let mut out = Out::new();
    let mut count = 0u32;
    elf.versions(has, &mut |version| {
        count = count.saturating_add(1);
        let mut digits = [b'0'; 16];
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            let nibble = (version.crc >> place.saturating_mul(4) & 15) as usize;
            *digit = b"0123456789abcdef".get(nibble).copied().unwrap_or(b'?');
        }
        // At least 8 digits.
        let zeros = digits.iter().take(8).take_while(|&&digit| digit == b'0').count();
        out.fill("0x%\t%\n", &[digits.get(zeros..).unwrap_or_default(), version.symbol]);
    });
    if count == 0 {
        fatal("%: no versions of symbols in it", &[file]);
    }
    i32::from(count == 0)
}

/// Reports the damage in a module file and its offset; returns the exit status.
pub(crate) fn damaged(file: &[u8], fault: Fault) -> i32 {
    let off = Decimal::new(fault.off.into());
    error("%: at % %", &[file, off.text(), fault.error.prose().as_bytes()]);
    1
}
