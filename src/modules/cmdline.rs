// SPDX-License-Identifier: MIT OR Apache-2.0
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
use crate::bytes::{has_byte, split, split_once};

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
        while let [byte, rest @ ..] = self.rest
            && is_blank(*byte)
        {
            self.rest = rest;
        }
        let mut in_quote = false;
        let len = self.rest.iter().position(|&byte| {
            in_quote ^= byte == b'"';
            is_blank(byte) && !in_quote
        });
        let word;
        (word, self.rest) = self.rest.split_at_checked(len.unwrap_or(self.rest.len()))?;
        // The line feed of /proc/cmdline is not part of a quote without end.
        let word = if self.rest.is_empty() { word.strip_suffix(b"\n").unwrap_or(word) } else { word };
        let param = Param::parse(word);
        (!word.is_empty() && param != Param { key: b"--", value: None }).then_some(param)
    }
}

/// Whether the kernel's `isspace` holds.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0)
}

/// Returns the value of the last parameter named `key`; `None` if there is none, or it has no `=`.
pub fn value<'map>(cmdline: &'map [u8], key: &[u8]) -> Option<&'map [u8]> {
    params(cmdline).filter(|param| param.key == key).last()?.value
}

/// Whether the command line has the parameter `key`, with or without a value.
pub fn has(cmdline: &[u8], key: &[u8]) -> bool {
    params(cmdline).any(|param| param.key == key)
}

/// Yields the options that `mod.param[=value]` gives to modules, each with the module's name, as it is written. A key
/// with blanks or quotes, or a module's name with a bracket, is not an option.
pub fn options(cmdline: &[u8]) -> impl Iterator<Item = (&[u8], Param<'_>)> {
    params(cmdline).filter_map(|param| {
        let (module, key) = split_once(param.key, b'.')?;
        let is_odd = |byte: &u8| *byte == b'"' || is_blank(*byte);
        (!param.key.iter().any(is_odd) && !has_byte(module, b'['))
            .then_some((module, Param { key, value: param.value }))
    })
}

