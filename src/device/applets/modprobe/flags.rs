//! The options of modprobe.

use crate::bytes::decimal;
use crate::device::io::config_dirs::PLACE_COUNT;
use crate::device::io::log::be_quiet;
use crate::device::io::path::Text;
use crate::device::kernel::insert::{IGNORE_MODVERSIONS, IGNORE_VERMAGIC, MODPROBE_OPTIONS};
use crate::getopt::Spec;

pub(crate) const SPEC: Spec = "a all\nr remove\nH-remove-holders\nH-remove-dependencies\nw=wait\nR resolve-alias\nR show-alias\n\
    T-first-time\ni ignore-install\ni ignore-remove\nb use-blacklist\nf force\nM-force-modversion\nG-force-vermagic\n\
    D show-depends\nc show-config\nc showconfig\nX-show-modversions\nX-dump-modversions\nE-show-exports\nn dry-run\n\
    n show\nC=config\nd=dirname\nS=set-version\ns syslog\nq quiet\nv verbose\nV version\nh help";

/// What is asked for.
#[derive(Default)]
pub(crate) struct Flags {
    pub(super) all: bool,
    pub(super) remove: bool,
    pub(super) holders: bool,
    pub(super) wait_ms: Option<u32>,
    pub(super) lookup_only: bool,
    pub(super) first_time: bool,
    pub(super) ignore_commands: bool,
    pub(super) use_blacklist: bool,
    /// `IGNORE_*`
    pub(super) force: i32,
    pub(super) show_depends: bool,
    pub(super) dry_run: bool,
    pub(super) verbose: bool,
    pub(super) quiet: bool,
    pub(super) show_config: bool,
    /// The letter of --show-modversions or --show-exports.
    pub(super) symbols: Option<u8>,
    pub(super) places: heapless::Vec<&'static [u8], PLACE_COUNT>,
    pub(super) root: &'static [u8],
    pub(super) kver: Option<&'static [u8]>,
    /// `MODPROBE_OPTIONS=...` for the modprobe that a command may run.
    pub(super) children: Text,
    pub(super) changes_children: bool,
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

    /// Says whether actions are printed.
    pub(crate) fn shows(&self) -> bool {
        (self.verbose && !self.quiet) || self.show_depends
    }

    /// Takes one option; says whether its value will do.
    pub(super) fn take(&mut self, letter: u8, value: &'static [u8]) -> bool {
        match letter {
            b'a' => self.all = true,
            b'r' => self.remove = true,
            b'H' => self.holders = true,
            b'w' => {
                self.wait_ms = decimal(value);
                if self.wait_ms.is_none() {
                    return false;
                }
            }
            b'R' => self.lookup_only = true,
            b'T' => self.first_time = true,
            b'i' => self.ignore_commands = true,
            b'b' => self.use_blacklist = true,
            b'f' => self.force = IGNORE_MODVERSIONS | IGNORE_VERMAGIC,
            b'M' => self.force |= IGNORE_MODVERSIONS,
            b'G' => self.force |= IGNORE_VERMAGIC,
            b'D' => (self.dry_run, self.show_depends) = (true, true),
            b'c' => self.show_config = true,
            b'X' | b'E' => self.symbols = Some(letter),
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
        if !matches!(letter, b'C' | b's' | b'q' | b'v') {
            return true;
        }
        self.changes_children = true;
        // The first one stands right behind the variable's name.
        let dash: &[u8] = if self.children.len() == MODPROBE_OPTIONS.len() { b"-" } else { b" -" };
        let blank: &[u8] = if value.is_empty() { b"" } else { b" " };
        [dash, &[letter][..], blank, value].iter().all(|part| self.children.extend_from_slice(part).is_ok())
    }
}
