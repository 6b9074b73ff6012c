// SPDX-License-Identifier: MIT OR Apache-2.0
//! `lsmod`: what is in the kernel, from /proc/modules and /sys/module.

use super::options::take;
use super::print::{Out, error};
use crate::bytes::{decimal, split, words};
use crate::device::buffers::Buffers;
use crate::device::io::file::{open, read_whole};
use crate::device::io::log::{Decimal, errno_prose};
use crate::device::kernel::delete::{each_holder, number};
use crate::device::rt::Args;
use crate::getopt::Spec;
use crate::loading::kernel::Errno;
use heapless::VecView;
use rustix::fs::CWD;

const SPEC: Spec = "s syslog\nv verbose\nV version\nh help";

/// Runs the command; `args` begins behind its name. Returns the exit status.
pub(super) fn main(buffers: &'static mut Buffers, mut args: Args, _: Args) -> i32 {
    let operands = &mut buffers.applet.operands;
    if let Err(status) = take(SPEC, "lsmod [OPTION...]", &mut || args.next_bytes(), operands, &mut |_, _| true) {
        return status;
    }
    if !operands.is_empty() {
        error("too many arguments provided.", &[]);
        return 1;
    }
    let modules = match loaded(&mut buffers.config) {
        Ok(modules) => modules,
        Err(status) => return status,
    };
    let mut out = Out::new();
    out.part(b"Module                  Size  Used by\n");
    let (mut off, mut status) = (0usize, 0);
    for line in split(modules, b'\n') {
        if !line.is_empty() && one(line, &mut out).is_none() {
            error("/proc/modules: at % is no module", &[Decimal::new(off as u64).text()]);
            status = 1;
        }
        off = off.wrapping_add(line.len()).wrapping_add(1);
    }
    status
}

/// Reads /proc/modules into `text`, as much as it can hold.
///
/// # Errors
/// The exit status, where it can't be read and that was said.
pub(super) fn loaded(text: &mut VecView<u8>) -> Result<&[u8], i32> {
    // Cannot fail: that is its capacity.
    let _ = text.resize(text.capacity(), 0);
    let modules = open(CWD, b"/proc/modules");
    modules.and_then(|file| read_whole(&file, text).ok_or(Errno::EIO)).map_err(|errno| {
        error("could not get list of modules: /proc/modules: %", &[errno_prose(errno)]);
        1
    })
}

/// Prints one module, by its line of /proc/modules: name, size, users. /sys/module knows of those that are on their way
/// out what the line does not. `None` where it is none: a kernel that takes no module out has `-` for the users.
fn one(line: &[u8], out: &mut Out) -> Option<()> {
    let mut fields = words(line);
    let (name, size, users) = (fields.next()?, decimal(fields.next()?)?, fields.next()?);
    let users = if users == b"-" { 0 } else { decimal(users)? };
    let size = Decimal::new(number(name, b"coresize").unwrap_or(size).into());
    let users = Decimal::new(number(name, b"refcnt").unwrap_or(users).into());
    out.fill("%% %%  %", &[name, pad(19, name), pad(8, size.text()), size.text(), users.text()]);
    let mut separator: &[u8] = b" ";
    each_holder(name, &mut |holder| {
        out.fill("%%", &[separator, holder]);
        separator = b",";
    });
    out.part(b"\n");
    Some(())
}

/// Returns the blanks that fill `text` up to a width.
fn pad(width: usize, text: &[u8]) -> &'static [u8] {
    b"                    ".get(..width.saturating_sub(text.len())).unwrap_or_default()
}
