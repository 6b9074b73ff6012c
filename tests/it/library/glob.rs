// SPDX-License-Identifier: MIT OR Apache-2.0
//! The core's glob against the C library's fnmatch(3), which kmod uses.

use initmod::glob::matches;
use proptest::prelude::*;
use std::ffi::CString;

/// What fnmatch(3) says, flags 0, in the C locale (no test calls setlocale).
#[allow(unsafe_code, reason = "the oracle is a C function")]
fn fnmatch(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (CString::new(pattern).unwrap(), CString::new(text).unwrap());
    // SAFETY: both are NUL-terminated strings that live to the end of this function.
    unsafe { libc::fnmatch(pattern.as_ptr(), text.as_ptr(), 0) == 0 }
}

#[track_caller]
fn agree(pattern: &str, text: &str) {
    assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), fnmatch(pattern, text), "{pattern:?} on {text:?}");
}

#[test]
fn odd_patterns_mean_what_they_mean_to_fnmatch() {
    let patterns = [
        "[",
        "[]",
        "[!]",
        "[a",
        "a[",
        "[]a]",
        "[!]a]",
        "[a-]",
        "[-a]",
        "[a-b-c]",
        "[b-a]",
        "[\\",
        "[\\]",
        "[\\]]",
        "\\",
        "a\\",
        "[a\\-c]",
        "[[:digit:]]",
        "[[:digit:]a]",
        "[[:foo:]]",
        "[[:digit:",
        "[[:",
        "[[]",
        "[a[]",
        "[[a]",
        "*[",
        "*\\",
        "[^a]",
        "[!!]",
        "[^^]",
        "[a-\\]]",
        "[a-",
        "[!",
        "[^",
        "?[",
        "[*]",
        "[?]",
        "\\*",
        "**",
        "*?*",
    ];
    let texts = [
        "", "a", "b", "c", "[", "]", "-", "\\", "!", "^", "*", "?", "5", "[a", "a[", "[]", "ab", "[!]", "a]", ":",
        ":]", "d",
    ];
    let pairs = patterns.iter().flat_map(|pattern| texts.map(|text| (*pattern, text)));
    let differ = pairs.filter(|(pattern, text)| matches(pattern.as_bytes(), text.as_bytes()) != fnmatch(pattern, text));
    assert_eq!(differ.collect::<Vec<_>>(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn globs_agree_with_fnmatch(pattern in r"[ab*?\[\]!^\\-]{0,10}", text in r"[ab*\[\]!^\\-]{0,8}") {
        agree(&pattern, &text);
    }

    #[test]
    fn aliases_agree_with_fnmatch(pattern in r"(v[01]|d\*|[*?]|\[[01]-[0-9]\]|/|:){0,8}", text in r"[vd019/:]{0,12}") {
        agree(&pattern, &text);
    }
}
