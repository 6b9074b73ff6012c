//! The command: reads its options and starts the job that they name.

use super::flags::{Flags, SPEC};
use super::{insert, remove};
use crate::bytes::split_once;
use crate::device::applets::{Out, error, failed, fatal, take};
use crate::device::buffers::{AppletBuffers, Buffers};
use crate::device::io::log::errno_prose;
use crate::device::io::path::c_str;
use crate::device::kernel::insert::{MODPROBE_OPTIONS, Sys};
use crate::device::modules::tree::{Tree, or_failed, read_cmdline};
use crate::device::rt::Args;
use crate::getopt::split_words;
use crate::modules::config::MODPROBE_DIRS;
use crate::modules::show_config;

/// Runs the command; `args` begins behind its name. Returns the exit status.
pub(crate) fn main(buffers: &'static mut Buffers, mut args: Args, mut env: Args) -> i32 {
    let Buffers { config, cmdline, plan, applet: AppletBuffers { operands, words, line }, .. } = buffers;
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
        return crate::device::applets::module_file::show(letter == b'E', file);
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
    let resolver = tree.with_config(places, config, read_cmdline(cmdline));
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
