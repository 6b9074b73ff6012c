//! The signature at a module's end, and the module without it. Source: the kernel's include/linux/module_signature.h.
//!
//! ```text
//! module, signature (sig_len bytes), 8 bytes, sig_len: u32 big-endian, "~Module signature appended~\n"
//! ```

use crate::modules::signature::MAGIC;
use serde::Deserialize;

/// Bytes of what stands between signature and magic, the signature's length at its end.
const INFO_LEN: usize = 12;

/// What becomes of the signatures of modules on their way into the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Signatures {
    /// They stay.
    Keep,
    /// They are cut off: the kernel need not check them, is tainted, and refuses such modules where it enforces.
    Drop,
}

/// Says whether an unpacked module ends in a signature.
pub fn is_signed(module: &[u8]) -> bool {
    module.ends_with(MAGIC)
}

/// Returns an unpacked module without its signature; one without any as it is.
///
/// # Errors
/// In prose: the signature is longer than the file.
pub fn dropped(module: &[u8]) -> Result<&[u8], String> {
    let Some(signed) = module.strip_suffix(MAGIC) else { return Ok(module) };
    let len = signed.last_chunk().map(|len| u32::from_be_bytes(*len) as usize);
    let len = len.and_then(|len| signed.len().checked_sub(len.checked_add(INFO_LEN)?));
    len.map(|len| &signed[..len]).ok_or_else(|| "has a signature that is longer than the file".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_cut_off_at_its_length() {
        let signed = [b"ELF" as &[u8], b"sig!", &[0; 8], &4u32.to_be_bytes(), MAGIC].concat();
        assert_eq!(dropped(&signed), Ok(&b"ELF"[..]));
        assert_eq!(dropped(b"ELF"), Ok(&b"ELF"[..]));
        for start in 1..signed.len() {
            let _ = dropped(&signed[start..]);
        }
        assert!(dropped(&[&[255; 4], MAGIC].concat()).is_err());
    }
}
