//! `lsmod`: what is in the kernel, from /proc/modules and /sys/module.

use super::unprobe::{each_holder, number};
use super::{Out, error, take};
use crate::bytes::{decimal, words};
use crate::device::file::read;
use crate::device::log::{Decimal, errno_prose};
use crate::device::room::Room;
use crate::device::rt::Args;
use crate::getopt::Spec;
use heapless::VecView;
use rustix::fs::CWD;

const SPEC: Spec = "s syslog\nv verbose\nV version\nh help";

/// Runs the command; `args` begins behind its name. Returns the exit status.
pub(super) fn main(room: &'static mut Room, mut args: Args, _: Args) -> i32 {
    let operands = &mut room.applet.operands;
    if let Err(status) = take(SPEC, "lsmod [OPTION...]", &mut || args.next_bytes(), operands, &mut |_, _| true) {
        return status;
    }
    if !operands.is_empty() {
        error("too many arguments provided.", &[]);
        return 1;
    }
    let modules = match loaded(&mut room.config) {
        Ok(modules) => modules,
        Err(status) => return status,
    };
    let mut out = Out::new();
    out.put(&[b"Module                  Size  Used by\n"]);
    for line in modules.split(|&byte| byte == b'\n') {
        one(line, &mut out);
    }
    0
}

/// Reads /proc/modules into `text`, as much as it can hold.
///
/// # Errors
/// The exit status, where it can't be read and that was said.
pub(super) fn loaded(text: &mut VecView<u8>) -> Result<&[u8], i32> {
    // Cannot fail: that is its capacity.
    let _ = text.resize(text.capacity(), 0);
    read(CWD, b"/proc/modules", text).map_err(|errno| {
        error("could not get list of modules: /proc/modules: %", &[errno_prose(errno)]);
        1
    })
}

/// Prints one module, by its line of /proc/modules: name, size, users. /sys/module knows of those that are on their way
/// out what the line does not.
fn one(line: &[u8], out: &mut Out) {
    let mut fields = words(line);
    let Some(name) = fields.next() else { return };
    let (size, users) = (fields.next().and_then(decimal), fields.next().and_then(decimal));
    let size = Decimal::new(number(name, b"coresize").or(size).unwrap_or(0).into());
    let users = Decimal::new(number(name, b"refcnt").or(users).unwrap_or(0).into());
    out.put(&[name, pad(19, name), b" ", pad(8, size.text()), size.text(), b"  ", users.text()]);
    let mut separator: &[u8] = b" ";
    each_holder(name, &mut |holder| {
        out.put(&[separator, holder]);
        separator = b",";
    });
    out.put(&[b"\n"]);
}

/// Returns the blanks that fill `text` up to a width.
fn pad(width: usize, text: &[u8]) -> &'static [u8] {
    b"                    ".get(..width.saturating_sub(text.len())).unwrap_or_default()
}
