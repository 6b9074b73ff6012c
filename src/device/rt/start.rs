//! Process entry. The kernel leaves argc where the stack pointer points, behind it argv, a null, envp, a null and the
//! auxiliary vector. Source: the System V ABI supplements of each architecture.

use core::ffi::{CStr, c_char};
use core::marker::PhantomData;

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    ".type _start,@function",
    "_start:",
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
    ".globl _start",
    ".type _start,@function",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x0, sp",
    "and sp, x0, #-16",
    "b {enter}",
    enter = sym enter
);
#[cfg(target_arch = "arm")]
core::arch::global_asm!(
    ".globl _start",
    ".type _start,%function",
    ".arm",
    "_start:",
    "mov fp, #0",
    "mov lr, #0",
    "mov r0, sp",
    "bic sp, sp, #7",
    "bl {enter}",
    "udf #0",
    enter = sym enter
);

/// The arguments of this process, argv[0] first, or its environment: an array that ends in null.
#[derive(Clone, Copy)]
pub(in crate::device) struct Args(*const *const c_char);

/// Strings for execve, ending in null. Source: the kernel gives init at most 32 arguments and 32 variables.
pub(in crate::device) struct Strings<'a> {
    pointers: heapless::Vec<*const c_char, 256>,
    borrowed: PhantomData<&'a CStr>,
}

impl<'a> Strings<'a> {
    /// Collects them; those past the 255th are left out.
    pub(in crate::device) fn new(strings: impl Iterator<Item = &'a CStr>) -> Self {
        let mut pointers: heapless::Vec<_, 256> = strings.map(CStr::as_ptr).take(255).collect();
        // Cannot fail: at most 255 of 256 are taken.
        let _ = pointers.push(core::ptr::null());
        Strings { pointers, borrowed: PhantomData }
    }

    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

unsafe extern "C" fn enter(stack: *const usize) -> ! {
    // SAFETY: the kernel put argc at `stack`
    let argc = unsafe { stack.read() };
    // SAFETY: argv follows argc
    let argv = unsafe { stack.add(1) }.cast::<*const c_char>();
    // SAFETY: envp follows argv's null
    let envp = unsafe { argv.add(argc.wrapping_add(1)) };
    super::exit(crate::device::main(Args(argv), Args(envp)))
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

// The prebuilt core library names these; with panic=abort nothing calls them.
#[cfg(target_arch = "arm")]
#[unsafe(no_mangle)]
extern "C" fn __aeabi_unwind_cpp_pr0() {}
#[cfg(target_arch = "arm")]
#[unsafe(no_mangle)]
extern "C" fn __aeabi_unwind_cpp_pr1() {}
#[cfg(not(test))]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// compiler_builtins asks for the CPU's features before its first atomic; 0 makes it use what every ARMv8 has.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
extern "C" fn getauxval(_: usize) -> usize {
    0
}
