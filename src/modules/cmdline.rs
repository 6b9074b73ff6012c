//! The kernel command line: its parameters, module options (`mod.param=value`) and blacklists.
//!
//! ```
//! use initmod::modules::cmdline::{blacklists, value};
//!
//! let cmdline = b"root=/dev/sda1 modprobe.blacklist=nouveau,pc-spkr root=/dev/vda1";
//! assert_eq!(value(cmdline, b"root"), Some(&b"/dev/vda1"[..]), "the last one counts");
//! assert!(blacklists(cmdline, b"pc_spkr"));
//! ```
//! Source: the kernel's lib/cmdline.c, `next_arg`, for blanks and quotes; kmod's libkmod-config.c for the rest.

use super::name::same;
use crate::bytes::split_once;

/// One parameter: `key` or `key=value`, with the quotes removed as the kernel removes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'map> {
    /// The text before the first `=`.
    pub key: &'map [u8],
    /// The text after it; `None` without `=`.
    pub value: Option<&'map [u8]>,
}

/// Yields the parameters of `cmdline` in order, up to a lone `--`: the words after it are for init.
pub fn params(cmdline: &[u8]) -> Params<'_> {
    Params { rest: cmdline }
}

/// The parameters of a command line; see [`params`].
#[derive(Clone, Debug)]
pub struct Params<'map> {
    rest: &'map [u8],
}

impl<'map> Iterator for Params<'map> {
    type Item = Param<'map>;

    #[inline(never)] // one copy for all callers
    fn next(&mut self) -> Option<Param<'map>> {
        let rest = self.rest.trim_ascii_start();
        let mut in_quote = false;
        let len = rest.iter().position(|&byte| {
            in_quote ^= byte == b'"';
            byte <= b' ' && byte.is_ascii_whitespace() && !in_quote
        });
        let word;
        (word, self.rest) = rest.split_at_checked(len.unwrap_or(rest.len()))?;
        (!word.is_empty() && word != b"--").then(|| Param::parse(word))
    }
}

/// Returns the value of the last parameter named `key`; `None` if there is none, or it has no `=`.
pub fn value<'map>(cmdline: &'map [u8], key: &[u8]) -> Option<&'map [u8]> {
    params(cmdline).filter(|param| param.key == key).last()?.value
}

/// Whether the command line has the parameter `key`, with or without a value.
pub fn has(cmdline: &[u8], key: &[u8]) -> bool {
    params(cmdline).any(|param| param.key == key)
}

/// Yields the options that `mod.param[=value]` gives to the module `modname`, as `param[=value]` pairs.
pub fn options<'map>(cmdline: &'map [u8], modname: &[u8]) -> impl Iterator<Item = Param<'map>> {
    params(cmdline).filter_map(move |param| {
        let (module, key) = split_once(param.key, b'.')?;
        same(module, modname).then_some(Param { key, value: param.value })
    })
}

/// Yields the names in the comma-separated values of all parameters named `key`.
pub fn names<'map>(cmdline: &'map [u8], key: &'static [u8]) -> impl Iterator<Item = &'map [u8]> {
    params(cmdline)
        .filter(move |param| param.key == key)
        .flat_map(|param| param.value.unwrap_or_default().split(|&byte| byte == b','))
        .filter(|name| !name.is_empty())
}

/// Whether a parameter named `key` lists the module; dashes equal underscores.
pub fn lists(cmdline: &[u8], key: &'static [u8], modname: &[u8]) -> bool {
    names(cmdline, key).any(|name| same(name, modname))
}

/// Whether `modprobe.blacklist=`, dracut's `rd.driver.blacklist=` or the kernel's own `module_blacklist=` lists the
/// module. Dashes equal underscores here, unlike in kmod.
pub fn blacklists(cmdline: &[u8], modname: &[u8]) -> bool {
    [&b"modprobe.blacklist"[..], b"rd.driver.blacklist", b"module_blacklist"]
        .into_iter()
        .any(|key| lists(cmdline, key, modname))
}

impl<'map> Param<'map> {
    /// Returns the parts of `key=value`, to be joined; the value is quoted if it has a blank.
    pub fn parts(&self) -> [&'map [u8]; 5] {
        let Some(value) = self.value else { return [self.key, b"", b"", b"", b""] };
        let quote: &[u8] = if value.contains(&b' ') { b"\"" } else { b"" };
        [self.key, b"=", quote, value, quote]
    }

    fn parse(word: &'map [u8]) -> Param<'map> {
        let unquoted = match word.strip_prefix(b"\"") {
            Some(rest) => rest.strip_suffix(b"\"").unwrap_or(rest),
            None => word,
        };
        match split_once(unquoted, b'=') {
            Some((key, value)) if !key.is_empty() => {
                let value = match value.strip_prefix(b"\"") {
                    Some(rest) => rest.strip_suffix(b"\"").unwrap_or(rest),
                    None => value,
                };
                Param { key, value: Some(value) }
            }
            _ => Param { key: unquoted, value: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CMDLINE: &[u8] = b"quiet root=/dev/vda1 snd-hda.model=\"a b\" \"snd_hda.x=c d\" root=/dev/vda \
        modprobe.blacklist=pc-spkr,nouveau usbcore.nousb -- single\n";

    #[test]
    fn the_last_value_counts() {
        assert_eq!(value(CMDLINE, b"root"), Some(&b"/dev/vda"[..]));
        assert_eq!(value(CMDLINE, b"quiet"), None);
        assert!(has(CMDLINE, b"quiet") && !has(CMDLINE, b"single"), "`--` ends what is ours");
    }

    #[test]
    fn quotes_hold_blanks_together() {
        let got: Vec<_> = options(CMDLINE, b"snd_hda").collect();
        let want = [(&b"model"[..], &b"a b"[..]), (b"x", b"c d")].map(|(key, v)| Param { key, value: Some(v) });
        assert_eq!(got, want);
        assert_eq!(options(CMDLINE, b"usbcore").next(), Some(Param { key: b"nousb", value: None }));
    }

    #[test]
    fn a_blacklist_takes_dashes() {
        assert!(blacklists(CMDLINE, b"pc_spkr") && blacklists(CMDLINE, b"nouveau") && !blacklists(CMDLINE, b"snd"));
        assert!(
            blacklists(b"rd.driver.blacklist=a,b rd.driver.blacklist=c", b"c")
                && blacklists(b"module_blacklist=a", b"a")
        );
    }

    #[test]
    fn lists_of_one_key_add_up() {
        let got: Vec<_> = names(b"modules_load=a,b quiet modules_load=,c", b"modules_load").collect();
        assert_eq!(got, [b"a", b"b", b"c"]);
    }

    #[test]
    fn every_prefix_parses() {
        for len in 0..CMDLINE.len() {
            params(&CMDLINE[..len]).for_each(drop);
        }
    }
}
