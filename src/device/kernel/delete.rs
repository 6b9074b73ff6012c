// SPDX-License-Identifier: MIT OR Apache-2.0
//! Modules that leave the kernel: delete_module(2), and who uses a module by /sys/module.

use crate::bytes::decimal;
use crate::device::io::file::{each_entry, open_joined, read_joined};
use crate::device::io::path::{errno, path};
use crate::loading::kernel::Errno;
use crate::loading::unload::Presence;
use crate::modules::resolve::Resolver;
use rustix::fs::CWD;

/// `delete_module`: do not wait for users. Source: delete_module(2).
const O_NONBLOCK: i32 = 0o4000;

/// `delete_module`: by force.
const O_TRUNC: i32 = 0o1000;

/// Removes a module from the kernel.
pub(crate) fn delete_module(modname: &[u8], force: bool) -> Result<(), Errno> {
    let name = path("%", &[modname])?;
    let flags = if force { O_NONBLOCK | O_TRUNC } else { O_NONBLOCK };
    rustix::system::delete_module(name.as_c_str(), flags).map_err(errno)
}

/// Returns whether a module is loaded, built into the kernel, or neither.
pub(crate) fn presence(modname: &[u8], resolver: &Resolver<'_>) -> Presence {
    if resolver.indexes.is_builtin(modname).unwrap_or(false) {
        return Presence::Builtin;
    }
    // On its way in it has a directory, and as yet no initstate in it.
    if open_joined(CWD, "/sys/module/%", &[modname]).is_ok() { Presence::Loaded } else { Presence::Absent }
}

/// Reads a number that /sys/module has of a module.
pub(crate) fn number(modname: &[u8], file: &[u8]) -> Option<u32> {
    let mut text = [0; 16];
    decimal(read_joined(CWD, "/sys/module/%/%", &[modname, file], &mut text)?.trim_ascii())
}

/// Counts the users of a module.
pub(crate) fn refcnt(modname: &[u8]) -> Option<u32> {
    number(modname, b"refcnt")
}

/// Calls `each` with the modules that use a module.
pub(crate) fn each_holder(modname: &[u8], each: &mut dyn FnMut(&[u8])) {
    if let Ok(path) = path("/sys/module/%/holders", &[modname]) {
        each_entry(CWD, path.as_bytes(), &mut |name, _| each(name));
    }
}
