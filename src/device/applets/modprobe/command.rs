// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command: reads its options and starts the job that they name.

use super::flags::{Flags, SPEC, Symbols};
use super::{insert, remove};
use crate::bytes::split_once;
use crate::device::applets::module_file::show_symbols;
use crate::device::applets::options::take;
use crate::device::applets::print::{Out, error, failed, fatal};
use crate::device::buffers::{AppletBuffers, Buffers};
use crate::device::io::log::errno_prose;
use crate::device::kernel::insert::{Inserter, MODPROBE_OPTIONS};
use crate::device::modules::tree::{Tree, or_failed, read_cmdline};
use crate::device::rt::Args;
use crate::getopt::split_words;
use crate::modules::config::MODPROBE_DIRS;
use crate::modules::show_config;
use rustix::fd::AsFd;

/// Runs the command; `args` begins behind its name. Returns the exit status.
pub(crate) fn main(buffers: &'static mut Buffers, mut args: Args, mut env: Args) -> i32 {
    let Buffers { names, config, cmdline, plan, applet: AppletBuffers { operands, words, lines, named }, .. } = buffers;
    let mut flags = Flags::default();
    let whole_env = env;
    let inherited = env.find_map(|var| var.to_bytes().strip_prefix(MODPROBE_OPTIONS)).unwrap_or_default();
    if !flags.inherited.begin(inherited) || split_words(inherited, words).is_err() {
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
    if let (Some(symbols), Some(file)) = (flags.symbols, operands.first()) {
        return show_symbols(symbols == Symbols::Exports, file);
    }
    let tree = match Tree::open_at(flags.root, flags.kver) {
        Ok(tree) => tree,
        Err(errno) => {
            fatal("the module tree: %", &[errno_prose(errno)]);
            return 1;
        }
    };
    let places = if flags.places.is_empty() { MODPROBE_DIRS } else { flags.places.as_slice() };
    let resolver = tree.with_config(places, names, config, read_cmdline(cmdline));
    if flags.show_config {
        let mut out = Out::new();
        show_config::config(&resolver.config, &mut |template, args| out.fill(template, args));
        out.part(b"\n# End of configuration files. Dumping indexes now:\n\n");
        if let Err(failure) = show_config::indexes(&resolver.indexes, &mut |template, args| out.fill(template, args)) {
            failed(&tree, b"", failure);
        }
        return or_failed(0);
    }
    flags.inherited.end();
    let mut inserter = Inserter::at(tree.dir.as_fd(), whole_env);
    inserter.force = flags.force;
    inserter.modprobe_options = flags.inherited.variable();
    or_failed(if flags.remove {
        remove::all(&inserter, &tree, &resolver, &flags, operands)
    } else {
        insert::Insertion::new(&inserter, &tree, resolver, plan, lines, named, &flags).all(operands)
    })
}
