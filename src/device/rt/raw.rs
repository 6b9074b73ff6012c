// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls that rustix does not offer, or not without more: fork, execve, exit_group, clock_gettime, sigaction.

use super::args::Strings;
use core::arch::asm;
use core::ffi::CStr;

#[cfg(target_arch = "x86_64")]
mod number {
    pub(super) const CLONE: usize = 56;
    pub(super) const EXECVE: usize = 59;
    pub(super) const EXIT_GROUP: usize = 231;
    pub(super) const CLOCK_GETTIME: usize = 228;
    pub(super) const RT_SIGACTION: usize = 13;
    #[cfg(feature = "nfs")]
    pub(super) const SETSOCKOPT: usize = 54;
    pub(super) const GETCWD: usize = 79;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub(super) const CLONE: usize = 220;
    pub(super) const EXECVE: usize = 221;
    pub(super) const EXIT_GROUP: usize = 94;
    pub(super) const CLOCK_GETTIME: usize = 113;
    pub(super) const RT_SIGACTION: usize = 134;
    #[cfg(feature = "nfs")]
    pub(super) const SETSOCKOPT: usize = 208;
    pub(super) const GETCWD: usize = 17;
}
#[cfg(target_arch = "arm")]
mod number {
    pub(super) const CLONE: usize = 120;
    pub(super) const EXECVE: usize = 11;
    pub(super) const EXIT_GROUP: usize = 248;
    pub(super) const CLOCK_GETTIME: usize = 263; // of 32-bit seconds: enough for an uptime
    pub(super) const RT_SIGACTION: usize = 174;
    #[cfg(feature = "nfs")]
    pub(super) const SETSOCKOPT: usize = 294;
    pub(super) const GETCWD: usize = 183;
}

const SIGCHLD: usize = 17;
const CLOCK_MONOTONIC: usize = 1;

/// Makes a system call of up to five arguments and returns what the kernel left in the result register.
///
/// # Safety
/// The arguments must be what the call asks for.
unsafe fn call(number: usize, args: [usize; 5]) -> isize {
    let [a, b, c, d, e] = args;
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller vouches for the arguments; the kernel clobbers rcx and r11
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
             in("r8") e, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the caller vouches for the arguments
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d, in("x4") e,
             options(nostack));
    }
    #[cfg(target_arch = "arm")]
    // SAFETY: the caller vouches for the arguments; r7 may be the frame pointer, so it is kept by hand
    unsafe {
        asm!("mov {keep}, r7", "mov r7, {number}", "svc 0", "mov r7, {keep}", keep = out(reg) _, number = in(reg) number,
             inlateout("r0") a => result, in("r1") b, in("r2") c, in("r3") d, in("r4") e, options(nostack));
    }
    result
}

/// Ends the process.
pub(crate) fn exit(status: i32) -> ! {
    loop {
        // SAFETY: takes an integer, does not return
        unsafe { call(number::EXIT_GROUP, [status as usize, 0, 0, 0, 0]) };
    }
}

/// Makes a child process: a copy of this one. Returns `None` in the child, its process ID in the parent.
///
/// # Errors
/// The kernel's errno.
pub(crate) fn fork() -> Result<Option<i32>, i32> {
    // SAFETY: without CLONE_VM the child has its own memory, and goes on on a copy of this stack
    match unsafe { call(number::CLONE, [SIGCHLD, 0, 0, 0, 0]) } {
        0 => Ok(None),
        pid if pid > 0 => Ok(Some(pid as i32)),
        error => Err(error.unsigned_abs() as i32),
    }
}

/// Returns the time since boot: seconds and nanoseconds. A raw system call, as rustix's use of the vDSO takes 2.6 kB.
pub(crate) fn uptime() -> (u32, u32) {
    let mut time = [0usize; 2];
    // SAFETY: on every target here a timespec of this call is two words
    unsafe { call(number::CLOCK_GETTIME, [CLOCK_MONOTONIC, time.as_mut_ptr().expose_provenance(), 0, 0, 0]) };
    let [seconds, nanos] = time;
    (seconds as u32, nanos as u32)
}

/// Returns the path of the working directory; empty where it has none, or one that is longer than `buf`.
pub(crate) fn working_dir(buf: &mut [u8]) -> &[u8] {
    // SAFETY: the kernel writes at most `buf`'s length there
    let len = unsafe { call(number::GETCWD, [buf.as_mut_ptr().expose_provenance(), buf.len(), 0, 0, 0]) };
    // The NUL counts.
    usize::try_from(len).ok().and_then(|len| buf.get(..len.checked_sub(1)?)).unwrap_or_default()
}

/// Binds a socket to one interface, which then needs no address.
///
/// # Errors
/// The kernel's errno.
#[cfg(feature = "nfs")]
pub(crate) fn bind_to_device(socket: i32, name: &[u8]) -> Result<(), i32> {
    const SOL_SOCKET: usize = 1;
    const SO_BINDTODEVICE: usize = 25;
    let args = [socket as usize, SOL_SOCKET, SO_BINDTODEVICE, name.as_ptr().expose_provenance(), name.len()];
    // SAFETY: the kernel reads `name`, and no more than its length
    match unsafe { call(number::SETSOCKOPT, args) } {
        0 => Ok(()),
        error => Err(error.unsigned_abs() as i32),
    }
}

/// Replaces this process by the program at `path`; returns only where that fails, with the errno. Both arrays end in a
/// null pointer and hold strings that end in NUL.
pub(crate) fn execve(path: &CStr, argv: &Strings, env: &Strings) -> i32 {
    let [path, argv, env] =
        [path.as_ptr().expose_provenance(), argv.as_ptr().expose_provenance(), env.as_ptr().expose_provenance()];
    // SAFETY: `path` ends in NUL; a `Strings` holds such strings and ends in a null pointer
    let error = unsafe { call(number::EXECVE, [path, argv, env, 0, 0]) };
    error.unsigned_abs() as i32
}

const SIGBUS: usize = 7;
const SA_SIGINFO: usize = 4;

/// Of a `siginfo_t`, what SIGBUS sets.
#[repr(C)]
pub(crate) struct BusInfo {
    signal: i32,
    errno: i32,
    /// The cause.
    pub(crate) code: i32,
    /// The address that was read or written.
    pub(crate) address: usize,
}

/// The kernel's `struct sigaction`.
#[repr(C)]
struct Action {
    handler: extern "C" fn(i32, &BusInfo),
    flags: usize,
    restorer: usize,
    mask: [u32; 2],
}

/// Has `handler` called at SIGBUS. When it returns, the access is tried again.
pub(crate) fn on_bus(handler: extern "C" fn(i32, &BusInfo)) {
    // Elsewhere the kernel has a way back of its own.
    #[cfg(target_arch = "x86_64")]
    let (flags, restorer) = (SA_SIGINFO | SA_RESTORER, (restore as extern "C" fn() as *const ()).expose_provenance());
    #[cfg(not(target_arch = "x86_64"))]
    let (flags, restorer) = (SA_SIGINFO, 0);
    let action = Action { handler, flags, restorer, mask: [0; 2] };
    let args = [SIGBUS, (&raw const action).expose_provenance(), 0, size_of_val(&action.mask), 0];
    // SAFETY: the kernel reads `action`; the handler takes what SA_SIGINFO passes
    unsafe { call(number::RT_SIGACTION, args) };
}

#[cfg(target_arch = "x86_64")]
const SA_RESTORER: usize = 0x0400_0000;

/// Ends a signal's handler: rt_sigreturn(2), whose frame is at the stack pointer.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn restore() {
    core::arch::naked_asm!("mov eax, 15", "syscall")
}
