// SPDX-License-Identifier: MIT OR Apache-2.0
//! Removes the signature at a module's end.

use crate::modules::signature::{MAGIC, Signed};
use serde::Deserialize;

/// Treatment of the modules' signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Signatures {
    /// Keep them
    Keep,
    /// Remove them: modules load faster, but taint the kernel; one that enforces signatures refuses them
    Drop,
}

/// Whether an unpacked module is signed.
pub fn is_signed(module: &[u8]) -> bool {
    module.ends_with(MAGIC)
}

/// Returns an unpacked module without its signature; an unsigned one unchanged.
///
/// # Errors
/// In prose: the signature is longer than the file.
pub fn dropped(module: &[u8]) -> Result<&[u8], String> {
    match Signed::of(module) {
        Ok(signed) => Ok(signed.map_or(module, |signed| signed.module)),
        Err(_) => Err("damaged signature: longer than the file".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_removed_by_its_length() {
        let signed = [b"ELF" as &[u8], b"sig!", &[0; 8], &4u32.to_be_bytes(), MAGIC].concat();
        assert_eq!(dropped(&signed), Ok(&b"ELF"[..]));
        assert_eq!(dropped(b"ELF"), Ok(&b"ELF"[..]));
        for start in 1..signed.len() {
            let _ = dropped(&signed[start..]);
        }
        assert!(dropped(&[&[255; 4], MAGIC].concat()).is_err());
    }
}
