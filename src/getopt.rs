// SPDX-License-Identifier: MIT OR Apache-2.0
//! Command-line options in the manner of GNU getopt_long: operands may stand between options, and `--` ends the options.
//! Short options may be joined, long ones abbreviated as long as they are unambiguous. Source: getopt_long(3).

use crate::bytes::{has_byte, split, split_once};
use crate::error::Error;
use heapless::VecView;

/// The options of a command, one a line: its letter, a character for its kind, and its long name.
///
/// Kinds: ` ` a flag, `=` an option with a value, `-` a flag without a short form, whose letter only identifies it.
pub type Spec = &'static str;

/// One option or operand of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg<'a> {
    /// An option: its letter, and its value, empty for a flag.
    Option(u8, &'a [u8]),
    /// An argument that is not an option.
    Operand(&'a [u8]),
}

/// A mistake in an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misuse<'a> {
    /// The message, such as `unrecognized option`.
    pub prose: &'static str,
    /// The option: the letter of a short one, the whole argument of a long one.
    pub option: &'a [u8],
}

/// Parser of a command line.
pub struct Getopt<'a, 'it> {
    spec: Spec,
    args: &'it mut dyn FnMut() -> Option<&'a [u8]>,
    /// The unread rest of an argument of joined short options.
    joined: &'a [u8],
    operands_only: bool,
    is_behind_operand: bool,
    stops_at_operand: fn() -> bool,
}

impl<'a, 'it> Getopt<'a, 'it> {
    /// Makes a parser of the arguments that `args` returns, from the one after the command's name. Where `stops_at_operand`
    /// returns true, no option stands behind the first operand, as in POSIX. It is called only if one seems to.
    pub fn new(spec: Spec, stops_at_operand: fn() -> bool, args: &'it mut dyn FnMut() -> Option<&'a [u8]>) -> Self {
        Getopt { spec, args, joined: &[], operands_only: false, is_behind_operand: false, stops_at_operand }
    }

    /// Returns the next option or operand; `None` at the end.
    ///
    /// # Errors
    /// A [`Misuse`] for an unknown or ambiguous option, a missing value, or a value for a flag.
    #[allow(clippy::should_implement_trait, reason = "an iterator of results would cost its callers more")]
    pub fn next(&mut self) -> Result<Option<Arg<'a>>, Misuse<'a>> {
        if let Some((letter, rest)) = self.joined.split_at_checked(1) {
            return self.short(letter, rest).map(Some);
        }
        let Some(arg) = (self.args)() else { return Ok(None) };
        if self.is_behind_operand && arg.starts_with(b"-") {
            self.is_behind_operand = false;
            self.operands_only |= (self.stops_at_operand)();
        }
        match arg {
            b"--" if !self.operands_only => {
                self.operands_only = true;
                self.next()
            }
            [b'-', b'-', long @ ..] if !self.operands_only => self.long(arg, long).map(Some),
            [b'-', rest @ ..] if !self.operands_only && !rest.is_empty() => {
                self.joined = rest;
                self.next()
            }
            _ => {
                self.is_behind_operand = true;
                Ok(Some(Arg::Operand(arg)))
            }
        }
    }

    fn short(&mut self, letter: &'a [u8], rest: &'a [u8]) -> Result<Arg<'a>, Misuse<'a>> {
        let known = |entry: &[u8]| matches!(entry, [id, b' ' | b'=', ..] if [*id] == *letter);
        let Some(entry) = entries(self.spec).find(|entry| known(entry)) else {
            return Err(Misuse { prose: "invalid option", option: letter });
        };
        self.joined = rest;
        let mut value = &[][..];
        if entry.get(1) == Some(&b'=') {
            self.joined = &[];
            let next = if rest.is_empty() { (self.args)() } else { Some(rest) };
            value = next.ok_or(Misuse { prose: "option requires an argument", option: letter })?;
        }
        Ok(Arg::Option(id(entry), value))
    }

    fn long(&mut self, arg: &'a [u8], long: &'a [u8]) -> Result<Arg<'a>, Misuse<'a>> {
        let (name, value) = split_once(long, b'=').map_or((long, None), |(name, value)| (name, Some(value)));
        let (mut found, mut is_ambiguous) = (None::<&[u8]>, false);
        for entry in entries(self.spec) {
            let Some(tail) = entry.get(2..).and_then(|known| known.strip_prefix(name)) else { continue };
            if tail.is_empty() {
                (found, is_ambiguous) = (Some(entry), false);
                break;
            }
            is_ambiguous |= found.is_some_and(|other| id(other) != id(entry));
            found = Some(entry);
        }
        if is_ambiguous {
            return Err(Misuse { prose: "option is ambiguous", option: arg });
        }
        let entry = found.ok_or(Misuse { prose: "unrecognized option", option: arg })?;
        let takes_value = entry.get(1) == Some(&b'=');
        if !takes_value && value.is_some() {
            return Err(Misuse { prose: "option doesn't allow an argument", option: arg });
        }
        let value = match value {
            None if takes_value => (self.args)().ok_or(Misuse { prose: "option requires an argument", option: arg })?,
            value => value.unwrap_or_default(),
        };
        Ok(Arg::Option(id(entry), value))
    }
}