/// Yields the names in the comma-separated values of all parameters named `key`.
pub fn names<'map>(cmdline: &'map [u8], key: &'static [u8]) -> impl Iterator<Item = &'map [u8]> {
    params(cmdline)
        .filter(move |param| param.key == key)
        .flat_map(|param| split(param.value.unwrap_or_default(), b','))
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
    /// Returns the parts of `key=value`, to be joined, which the kernel splits into the same key and value: the value is
    /// quoted if it has a blank that its own quotes do not hold.
    pub fn parts(&self) -> [&'map [u8]; 5] {
        let Some(value) = self.value else { return [self.key, b"", b"", b"", b""] };
        let (mut in_quote, mut is_split, mut has_blank) = (false, value.starts_with(b"\""), false);
        for &byte in value {
            in_quote ^= byte == b'"';
            has_blank |= is_blank(byte);
            is_split |= is_blank(byte) && !in_quote;
        }
        // With an odd number of quotes in it, one more in front closes the last.
        let (open, close): (&[u8], &[u8]) = match (is_split, in_quote) {
            (true, false) => (b"\"", b"\""),
            (true, true) => (b"\"", b""),
            (false, true) if !has_blank => (b"\"", b""),
            (false, _) => (b"", b""),
        };
        [self.key, b"=", open, value, close]
    }

    fn parse(word: &'map [u8]) -> Param<'map> {
        let (quoted, text) = word.strip_prefix(b"\"").map_or((false, word), |text| (true, text));
        let without_quote = || text.strip_suffix(b"\"").unwrap_or(text);
        // A `=` in the first place belongs to the key.
        let equals = text.iter().skip(1).position(|&byte| byte == b'=');
        let halves = equals.and_then(|at| text.split_at_checked(at.saturating_add(1)));
        let Some((key, [_, value @ ..])) = halves else {
            return Param { key: if quoted { without_quote() } else { text }, value: None };
        };
        let (opened, value) = value.strip_prefix(b"\"").map_or((quoted, value), |value| (true, value));
        // One quote is taken off at the end, whichever was opened.
        let value = if opened { value.strip_suffix(b"\"").unwrap_or(value) } else { value };
        Param { key, value: Some(value) }
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
    fn options_of_modules_are_those_with_a_dot_and_a_sound_name() {
        let cmdline =
            b"snd-hda.m=\"a b\" \"snd_hda.x=c d\" usbcore.nousb ivrs[14:00.5]=x ps.\"y\" a.\"b c\"=1 root=1.2";
        let got: Vec<_> = options(cmdline).collect();
        let param = |key, value| Param { key, value };
        let want = [
            (&b"snd-hda"[..], param(&b"m"[..], Some(&b"a b"[..]))),
            (b"snd_hda", param(b"x", Some(b"c d"))),
            (b"usbcore", param(b"nousb", None)),
        ];
        assert_eq!(got, want);
    }

    /// The kernel's `next_arg`, statement for statement, until the string ends.
    fn next_args(text: &str) -> Vec<(String, Option<String>)> {
        let mut args = text.trim_start_matches(|c: char| c.is_ascii() && is_blank(c as u8)).as_bytes().to_vec();
        let mut found = Vec::new();
        while !args.is_empty() {
            let (mut in_quote, mut quoted, mut equals) = (false, false, 0);
            if args[0] == b'"' {
                args.remove(0);
                (in_quote, quoted) = (true, true);
            }
            let mut i = 0;
            while i < args.len() && (in_quote || !is_blank(args[i])) {
                if equals == 0 && args[i] == b'=' {
                    equals = i;
                }
                in_quote ^= args[i] == b'"';
                i += 1;
            }
            let mut end = i;
            let mut start = equals + 1;
            if equals > 0 && args.get(start) == Some(&b'"') {
                start += 1;
                if args[i - 1] == b'"' {
                    end -= 1;
                }
            }
            if quoted && i > 0 && end == i && args[i - 1] == b'"' {
                end -= 1;
            }
            let text = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
            found.push(if equals > 0 {
                (text(&args[..equals]), Some(text(args.get(start..end).unwrap_or_default())))
            } else {
                (text(&args[..end]), None)
            });
            args = args.get(i + 1..).unwrap_or_default().to_vec();
            while args.first().is_some_and(|byte| is_blank(*byte)) {
                args.remove(0);
            }
        }
        found
    }

    #[test]
    fn words_split_as_the_kernel_splits_them_and_options_come_back_the_same() {
        let mut words = vec![String::new()];
        for _ in 0..if cfg!(miri) { 3 } else { 7 } {
            let longer = words.iter().flat_map(|word| ['"', ' ', '\t', '=', 'x'].map(|byte| format!("{word}{byte}")));
            words = longer.chain(["".into()]).collect();
        }
        for word in words {
            let line = format!("m.p{word}");
            let got: Vec<_> = params(line.as_bytes()).collect();
            let text = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
            let strings: Vec<_> = got.iter().map(|param| (text(param.key), param.value.map(text))).collect();
            assert_eq!(strings, next_args(&line), "{line:?}");
            // A quote without end reaches to the end: nothing can stand behind it.
            if line.bytes().filter(|byte| *byte == b'"').count() % 2 == 0
                && let Some((_, param)) = options(line.as_bytes()).next()
            {
                let option = format!("{} n", param.parts().map(text).concat());
                let want = [(text(param.key), param.value.map(text)), ("n".into(), None)];
                assert_eq!(next_args(&option), want, "{line:?}");
            }
        }
    }

    #[test]
    fn a_quote_without_end_holds_the_rest_but_no_line_feed() {
        let value = |line| options(line).next().unwrap().1.parts().concat();
        assert_eq!(value(b"m.p=\"a b c\n"), b"p=\"a b c\"");
        assert_eq!(value(b"m.p=a\" b c\n"), b"p=a\" b c");
        assert_eq!(value(b"\"m.p=a\tb\n"), b"p=\"a\tb\"");
        assert_eq!(params(b"a \n").count(), 1);
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
