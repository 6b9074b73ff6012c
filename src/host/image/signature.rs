//! Removes the signature at a module's end. Source: the kernel's include/linux/module_signature.h.
//!
//! ```text
//! module, signature (sig_len bytes), 8 bytes, sig_len: u32 big-endian, "~Module signature appended~\n"
//! ```

use crate::modules::signature::MAGIC;
use serde::Deserialize;

/// Length of the trailer between the signature and [`MAGIC`], bytes. It ends in the signature's length.
const INFO_LEN: usize = 12;

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
    let Some(signed) = module.strip_suffix(MAGIC) else { return Ok(module) };
    let len = signed.last_chunk().map(|len| u32::from_be_bytes(*len) as usize);
    let len = len.and_then(|len| signed.len().checked_sub(len.checked_add(INFO_LEN)?));
    len.map(|len| &signed[..len]).ok_or_else(|| "damaged signature: longer than the file".into())
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