/// Splits a variable such as MODPROBE_OPTIONS into words and appends each with a NUL before it. Blanks separate words,
/// except inside quotes.
///
/// # Errors
/// [`Error::Full`] if `out` is too small.
pub fn split_words(text: &[u8], out: &mut VecView<u8>) -> Result<(), Error> {
    let (mut quote, mut in_word) = (None, false);
    for &byte in text {
        match byte {
            b' ' if quote.is_none() => in_word = false,
            _ => {
                if !in_word {
                    out.push(0).map_err(|_| Error::Full)?;
                    in_word = true;
                }
                match quote {
                    Some(open) if open == byte => quote = None,
                    None if byte == b'"' || byte == b'\'' => quote = Some(byte),
                    _ => out.push(byte).map_err(|_| Error::Full)?,
                }
            }
        }
    }
    Ok(())
}

/// Joins the operands of a command into the options of a module, separated by blanks; a value with a blank is quoted.
///
/// # Errors
/// [`Error::Full`] if `out` is too small.
pub fn join_options(params: &[&[u8]], out: &mut VecView<u8>) -> Result<(), Error> {
    for (at, param) in params.iter().enumerate() {
        let blank: &[u8] = if at == 0 { b"" } else { b" " };
        let (key, quote, value): (&[u8], &[u8], &[u8]) = match split_once(param, b'=') {
            Some((key, value)) if has_byte(value, b' ') && !matches!(value, [b'"' | b'\'', ..]) => {
                (param.get(..key.len().saturating_add(1)).unwrap_or_default(), b"\"", value)
            }
            _ => (param, b"", b""),
        };
        for part in [blank, key, quote, value, quote] {
            out.extend_from_slice(part).map_err(|_| Error::Full)?;
        }
    }
    Ok(())
}

fn entries(spec: Spec) -> impl Iterator<Item = &'static [u8]> {
    split(spec.as_bytes(), b'\n')
}

fn id(entry: &[u8]) -> u8 {
    entry.first().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: Spec =
        "a all\nr remove\nh-remove-holders\nh-remove-dependencies\nC=config\nc show-config\nc showconfig\nn show";

    fn taken(args: &[&str]) -> Result<String, String> {
        taken_by(|| false, args)
    }

    fn taken_by(stops_at_operand: fn() -> bool, args: &[&str]) -> Result<String, String> {
        let mut args = args.iter().map(|arg| arg.as_bytes());
        let mut next = || args.next();
        let mut getopt = Getopt::new(SPEC, stops_at_operand, &mut next);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut out = Vec::new();
        loop {
            out.push(match getopt.next() {
                Ok(Some(Arg::Option(letter, value))) => format!("-{}{}", letter as char, text(value)),
                Ok(Some(Arg::Operand(operand))) => text(operand),
                Ok(None) => return Ok(out.join(" ")),
                Err(misuse) => return Err(format!("{}: {}", misuse.prose, text(misuse.option))),
            });
        }
    }

    #[test]
    fn options_and_operands_mix_until_two_dashes() {
        assert_eq!(taken(&["x", "-ar", "y", "--", "-a", "--", "z"]).unwrap(), "x -a -r y -a -- z");
        assert_eq!(taken(&["-", "--all", "", "--"]).unwrap(), "- -a ");
    }

    #[test]
    fn posix_ends_the_options_at_the_first_operand() {
        assert_eq!(taken_by(|| true, &["-a", "x", "-r", "--", "-C"]).unwrap(), "-a x -r -- -C");
        assert_eq!(taken_by(|| true, &["-C", "x", "--", "-a"]).unwrap(), "-Cx -a");
    }

    #[test]
    fn values_stand_behind_their_option_or_in_the_next_word() {
        assert_eq!(taken(&["-aCx", "-C", "y", "--config=z", "--config", "-a"]).unwrap(), "-a -Cx -Cy -Cz -C-a");
        assert_eq!(taken(&["-aC"]).unwrap_err(), "option requires an argument: C");
        assert_eq!(taken(&["--config"]).unwrap_err(), "option requires an argument: --config");
        assert_eq!(taken(&["--all=x"]).unwrap_err(), "option doesn't allow an argument: --all=x");
    }

    #[test]
    fn long_names_may_be_cut_short() {
        assert_eq!(taken(&["--remove", "--remove-h", "--remove-", "--showc"]).unwrap(), "-r -h -h -c");
        assert_eq!(taken(&["--show", "--show-c"]).unwrap(), "-n -c", "a whole name is not ambiguous");
        assert_eq!(taken(&["--sho"]).unwrap_err(), "option is ambiguous: --sho");
        assert_eq!(taken(&["--re"]).unwrap_err(), "option is ambiguous: --re");
        assert_eq!(taken(&["--foo"]).unwrap_err(), "unrecognized option: --foo");
        assert_eq!(taken(&["-ah"]).unwrap_err(), "invalid option: h", "known by its long name only");
    }

    #[test]
    fn quotes_hold_words_together() {
        let words = |text: &str| {
            let mut out = heapless::Vec::<u8, 32>::new();
            split_words(text.as_bytes(), &mut out).map(|()| String::from_utf8(out.to_vec()).unwrap())
        };
        assert_eq!(words("-C '/a b'  -q").unwrap(), "\0-C\0/a b\0-q");
        assert_eq!(words("x\"y z\"'").unwrap(), "\0xy z");
        assert_eq!(words(&"x".repeat(32)), Err(Error::Full));
    }

    #[test]
    fn option_values_with_blanks_are_quoted() {
        let mut out = heapless::Vec::<u8, 64>::new();
        join_options(&[b"s=a b", b"t", b"u=\"c d\"", b"v='e f'", b"w="], &mut out).unwrap();
        assert_eq!(&out[..], b"s=\"a b\" t u=\"c d\" v='e f' w=");
    }
}
