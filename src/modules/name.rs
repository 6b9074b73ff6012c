// SPDX-License-Identifier: MIT OR Apache-2.0
//! Normalized module names and aliases: `-` becomes `_`, as in kmod's `alias_normalize`.
//!
//! A *modname* is a name in /sys/module: no directory, no `.ko`, `_` and never `-`.

use crate::bytes::{basename, until};
use crate::error::Error;

/// Longest modname, bytes. Source: the kernel's MODULE_NAME_LEN, 64 less a word, NUL included.
pub const MODNAME_LEN: usize = 64;

/// Longest alias or modalias, bytes. Source: a modalias file of sysfs holds at most a page.
pub const ALIAS_LEN: usize = 4096;

/// Buffer for an alias.
pub type Alias = heapless::Vec<u8, ALIAS_LEN>;

/// A module's name as in /sys/module, with `_` and never `-`.
pub type Modname = heapless::Vec<u8, MODNAME_LEN>;

/// Writes `alias` to `out`, which is empty, and replaces `-` by `_`, except between `[` and `]`.
///
/// # Errors
/// [`Error::BadBrackets`] for a `[` that is not closed or a `]` that was not opened; [`Error::TooLong`] when `out` is
/// too short. Source: kmod, shared/util.c, `alias_normalize`.
pub fn normalize(alias: &[u8], out: &mut heapless::VecView<u8>) -> Result<(), Error> {
    out.extend_from_slice(alias).map_err(|_| Error::TooLong)?;
    normalize_in_place(out)
}

/// Normalizes `alias` in place, like [`normalize`].
///
/// # Errors
/// [`Error::BadBrackets`] for a `[` that is not closed or a `]` that was not opened.
pub fn normalize_in_place(alias: &mut [u8]) -> Result<(), Error> {
    let mut in_brackets = false;
    for byte in alias {
        let from = *byte;
        match from {
            b'-' if !in_brackets => *byte = b'_',
            b']' if !in_brackets => return Err(Error::BadBrackets),
            _ => {}
        }
        in_brackets = if in_brackets { from != b']' } else { from == b'[' };
    }
    if in_brackets { Err(Error::BadBrackets) } else { Ok(()) }
}

/// Returns the modname of a module file: base name up to its first `.`, `_` for `-`.
///
/// # Errors
/// [`Error::TooLong`] for a name over [`MODNAME_LEN`].
pub fn modname(path: &[u8]) -> Result<Modname, Error> {
    from_name(basename(path))
}

/// Returns the modname that `name` stands for: all up to its first `.`, `_` for `-`.
///
/// # Errors
/// [`Error::TooLong`] for a name over [`MODNAME_LEN`].
pub fn from_name(name: &[u8]) -> Result<Modname, Error> {
    let name = name.split(|&byte| byte == b'.').next().unwrap_or_default();
    let mut name = Modname::from_slice(name).map_err(|_| Error::TooLong)?;
    name.iter_mut().filter(|byte| **byte == b'-').for_each(|byte| *byte = b'_');
    Ok(name)
}

/// Whether two module names are equal, with `-` equal to `_`.
pub fn same(left: &[u8], right: &[u8]) -> bool {
    let fold = |byte: u8| if byte == b'-' { b'_' } else { byte };
    left.len() == right.len() && left.iter().zip(right).all(|(&l, &r)| fold(l) == fold(r))
}

/// Borrows the base name of `path` up to its first `.`: `kernel/fs/nls/nls_iso8859-1.ko.xz` gives `nls_iso8859-1`.
pub fn stem(path: &[u8]) -> &[u8] {
    until(basename(path), b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(alias: &str) -> Result<String, Error> {
        let mut normal = Alias::new();
        normalize(alias.as_bytes(), &mut normal).map(|()| String::from_utf8(normal.to_vec()).unwrap())
    }

    #[test]
    fn dash_equals_underscore() {
        assert_eq!(normal("snd-hda-intel").unwrap(), "snd_hda_intel");
        assert!(same(b"snd-hda_intel", b"snd_hda-intel"));
        assert!(!same(b"a", b"a-"));
    }

    #[test]
    fn brackets_keep_their_dash() {
        assert_eq!(normal("usb:d1[0-9]-*").unwrap(), "usb:d1[0-9]_*");
        assert_eq!(normal("a[b"), Err(Error::BadBrackets));
        assert_eq!(normal("a]b"), Err(Error::BadBrackets));
        assert_eq!(normal("a[[-]").unwrap(), "a[[-]", "a `[` in brackets is a plain character");
    }

    #[test]
    fn modname_is_the_stem_with_underscores() {
        assert_eq!(modname(b"kernel/drivers/mmc/host/sunxi-mmc.ko.xz").unwrap(), b"sunxi_mmc");
        assert_eq!(modname(b"ext4").unwrap(), b"ext4");
        assert_eq!(from_name(b"a/b-c.ko").unwrap(), b"a/b_c");
        assert_eq!(modname(&[b'a'; 65]), Err(Error::TooLong));
    }
}
