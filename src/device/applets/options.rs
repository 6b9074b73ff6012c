// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options of a command by getopt, its --help and --version.

use super::print::{error, show};
use crate::bytes::split;
use crate::device::io::log::{Level, line, speak_up, to_syslog};
use crate::device::rt::Args;
use crate::getopt::{Arg, Getopt, Spec};
use heapless::VecView;

/// Whether options end at the first operand. Source: getopt(3), POSIXLY_CORRECT.
fn stops_at_operand() -> bool {
    Args::env().any(|var| var.to_bytes().starts_with(b"POSIXLY_CORRECT="))
}

/// Takes the options and operands of a command. Each option goes to `each`, which returns whether its value will do.
///
/// # Errors
/// The exit status where that is all there is to do.
pub(super) fn take(
    spec: Spec,
    synopsis: &'static str,
    next: &mut dyn FnMut() -> Option<&'static [u8]>,
    operands: &mut VecView<&'static [u8]>,
    each: &mut dyn FnMut(u8, &'static [u8]) -> bool,
) -> Result<(), i32> {
    let mut getopt = Getopt::new(spec, stops_at_operand, next);
    loop {
        let (letter, value) = match getopt.next() {
            Ok(Some(Arg::Option(letter, value))) => (letter, value),
            Ok(Some(Arg::Operand(operand))) => {
                if operands.push(operand).is_err() {
                    error("too many arguments", &[]);
                    return Err(1);
                }
                continue;
            }
            Ok(None) => return Ok(()),
            Err(misuse) => {
                speak_up(); // kmod's -q does not reach getopt
                line(Level::Error, "%: %", &[misuse.prose.as_bytes(), misuse.option]);
                return Err(1);
            }
        };
        match letter {
            b'V' => show(VERSION, &[]),
            b'h' => help(spec, synopsis),
            _ => {
                if letter == b's' {
                    to_syslog();
                }
                if each(letter, value) {
                    continue;
                }
                error("unexpected value '%' of -%", &[value, &[letter]]);
                return Err(1);
            }
        }
        return Err(0);
    }
}

/// The output of --version.
pub(crate) const VERSION: &str = match (cfg!(feature = "zst"), cfg!(feature = "xz"), cfg!(feature = "gz")) {
    (true, true, true) => concat!("initmod version ", env!("CARGO_PKG_VERSION"), ", like kmod 34\n+ZSTD +XZ +ZLIB\n"),
    (false, false, false) => {
        concat!("initmod version ", env!("CARGO_PKG_VERSION"), ", like kmod 34\n-ZSTD -XZ -ZLIB\n")
    }
    _ => concat!("initmod version ", env!("CARGO_PKG_VERSION"), ", like kmod 34\n"),
};

/// Prints how a command is called and the names of its options; what they do is in the manual pages of kmod.
fn help(spec: Spec, synopsis: &str) {
    show("usage: %\n", &[synopsis.as_bytes()]);
    for entry in split(spec.as_bytes(), b'\n') {
        let [letter, kind, name @ ..] = entry else { continue };
        let short: &[u8] = if *kind == b'-' { b"    " } else { &[b'-', *letter, b',', b' '] };
        let value: &[u8] = if *kind == b'=' { b" VALUE" } else { b"" };
        show("  %--%%\n", &[short, name, value]);
    }
}
