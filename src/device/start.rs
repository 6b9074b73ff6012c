// SPDX-License-Identifier: MIT OR Apache-2.0
//! Process entry. The kernel leaves argc where the stack pointer points, behind it argv, a null, envp, a null and the
//! auxiliary vector. Source: the System V ABI supplements of each architecture.
#![allow(unsafe_code, reason = "the kernel starts the process here, with bare pointers")]

use super::main::main;
use super::rt::{Args, exit};
use core::ffi::c_char;

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl initmod_start",
    ".type initmod_start,@function",
    "initmod_start:",
    "xor %ebp, %ebp",
    "mov %rsp, %rdi",
    "and $-16, %rsp",
    "call {enter}",
    "ud2",
    enter = sym enter,
    options(att_syntax)
);
#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl initmod_start",
    ".type initmod_start,@function",
    "initmod_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x0, sp",
    "and sp, x0, #-16",
    "b {enter}",
    enter = sym enter
);
#[cfg(target_arch = "arm")]
core::arch::global_asm!(
    ".globl initmod_start",
    ".type initmod_start,%function",
    ".arm",
    "initmod_start:",
    "mov fp, #0",
    "mov lr, #0",
    "mov r0, sp",
    "bic sp, sp, #7",
    "bl {enter}",
    "udf #0",
    enter = sym enter
);

unsafe extern "C" fn enter(stack: *const usize) -> ! {
    // SAFETY: the kernel put argc at `stack`
    let argc = unsafe { stack.read() };
    // SAFETY: argv follows argc
    let argv = unsafe { stack.add(1) }.cast::<*const c_char>();
    // SAFETY: envp follows argv's null
    let envp = unsafe { argv.add(argc.wrapping_add(1)) };
    exit(main(Args::at(argv), Args::at(envp)))
}

// The prebuilt core library names these; with panic=abort nothing calls them.
#[cfg(target_arch = "arm")]
#[unsafe(no_mangle)]
extern "C" fn __aeabi_unwind_cpp_pr0() {}
#[cfg(target_arch = "arm")]
#[unsafe(no_mangle)]
extern "C" fn __aeabi_unwind_cpp_pr1() {}
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// compiler_builtins asks for the CPU's features before its first atomic; 0 makes it use what every ARMv8 has.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
extern "C" fn getauxval(_: usize) -> usize {
    0
}
