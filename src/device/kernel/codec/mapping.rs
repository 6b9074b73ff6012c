// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory for decoded content: an anonymous mapping that grows by `mremap` and is given back on drop.
//!
//! Pages cost memory when they are first written, so a claim that is too large only costs address space.

use super::error::CodecError;
use core::ffi::c_void;
use core::ops::Deref;
use core::ptr::NonNull;
use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};

/// No module is larger than this; content that claims or turns out to be is refused.
pub(crate) const LIMIT_LEN: usize = 1 << 30;

/// Content in memory of its own. Dereferences to the content.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    /// Mapped bytes, zero until written.
    capacity_len: usize,
    /// The length of the content, bytes.
    len: usize,
}

#[allow(unsafe_code, reason = "owns a mapping: maps, grows, lends and unmaps it")]
impl Mapping {
    /// Maps `len` bytes.
    ///
    /// # Errors
    /// `NoMemory`: past [`LIMIT_LEN`], or mmap failed.
    pub(crate) fn with_capacity(len: usize) -> Result<Mapping, CodecError> {
        let capacity_len = bounded(len)?;
        // SAFETY: a new private anonymous mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe {
            mmap_anonymous(
                core::ptr::null_mut(),
                capacity_len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        };
        let base = base.ok().and_then(|base| NonNull::new(base.cast())).ok_or(CodecError::NoMemory)?;
        Ok(Mapping { base, capacity_len, len: 0 })
    }

    /// Grows the mapping to at least `len` bytes in all; its content stays.
    ///
    /// # Errors
    /// As [`Mapping::with_capacity`].
    pub(crate) fn reserve(&mut self, len: usize) -> Result<(), CodecError> {
        if len <= self.capacity_len {
            return Ok(());
        }
        let doubled_len = self.capacity_len.saturating_mul(2).min(LIMIT_LEN);
        let capacity_len = bounded(len)?.max(doubled_len);
        let old = self.base.as_ptr().cast::<c_void>();
        // SAFETY: `old` and its length are this value's own mapping, and no borrow of it outlives `&mut self`.
        let base = unsafe { mremap(old, self.capacity_len, capacity_len, MremapFlags::MAYMOVE) };
        self.base = base.ok().and_then(|base| NonNull::new(base.cast())).ok_or(CodecError::NoMemory)?;
        self.capacity_len = capacity_len;
        Ok(())
    }

    /// Grows the mapping, for a decoder that does not know the size.
    pub(crate) fn grow(&mut self) -> Result<(), CodecError> {
        self.reserve(self.capacity_len.saturating_add(1))
    }

    /// Lends all that is mapped, content or not.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is readable, writable, `capacity_len` long, zeroed by the kernel, and borrowed with `self`.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr(), self.capacity_len) }
    }

    /// Sets the first `len` mapped bytes as the content.
    pub(crate) fn finish(mut self, len: usize) -> Mapping {
        self.len = len.min(self.capacity_len);
        self
    }
}

impl Deref for Mapping {
    type Target = [u8];

    #[allow(unsafe_code, reason = "owns a mapping: maps, grows, lends and unmaps it")]
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` is at most the mapped length, the memory is readable and initialized, and borrowed with `self`.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

impl core::ops::DerefMut for Mapping {
    #[allow(unsafe_code, reason = "owns a mapping: maps, grows, lends and unmaps it")]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed as mutable with `self`.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }
}

impl Drop for Mapping {
    #[allow(unsafe_code, reason = "owns a mapping: maps, grows, lends and unmaps it")]
    fn drop(&mut self) {
        // SAFETY: this value's own mapping, and it is used no more. A failure leaves it mapped, which is harmless.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.capacity_len) };
    }
}

/// Keeps a length within what can be mapped: not nothing, not past the limit.
fn bounded(len: usize) -> Result<usize, CodecError> {
    if len > LIMIT_LEN { Err(CodecError::NoMemory) } else { Ok(len.max(4096)) }
}
