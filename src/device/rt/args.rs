// SPDX-License-Identifier: MIT OR Apache-2.0
//! The strings that a process is started with: read from the kernel's arrays, and laid out for the next program.

use core::ffi::{CStr, c_char};
use core::marker::PhantomData;
#[cfg(any(feature = "tools", feature = "boot"))]
use core::sync::atomic::{AtomicPtr, Ordering};

/// The arguments of this process, argv[0] first, or its environment: an array that ends in null.
#[derive(Clone, Copy)]
pub(crate) struct Args(*const *const c_char);

#[cfg(not(test))]
impl Args {
    /// Takes the array that begins at `first`, which ends in null and whose strings end in NUL.
    pub(crate) fn at(first: *const *const c_char) -> Args {
        Args(first)
    }
}

/// The environment of this process.
#[cfg(any(feature = "tools", feature = "boot"))]
static ENV: AtomicPtr<*const c_char> = AtomicPtr::new(core::ptr::null_mut());

#[cfg(any(feature = "tools", feature = "boot"))]
impl Args {
    /// Keeps the environment for [`Args::env`].
    pub(crate) fn keep(self) {
        ENV.store(self.0.cast_mut(), Ordering::Relaxed);
    }

    /// Returns the environment that was kept.
    pub(crate) fn env() -> Args {
        Args(ENV.load(Ordering::Relaxed))
    }
}

impl Args {
    /// Takes the next one, without its NUL.
    pub(crate) fn next_bytes(&mut self) -> Option<&'static [u8]> {
        self.next().map(CStr::to_bytes)
    }
}

/// Strings for execve, ending in null. Source: the kernel gives init at most 32 arguments and 32 variables.
pub(crate) struct Strings<'a> {
    pointers: heapless::Vec<*const c_char, 256>,
    borrowed: PhantomData<&'a CStr>,
}

impl<'a> Strings<'a> {
    /// Collects them; those past the 255th are left out.
    pub(crate) fn new(strings: impl Iterator<Item = &'a CStr>) -> Self {
        let mut all = Strings { pointers: heapless::Vec::new(), borrowed: PhantomData };
        let _ = all.pointers.push(core::ptr::null());
        strings.for_each(|string| all.push(string));
        all
    }

    /// Appends one, unless there are 255.
    #[inline(never)] // one copy for all
    pub(crate) fn push(&mut self, string: &'a CStr) {
        self.pointers.pop();
        if self.pointers.len() < 255 {
            let _ = self.pointers.push(string.as_ptr());
        }
        let _ = self.pointers.push(core::ptr::null());
    }

    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

impl Iterator for Args {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        // SAFETY: the array ends in a null, and nothing is read past that
        let arg = unsafe { self.0.read() };
        if arg.is_null() {
            return None;
        }
        // SAFETY: not past the null yet
        self.0 = unsafe { self.0.add(1) };
        // SAFETY: the kernel's strings end in NUL and live as long as the process
        Some(unsafe { CStr::from_ptr(arg) })
    }
}
