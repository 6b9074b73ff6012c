// SPDX-License-Identifier: MIT OR Apache-2.0
//! Built-in drivers: the softdeps, firmware and aliases that modules.builtin.modinfo has of each, as a module's .modinfo has.
//!
//! Source: the kernel's Documentation/kbuild/kbuild.rst, `modules.builtin.modinfo`.

use crate::bytes::split_once;
use std::collections::HashMap;

/// The entries of modules.builtin.modinfo.
#[derive(Debug, Default)]
pub struct Builtins<'a> {
    by_modname: HashMap<&'a [u8], Vec<Entry<'a>>>,
}

/// Key and value.
type Entry<'a> = (&'a [u8], &'a [u8]);

impl<'a> Builtins<'a> {
    /// Parses modules.builtin.modinfo: `modname.key=value` strings, each with its NUL.
    pub fn new(modinfo: &'a [u8]) -> Builtins<'a> {
        let mut builtins = Builtins::default();
        for text in modinfo.split(|&byte| byte == 0) {
            if let Some((name, value)) = split_once(text, b'=')
                && let Some((modname, key)) = split_once(name, b'.')
            {
                builtins.by_modname.entry(modname).or_default().push((key, value));
            }
        }
        builtins
    }

    /// Yields the values of a key of a driver, in file order.
    pub fn values(&self, modname: &str, key: &'static str) -> impl Iterator<Item = &'a str> {
        let info = self.by_modname.get(modname.as_bytes()).into_iter().flatten();
        info.filter(move |(known, _)| *known == key.as_bytes()).filter_map(|(_, value)| str::from_utf8(value).ok())
    }

    /// Yields the names in the softdeps of a driver, `pre:` and `post:`.
    pub fn softdeps(&self, modname: &str) -> impl Iterator<Item = &'a str> {
        self.values(modname, "softdep").flat_map(str::split_whitespace).filter(|word| !word.ends_with(':'))
    }

    /// Whether a driver has an alias that begins with `prefix`.
    pub fn has_alias(&self, prefix: &[u8]) -> bool {
        self.by_modname.values().flatten().any(|(key, value)| *key == b"alias" && value.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softdeps_are_names_without_pre_and_post() {
        let builtins =
            Builtins::new(b"ext4.softdep=pre: crc32c post: a-b\0ext4.firmware=x.fw\0p.alias=of:N*T*Ca\0bad\0");
        assert_eq!(builtins.softdeps("ext4").collect::<Vec<_>>(), ["crc32c", "a-b"]);
        assert_eq!(builtins.values("ext4", "firmware").collect::<Vec<_>>(), ["x.fw"]);
        assert_eq!(
            (builtins.softdeps("p").count(), builtins.has_alias(b"of:"), builtins.has_alias(b"usb:")),
            (0, true, false)
        );
    }
}
