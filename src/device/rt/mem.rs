// SPDX-License-Identifier: MIT OR Apache-2.0
//! memcpy and its kin, which compiler_builtins leaves to a libc on Linux targets.
//!
//! The empty `asm!` in a loop keeps LLVM from turning the loop into a call of the very function it stands in.
#![allow(clippy::arithmetic_side_effects, reason = "lengths of memory do not overflow")]

use core::arch::asm;

#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller gives `len` bytes at both ends that do not overlap; the ABI has the direction flag clear
    unsafe {
        asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _,
             options(nostack, preserves_flags));
    }
    to
}

#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    // SAFETY: the caller gives `len` bytes at `to`; the ABI has the direction flag clear
    unsafe {
        asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") byte as u8,
             options(nostack, preserves_flags));
    }
    to
}

#[cfg(not(target_arch = "x86_64"))]
const WORD: usize = size_of::<usize>();

/// Copies upward, word by word, so that it also serves overlapping areas with `to` below `from`.
#[cfg(not(target_arch = "x86_64"))]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    let mut at = 0;
    while at + WORD <= len {
        // SAFETY: `at + WORD <= len`, and the caller gives `len` bytes at `from`
        let word = unsafe { from.wrapping_add(at).cast::<usize>().read_unaligned() };
        // SAFETY: the same at `to`
        unsafe { to.wrapping_add(at).cast::<usize>().write_unaligned(word) };
        at += WORD;
        // SAFETY: empty
        unsafe { asm!("", options(nostack, preserves_flags)) };
    }
    while at < len {
        // SAFETY: `at < len`
        let byte = unsafe { from.wrapping_add(at).read() };
        // SAFETY: the same at `to`
        unsafe { to.wrapping_add(at).write(byte) };
        at += 1;
        // SAFETY: empty
        unsafe { asm!("", options(nostack, preserves_flags)) };
    }
    to
}

#[cfg(not(target_arch = "x86_64"))]
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    let word = (usize::MAX / 255).wrapping_mul(usize::from(byte as u8));
    let mut at = 0;
    while at + WORD <= len {
        // SAFETY: `at + WORD <= len`, and the caller gives `len` bytes at `to`
        unsafe { to.wrapping_add(at).cast::<usize>().write_unaligned(word) };
        at += WORD;
        // SAFETY: empty
        unsafe { asm!("", options(nostack, preserves_flags)) };
    }
    while at < len {
        // SAFETY: `at < len`
        unsafe { to.wrapping_add(at).write(byte as u8) };
        at += 1;
        // SAFETY: empty
        unsafe { asm!("", options(nostack, preserves_flags)) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // As unsigned distance: `to` is below `from`, or behind its end. Our memcpy goes strictly upward.
    if to.addr().wrapping_sub(from.addr()) >= len {
        // SAFETY: the caller's `len` bytes; an upward copy reads each byte before it is overwritten
        return unsafe { memcpy(to, from, len) };
    }
    let mut at = len;
    while at > 0 {
        at -= 1;
        // SAFETY: `at < len`
        let byte = unsafe { from.wrapping_add(at).read() };
        // SAFETY: the same at `to`
        unsafe { to.wrapping_add(at).write(byte) };
        // SAFETY: empty
        unsafe { asm!("", options(nostack, preserves_flags)) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    let mut at = 0;
    while at < len {
        // SAFETY: `at < len`, and the caller gives `len` bytes at `left`
        let l = unsafe { left.wrapping_add(at).read() };
        // SAFETY: the same at `right`
        let r = unsafe { right.wrapping_add(at).read() };
        if l != r {
            return i32::from(l) - i32::from(r);
        }
        at += 1;
        // SAFETY: empty
        unsafe { asm!("", options(nostack, preserves_flags)) };
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    // SAFETY: the same contract
    unsafe { memcmp(left, right, len) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut len = 0;
    // SAFETY: the caller's string ends in NUL, and nothing is read past that
    while unsafe { text.wrapping_add(len).read() } != 0 {
        len += 1;
        // SAFETY: empty
        unsafe { asm!("", options(nostack, preserves_flags)) };
    }
    len
}
