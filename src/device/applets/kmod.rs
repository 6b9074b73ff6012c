// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kmod list` and `kmod static-nodes`: the device nodes that modules.devname has for modules that are loaded when
//! somebody opens one.

use super::lsmod;
use super::options::take;
use super::print::{Out, error};
use crate::bytes::{basename, decimal, split, split_once, words};
use crate::device::buffers::Buffers;
use crate::device::io::file::open;
use crate::device::io::log::{Level, errno_prose, line};
use crate::device::io::mmap::map;
use crate::device::io::path::{errno, path};
use crate::device::modules::tree::Tree;
use crate::device::rt::Args;
use crate::getopt::Spec;
use crate::loading::kernel::Errno;
use heapless::VecView;
use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

const SYNOPSIS: &str = "kmod list | kmod static-nodes [OPTION...] | kmod help\n\
    As modprobe, insmod, rmmod, lsmod and modinfo it answers to links of these names.";

const SPEC: Spec = "V version\nh help";

const NODES_SPEC: Spec = "f=format\no=output\nh help";

/// Runs the command; `args` begins behind its name. Returns the exit status.
pub(super) fn main(buffers: &'static mut Buffers, mut args: Args, env: Args) -> i32 {
    let operands = &mut buffers.applet.operands;
    let mut first = args.next_bytes();
    match first {
        Some(b"list") => return lsmod::main(buffers, args, env),
        Some(b"static-nodes") => return static_nodes(args, operands),
        Some(b"help") => first = Some(b"-h"),
        _ => {}
    }
    if let Err(status) = take(SPEC, SYNOPSIS, &mut || first.take(), operands, &mut |_, _| true) {
        return status;
    }
    error("no such command: %", &[operands.first().copied().unwrap_or(b"(none)")]);
    1
}

#[derive(Clone, Copy)]
enum Format {
    Human,
    Tmpfiles,
    Devname,
}

fn static_nodes(mut args: Args, operands: &mut VecView<&'static [u8]>) -> i32 {
    let (mut format, mut output) = (Format::Human, None);
    let mut each = |letter, value: &'static [u8]| {
        match (letter, value) {
            (b'f', b"human") => format = Format::Human,
            (b'f', b"tmpfiles") => format = Format::Tmpfiles,
            (b'f', b"devname") => format = Format::Devname,
            (b'o', file) => output = Some(file),
            _ => return false,
        }
        true
    };
    let synopsis = "kmod static-nodes [-f human|tmpfiles|devname] [-o FILE]";
    if let Err(status) = take(NODES_SPEC, synopsis, &mut || args.next_bytes(), operands, &mut each) {
        return status;
    }
    let devname = Tree::open().and_then(|tree| open(tree.dir.as_fd(), b"modules.devname")).and_then(|file| map(&file));
    let text = match devname {
        Ok(text) => text,
        Err(Errno::ENOENT) => {
            line(Level::Notice, "WARNING: modules.devname of this kernel not found - ignoring", &[]);
            return 0;
        }
        Err(errno) => {
            error("modules.devname: %", &[errno_prose(errno)]);
            return 1;
        }
    };
    if let Some(file) = output
        && let Err(errno) = to_file(file)
    {
        error("could not create %: %", &[file, errno_prose(errno)]);
        return 1;
    }
    let mut out = Out::new();
    let mut status = 0;
    for entry in split(text, b'\n').filter(|entry| !matches!(entry, [] | [b'#', ..])) {
        if emit(entry, format, &mut out).is_none() {
            error("invalid devname entry: %", &[entry]);
            status = 1;
        }
    }
    status
}

/// Makes standard output a new file, and the directories that lead to it.
fn to_file(file: &[u8]) -> Result<(), Errno> {
    let mut at = 0usize;
    let dirs = file.strip_suffix(basename(file)).unwrap_or_default();
    while let Some(len) = dirs.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == b'/')) {
        at = at.saturating_add(len).saturating_add(1);
        // Exists: fine. Fails otherwise: so does what comes next.
        let _ = mkdirat(CWD, path("%", &[dirs.get(..at).unwrap_or_default()])?.as_c_str(), Mode::from_raw_mode(0o755));
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let file = openat(CWD, path("%", &[file])?.as_c_str(), flags, Mode::from_raw_mode(0o666)).map_err(errno)?;
    rustix::stdio::dup2_stdout(&file).map_err(errno)
}

/// Prints one line of modules.devname, `MODULE NODE cMAJOR:MINOR`, in another form; `None` where it is none.
fn emit(entry: &[u8], format: Format, out: &mut Out) -> Option<()> {
    let mut fields = words(entry);
    let (module, node, device) = (fields.next()?, fields.next()?, fields.next()?);
    let (kind, numbers) = device.split_at_checked(1)?;
    let (major, minor) = split_once(numbers, b':')?;
    decimal(major).and(decimal(minor))?;
    let word: &[u8] = match kind {
        b"c" => b"character",
        b"b" => b"block",
        _ => return None,
    };
    match format {
        Format::Human => {
            let template = "Module: %\n\tDevice node: /dev/%\n\t\tType: % device\n\t\tMajor: %\n\t\tMinor: %\n";
            out.fill(template, &[module, node, word, major, minor]);
        }
        Format::Tmpfiles => {
            if let Some(dir) = node.strip_suffix(basename(node)).and_then(|dir| dir.strip_suffix(b"/")) {
                out.fill("d /dev/% 0755 - - -\n", &[dir]);
            }
            out.fill("%! /dev/% 0600 - - - %:%\n", &[kind, node, major, minor]);
        }
        Format::Devname => out.fill("% % %%:%\n", &[module, node, kind, major, minor]),
    }
    Some(())
}
