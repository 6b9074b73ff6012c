// SPDX-License-Identifier: MIT OR Apache-2.0
//! Paths and file names, as NUL-terminated text in buffers of fixed size.

use super::log::fill;
use crate::bytes::has_byte;
use crate::loading::kernel::Errno;
use core::ffi::CStr;
use heapless::VecView;

/// A file or directory name. Source: NAME_MAX.
pub(crate) type Name = heapless::Vec<u8, 255>;

pub(crate) fn errno(error: rustix::io::Errno) -> Errno {
    Errno(error.raw_os_error())
}

/// A string for the kernel, with its NUL: the options of a module, a command.
pub(crate) type Text = heapless::Vec<u8, 8192>;

/// Buffer of a path with its NUL. Source: PATH_MAX.
pub(crate) type PathText = heapless::Vec<u8, 4096>;

/// A path with its NUL.
#[derive(Clone)]
pub(crate) struct Path(PathText);

impl Path {
    pub(crate) fn as_c_str(&self) -> &CStr {
        c_str(&self.0)
    }

    /// Returns it without its NUL.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        c_str(&self.0).to_bytes()
    }
}

/// Makes a path from a template, in which each `%` stands for the next of `args`.
pub(crate) fn path(template: &'static str, args: &[&[u8]]) -> Result<Path, Errno> {
    let mut path = heapless::Vec::new();
    join(template, args, &mut path)?;
    Ok(Path(path))
}

/// Appends a filled template and a NUL to `out`, for [`c_str`].
///
/// # Errors
/// `ENAMETOOLONG` where that is too long, `EINVAL` where there is a NUL in it.
pub(crate) fn join(template: &'static str, args: &[&[u8]], out: &mut VecView<u8>) -> Result<(), Errno> {
    let mut fits = true;
    fill(template, args, &mut |part| fits &= out.extend_from_slice(part).is_ok());
    if !fits {
        return Err(Errno::ENAMETOOLONG);
    }
    let is_text = !has_byte(out, 0);
    out.push(0).map_err(|_| Errno::ENAMETOOLONG)?;
    if is_text { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Borrows what [`join`] has made, or the empty string.
pub(crate) fn c_str(text: &[u8]) -> &CStr {
    CStr::from_bytes_until_nul(text).unwrap_or_default()
}
