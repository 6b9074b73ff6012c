//! `modprobe`: its options, and which of its jobs they ask for. Loading is in probe.rs, removing in unprobe.rs.

mod insert;
pub(crate) mod remove;

use super::{Out, error, failed, fatal, take};
use crate::bytes::{decimal, split_once};
use crate::device::buffers::{AppletRoom, Room};
use crate::device::io::file::{PLACE_COUNT, Text, c_str, read};
use crate::device::io::log::{be_quiet, errno_prose};
use crate::device::kernel::insert::{IGNORE_MODVERSIONS, IGNORE_VERMAGIC, MODPROBE_OPTIONS, Sys};
use crate::device::modules::tree::{Tree, or_failed, tell_bad_lines};
use crate::device::rt::Args;
use crate::getopt::{Spec, split_words};
use crate::modules::config::MODPROBE_DIRS;
use crate::modules::show_config;
use rustix::fs::CWD;

const SPEC: Spec = "a all\nr remove\nH-remove-holders\nH-remove-dependencies\nw=wait\nR resolve-alias\nR show-alias\n\
    T-first-time\ni ignore-install\ni ignore-remove\nb use-blacklist\nf force\nM-force-modversion\nG-force-vermagic\n\
    D show-depends\nc show-config\nc showconfig\nX-show-modversions\nX-dump-modversions\nE-show-exports\nn dry-run\n\
    n show\nC=config\nd=dirname\nS=set-version\ns syslog\nq quiet\nv verbose\nV version\nh help";

/// What is asked for.
#[derive(Default)]
pub(crate) struct Flags {
    pub(crate) all: bool,
    pub(crate) remove: bool,
    pub(crate) holders: bool,
    pub(crate) wait_ms: Option<u32>,
    lookup_only: bool,
    first_time: bool,
    ignore_commands: bool,
    use_blacklist: bool,
    /// `IGNORE_*`
    pub(crate) force: i32,
    pub(crate) show_depends: bool,
    pub(crate) dry_run: bool,
    verbose: bool,
    quiet: bool,
    show_config: bool,
    /// The letter of --show-modversions or --show-exports.
    symbols: Option<u8>,
    places: heapless::Vec<&'static [u8], PLACE_COUNT>,
    root: &'static [u8],
    kver: Option<&'static [u8]>,
    /// `MODPROBE_OPTIONS=...` for the modprobe that a command may run.
    children: Text,
    changes_children: bool,
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
    fn take(&mut self, letter: u8, value: &'static [u8]) -> bool {
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

/// Runs the command; `args` begins behind its name. Returns the exit status.
pub(crate) fn main(room: &'static mut Room, mut args: Args, mut env: Args) -> i32 {
    let Room { config, cmdline, plan, applet: AppletRoom { operands, words, line }, .. } = room;
    let mut flags = Flags::default();
    let whole_env = env;
    let inherited = env.find_map(|var| var.to_bytes().strip_prefix(MODPROBE_OPTIONS)).unwrap_or_default();
    let fits = flags.children.extend_from_slice(MODPROBE_OPTIONS).is_ok()
        && flags.children.extend_from_slice(inherited).is_ok()
        && split_words(inherited, words).is_ok();
    if !fits {
        error("MODPROBE_OPTIONS is too long", &[]);
        return 1;
    }
    // Those of the environment come first; each word stands behind a NUL.
    let mut words: &'static [u8] = words;
    let mut next = || match split_once(words.get(1..).unwrap_or_default(), 0) {
        Some((word, _)) => {
            words = words.get(word.len().saturating_add(1)..).unwrap_or_default();
            Some(word)
        }
        None if !words.is_empty() => core::mem::take(&mut words).get(1..),
        None => args.next_bytes(),
    };
    let synopsis = "modprobe [-r] [OPTION...] NAME|PATH [PARAM=VALUE...] | -a [-r] [OPTION...] NAME... | -c";
    if let Err(status) = take(SPEC, synopsis, &mut next, operands, &mut |letter, value| flags.take(letter, value)) {
        return status;
    }
    if operands.is_empty() && !flags.show_config {
        error("missing parameters. See -h.", &[]);
        return 1;
    }
    if let (Some(letter), Some(file)) = (flags.symbols, operands.first()) {
        #[cfg(feature = "modinfo")]
        return super::module_file::show(letter == b'E', file);
        #[cfg(not(feature = "modinfo"))]
        return {
            error("% -%: this build leaves modinfo out", &[file, &[letter]]);
            1
        };
    }
    let tree = match Tree::open_at(flags.root, flags.kver) {
        Ok(tree) => tree,
        Err(errno) => {
            fatal("the module tree: %", &[errno_prose(errno)]);
            return 1;
        }
    };
    let places = if flags.places.is_empty() { MODPROBE_DIRS } else { flags.places.as_slice() };
    let cmdline = read(CWD, b"/proc/cmdline", cmdline).unwrap_or_default();
    let resolver = tree.resolver_with(places, config, cmdline);
    tell_bad_lines(&resolver.config);
    if flags.show_config {
        let mut out = Out::new();
        show_config::config(&resolver.config, &mut |parts| out.put(parts));
        out.put(&[b"\n# End of configuration files. Dumping indexes now:\n\n"]);
        if let Err(failure) = show_config::indexes(&resolver.indexes, &mut |parts| out.put(parts)) {
            failed(&tree, b"", failure);
        }
        return or_failed(0);
    }
    // Full: it is cut, and what is asked for stands.
    let _ = flags.children.push(0);
    let mut sys = Sys::new(&tree, whole_env);
    sys.force = flags.force;
    sys.modprobe_options = flags.changes_children.then_some(c_str(&flags.children));
    or_failed(if flags.remove {
        remove::all(&sys, &tree, &resolver, &flags, operands)
    } else {
        insert::Probe::new(&sys, &tree, resolver, plan, line, &flags).all(operands)
    })
}
