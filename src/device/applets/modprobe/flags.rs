// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options of modprobe.

use crate::bytes::decimal;
use crate::device::io::log::be_quiet;
use crate::device::io::path::{Text, c_str};
use crate::device::kernel::insert::{IGNORE_MODVERSIONS, IGNORE_VERMAGIC, MODPROBE_OPTIONS};
use crate::getopt::Spec;
use core::ffi::CStr;

/// Most places that `-C` may name; one more is an error.
const PLACE_COUNT: usize = 16;

/// H, T, M, G, X and E are internal letters: their options have only a long form.
pub(crate) const SPEC: Spec = "a all\nr remove\nH-remove-holders\nH-remove-dependencies\nw=wait\nR resolve-alias\nR show-alias\n\
    T-first-time\ni ignore-install\ni ignore-remove\nb use-blacklist\nf force\nM-force-modversion\nG-force-vermagic\n\
    D show-depends\nc show-config\nc showconfig\nX-show-modversions\nX-dump-modversions\nE-show-exports\nn dry-run\n\
    n show\nC=config\nd=dirname\nS=set-version\ns syslog\nq quiet\nv verbose\nV version\nh help";

/// The options of one call.
#[derive(Default)]
pub(crate) struct Flags {
    // Which job.
    pub(super) all: bool,
    pub(super) remove: bool,
    pub(super) show_config: bool,
    pub(super) symbols: Option<Symbols>,
    /// `-R`: print the names that match, load nothing.
    pub(super) lookup_only: bool,
    pub(super) show_depends: bool,
    // Its manner.
    pub(super) first_time: bool,
    pub(super) ignore_commands: bool,
    pub(super) use_blacklist: bool,
    /// With `-r`: also the modules that hold the named ones.
    pub(super) holders: bool,
    pub(super) wait_ms: Option<u32>,
    /// `IGNORE_*`
    pub(super) force: i32,
    /// `-f`: with `-r` the kernel removes what is in use, too.
    pub(super) by_force: bool,
    pub(super) dry_run: bool,
    verbose: bool,
    pub(super) quiet: bool,
    // In which tree.
    pub(super) places: heapless::Vec<&'static [u8], PLACE_COUNT>,
    pub(super) root: &'static [u8],
    pub(super) kver: Option<&'static [u8]>,
    pub(super) inherited: Inherited,
}

/// The list of symbols that a module file is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Symbols {
    /// `--show-modversions`: the symbols that it imports.
    Imports,
    /// `--show-exports`
    Exports,
}

impl Flags {
    pub(crate) fn lookup_only(&self) -> bool {
        self.lookup_only
    }

    pub(crate) fn first_time(&self) -> bool {
        self.first_time
    }

    pub(crate) fn ignore_commands(&self) -> bool {
        self.ignore_commands
    }

    pub(crate) fn use_blacklist(&self) -> bool {
        self.use_blacklist
    }

    /// Whether actions are printed.
    pub(crate) fn shows(&self) -> bool {
        (self.verbose && !self.quiet) || self.show_depends
    }

    /// Applies one option; returns whether its value is valid.
    pub(super) fn take(&mut self, letter: u8, value: &'static [u8]) -> bool {
        match letter {
            b'a' => self.all = true,
            b'r' => self.remove = true,
            b'H' => self.holders = true,
            b'w' => {
                self.wait_ms = decimal(value);
                return self.wait_ms.is_some();
            }
            b'R' => self.lookup_only = true,
            b'T' => self.first_time = true,
            b'i' => self.ignore_commands = true,
            b'b' => self.use_blacklist = true,
            b'f' => (self.force, self.by_force) = (IGNORE_MODVERSIONS | IGNORE_VERMAGIC, true),
            b'M' => self.force |= IGNORE_MODVERSIONS,
            b'G' => self.force |= IGNORE_VERMAGIC,
            b'D' => (self.dry_run, self.show_depends) = (true, true),
            b'c' => self.show_config = true,
            b'X' => self.symbols = Some(Symbols::Imports),
            b'E' => self.symbols = Some(Symbols::Exports),
            b'n' => self.dry_run = true,
            b'C' if self.places.push(value).is_err() => return false,
            b'd' => self.root = value,
            b'S' => self.kver = Some(value),
            b'q' => {
                self.quiet = true;
                be_quiet();
            }
            b'v' => self.verbose = true,
            _ => {}
        }
        !matches!(letter, b'C' | b's' | b'q' | b'v') || self.inherited.push(letter, value)
    }
}

/// `MODPROBE_OPTIONS=...` for the modprobe that a command of modprobe.d may run. Source: kmod's tools/modprobe.c.
#[derive(Default)]
pub(super) struct Inherited {
    text: Text,
    is_changed: bool,
}

impl Inherited {
    /// Begins with the options of our own environment; returns whether they fit.
    pub(super) fn begin(&mut self, options: &[u8]) -> bool {
        self.text.extend_from_slice(MODPROBE_OPTIONS).is_ok() && self.text.extend_from_slice(options).is_ok()
    }

    fn push(&mut self, letter: u8, value: &[u8]) -> bool {
        self.is_changed = true;
        let dash: &[u8] = if self.text.len() == MODPROBE_OPTIONS.len() { b"-" } else { b" -" };
        let blank: &[u8] = if value.is_empty() { b"" } else { b" " };
        [dash, &[letter][..], blank, value].iter().all(|part| self.text.extend_from_slice(part).is_ok())
    }

    /// Ends the text, which [`Self::variable`] borrows.
    pub(super) fn end(&mut self) {
        // A full text loses the last option.
        let _ = self.text.push(0);
    }

    /// Returns the variable, where it differs from that of our own environment.
    pub(super) fn variable(&self) -> Option<&CStr> {
        self.is_changed.then_some(c_str(&self.text))
    }
}
