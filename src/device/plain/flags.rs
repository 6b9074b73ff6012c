// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options of `modprobe` in a loader without the feature `tools`.

use crate::device::io::log::be_quiet;

/// The options of one call.
#[derive(Default)]
pub(crate) struct Flags {
    pub(crate) all: bool,
    pub(crate) show_depends: bool,
    pub(crate) dry_run: bool,
    pub(super) verbose: bool,
}

impl Flags {
    /// Whether actions are printed.
    pub(crate) fn shows(&self) -> bool {
        self.verbose || self.show_depends
    }

    // The options that only the full modprobe has.
    pub(crate) const fn lookup_only(&self) -> bool {
        false
    }
    pub(crate) const fn first_time(&self) -> bool {
        false
    }
    pub(crate) const fn ignore_commands(&self) -> bool {
        false
    }
    pub(crate) const fn use_blacklist(&self) -> bool {
        false
    }

    pub(super) fn take(&mut self, letter: u8) -> bool {
        match letter {
            b'a' => self.all = true,
            b'q' => be_quiet(),
            b'v' => self.verbose = true,
            b'n' => self.dry_run = true,
            b'D' => (self.dry_run, self.show_depends) = (true, true),
            _ => return false,
        }
        true
    }
}
