//! Paths and file names, as NUL-terminated text in buffers of fixed size.

use crate::loading::kernel::Errno;
use core::ffi::CStr;
use heapless::VecView;

/// A file or directory name. Source: NAME_MAX.
pub(crate) type Name = heapless::Vec<u8, 255>;

pub(crate) fn errno(error: rustix::io::Errno) -> Errno {
    Errno(error.raw_os_error())
}

/// A string for the kernel, with its NUL. One size for all, as each would have code of its own.
pub(crate) type Text = heapless::Vec<u8, 8192>;

/// A path with its NUL.
#[derive(Clone)]
pub(crate) struct Path(Text);

impl Path {
    pub(crate) fn as_c_str(&self) -> &CStr {
        c_str(&self.0)
    }

    /// Returns it without its NUL.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        c_str(&self.0).to_bytes()
    }
}

/// Joins the parts of a path as they are.
pub(crate) fn path(parts: &[&[u8]]) -> Result<Path, Errno> {
    let mut path = heapless::Vec::new();
    join(parts, &mut path)?;
    Ok(Path(path))
}

/// Appends the parts and a NUL to `out`, which is empty, for [`c_str`].
///
/// # Errors
/// `ENAMETOOLONG` where they are too long, `EINVAL` where they have a NUL in them.
pub(crate) fn join(parts: &[&[u8]], out: &mut VecView<u8>) -> Result<(), Errno> {
    for part in parts {
        out.extend_from_slice(part).map_err(|_| Errno::ENAMETOOLONG)?;
    }
    let is_text = !out.contains(&0);
    out.push(0).ok().filter(|()| is_text).ok_or(Errno::EINVAL)
}

/// Borrows what [`join`] has made, or the empty string.
pub(crate) fn c_str(text: &[u8]) -> &CStr {
    CStr::from_bytes_until_nul(text).unwrap_or_default()
}
