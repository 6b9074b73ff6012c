// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rmmod NAME|FILE...`: takes single modules out, and looks first whether they can go.

use super::options::take;
use super::print::error;
use crate::bytes::basename;
use crate::device::buffers::{AppletBuffers, Buffers};
use crate::device::io::file::open;
use crate::device::io::log::errno_prose;
use crate::device::kernel::delete::{delete_module, each_holder, presence, refcnt};
use crate::device::modules::tree::Tree;
use crate::device::rt::{Args, exit};
use crate::getopt::Spec;
use crate::loading::unload::Presence;
use crate::modules::config::Config;
use crate::modules::index::Index;
use crate::modules::name::from_name;
use crate::modules::resolve::{Indexes, Resolver};
use rustix::fs::CWD;

const SPEC: Spec = "f force\ns syslog\nv verbose\nV version\nh help";

/// Runs the command; `args` begins behind its name. Returns the exit status.
pub(super) fn main(buffers: &'static mut Buffers, mut args: Args, _: Args) -> i32 {
    let Buffers { applet: AppletBuffers { operands, .. }, .. } = buffers;
    let mut force = false;
    let mut each = |letter, _: &[u8]| {
        force |= letter == b'f';
        true
    };
    let synopsis = "rmmod [OPTION...] NAME|FILE...";
    if let Err(status) = take(SPEC, synopsis, &mut || args.next_bytes(), operands, &mut each) {
        return status;
    }
    if operands.is_empty() {
        error("missing module name.", &[]);
        return 1;
    }
    // Only what is built in is of interest, and that only to say so.
    let indexes = Tree::open().map_or(Indexes([Index::EMPTY; 5]), |tree| tree.indexes());
    let resolver = Resolver { indexes, config: Config::default() };
    operands.iter().fold(0, |worst, operand| worst.max(one(operand, &resolver, force)))
}

fn one(operand: &[u8], resolver: &Resolver<'_>, force: bool) -> i32 {
    // As kmod: the base name counts only of what is there.
    let is_path = open(CWD, operand).is_ok();
    let name = if is_path { basename(operand) } else { operand };
    let Some(name) = from_name(name).ok().filter(|name| !is_path || !name.is_empty()) else {
        error("could not use module '%': no module's name", &[operand]);
        exit(1);
    };
    if !force && !can_go(&name, resolver) {
        return 1;
    }
    match delete_module(&name, force) {
        Ok(()) => 0,
        Err(errno) => {
            error("could not remove module %: %", &[operand, errno_prose(errno)]);
            1
        }
    }
}

fn can_go(name: &[u8], resolver: &Resolver<'_>) -> bool {
    match presence(name, resolver) {
        Presence::Builtin => error("Module % is builtin.", &[name]),
        Presence::Absent if name.is_empty() => error("could not use module '%': no module's name", &[name]),
        Presence::Absent => error("Module % is not currently loaded", &[name]),
        Presence::Loaded => {
            let mut holders = heapless::Vec::<u8, 512>::new();
            each_holder(name, &mut |holder| {
                // Names that do not fit are left out.
                let _ = holders.push(b' ');
                let _ = holders.extend_from_slice(holder);
            });
            match refcnt(name) {
                _ if !holders.is_empty() => error("Module % is in use by:%", &[name, &holders]),
                Some(0) => return true,
                Some(_) => error("Module % is in use", &[name]),
                None => error("Module unloading is not supported", &[]),
            }
        }
    }
    false
}
