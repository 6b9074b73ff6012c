// SPDX-License-Identifier: MIT OR Apache-2.0
//! `fnmatch` for aliases: `*`, `?`, `[a-z]`, `[!a]`, `\x`; `*` also matches `/`. The time is at most proportional to the
//! product of the two lengths.
//!
//! Source: POSIX 2.14, and glibc's fnmatch(3) with flags 0 where POSIX leaves a choice, as kmod uses it.

use crate::bytes::split;

/// Whether `pattern` matches the whole of `text`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Where to resume after a mismatch: behind the last `*`, which then takes one more byte of the text.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        let step = match (pattern, text) {
            ([b'*', rest @ ..], _) => {
                retry = Some((rest, text));
                pattern = rest;
                continue;
            }
            ([], []) => return true,
            ([], _) | (_, []) => None,
            (_, [byte, _rest @ ..]) => one(pattern, *byte),
        };
        match (step, text, retry) {
            (Some(rest), [_, text_rest @ ..], _) => (pattern, text) = (rest, text_rest),
            (_, _, Some((behind_star, [_, later @ ..]))) => {
                retry = Some((behind_star, later));
                (pattern, text) = (behind_star, later);
            }
            _ => return false,
        }
    }
}

/// Matches one byte against the first element of `pattern`; returns the rest of the pattern, `None` on a mismatch.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => match set(rest, byte) {
            Some((hit, rest)) => hit.then_some(rest),
            // A bracket without a closing one is a literal.
            None => (byte == b'[').then_some(rest),
        },
        [b'\\', literal, rest @ ..] => (*literal == byte).then_some(rest),
        // In glibc a backslash at the end of a pattern matches nothing.
        [b'\\'] | [] => None,
        [literal, rest @ ..] => (*literal == byte).then_some(rest),
    }
}

/// Parses a bracket expression from behind its `[`. Returns whether `byte` is in it, and the pattern after its `]`;
/// `None` if it has no `]`.
fn set(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (negated, mut rest) = match pattern {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let (mut hit, mut first) = (false, true);
    loop {
        let low;
        (low, rest) = match rest {
            [b']', rest @ ..] if !first => return Some((hit != negated, rest)),
            [b'[', b':', class @ ..] => match class_end(class) {
                Some((name, rest_of_set)) => {
                    hit |= in_class(name, byte)?;
                    (first, rest) = (false, rest_of_set);
                    continue;
                }
                None => (b'[', class_start(rest)?),
            },
            [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal, rest),
            [] => return None,
        };
        first = false;
        let high;
        (high, rest) = match rest {
            [b'-', b']', ..] => (low, rest),
            [b'-', b'\\', high, rest @ ..] | [b'-', high, rest @ ..] => (*high, rest),
            _ => (low, rest),
        };
        hit |= (low..=high).contains(&byte);
    }
}

/// Drops the leading `[`.
fn class_start(rest: &[u8]) -> Option<&[u8]> {
    rest.get(1..)
}

/// Splits `alpha:]…` into the name of the class and the rest after `:]`.
fn class_end(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = text.iter().position(|b| !b.is_ascii_lowercase())?;
    Some((text.get(..len)?, text.get(len..)?.strip_prefix(b":]")?))
}

/// The POSIX character classes in the C locale: for each its name, 0x80, the first and last byte of each range, 0x81. A
/// table of slices would take 0.5 kB more.
const CLASSES: &[u8] = b"alnum\x8009AZaz\x81alpha\x80AZaz\x81blank\x80\t\t  \x81cntrl\x80\0\x1f\x7f\x7f\x81digit\x8009\x81\
    graph\x80!~\x81lower\x80az\x81print\x80 ~\x81punct\x80!/:@[`{~\x81space\x80\t\r  \x81upper\x80AZ\x81xdigit\x8009AFaf";

/// Returns whether `byte` is in the class `name`; `None` for an unknown class.
fn in_class(name: &[u8], byte: u8) -> Option<bool> {
    let ranges = split(CLASSES, 0x81).find_map(|class| class.strip_prefix(name)?.strip_prefix(b"\x80"))?;
    Some(ranges.as_chunks::<2>().0.iter().any(|[first, last]| (*first..=*last).contains(&byte)))
}

#[cfg(test)]
mod tests {
    fn matches(pattern: &str, text: &str) -> bool {
        super::matches(pattern.as_bytes(), text.as_bytes())
    }

    #[test]
    fn star_crosses_everything() {
        assert!(matches("of:N*T*Callwinner,sun8i_h3_mmcC*", "of:NmmcT(null)Callwinner,sun8i_h3_mmcCx/y"));
        assert!(matches("*", ""));
        assert!(matches("a*b*c", "aXbbYc"));
        assert!(!matches("a*b*c", "aXbbY"));
    }

    #[test]
    fn sets_ranges_and_negation() {
        assert!(matches("v[0-9A]x", "vAx") && matches("v[0-9A]x", "v5x") && !matches("v[0-9A]x", "vBx"));
        assert!(matches("[!a]", "b") && !matches("[!a]", "a") && matches("[^a]", "b"));
        assert!(matches("[]a]", "]"), "a bracket that comes first is a member");
        assert!(matches("[a-]", "-"), "a dash that comes last is a member");
        assert!(matches("[[:digit:]x]", "7") && matches("[[:digit:]x]", "x") && !matches("[[:digit:]]", "a"));
    }

    #[test]
    fn an_open_bracket_stands_for_itself() {
        assert!(matches("a[b", "a[b"));
        assert!(!matches("a[b", "ab"));
    }

    #[test]
    fn backslash_takes_the_next_byte_literally() {
        assert!(matches(r"a\*b", "a*b") && !matches(r"a\*b", "axb"));
        assert!(matches(r"[\]]", "]"));
        assert!(!matches("a\\", "a\\"), "with nothing behind it, it matches nothing");
    }

    #[test]
    fn the_text_is_never_a_pattern() {
        assert!(!matches("abc", "a*c"));
    }

    #[test]
    fn many_stars_do_not_explode() {
        let text = "a".repeat(4000);
        assert!(!matches(&"*a".repeat(200).replace("*a*a", "*a*b"), &text));
    }
}
