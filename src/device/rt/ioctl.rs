// SPDX-License-Identifier: MIT OR Apache-2.0
//! ioctl(2), and the one that makes a device of btrfs known to the kernel.
//!
//! Source: include/uapi/linux/btrfs.h, `BTRFS_IOC_SCAN_DEV`.

use core::ffi::c_void;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};

const SCAN_DEV: Opcode = opcode::write::<VolArgs>(0x94, 4);

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct VolArgs {
    fd: i64,
    name: [u8; 4088],
}

/// Makes the device at `node` known. `control` is /dev/btrfs-control.
///
/// # Errors
/// The kernel's errno.
pub(crate) fn scan_device(control: &OwnedFd, node: &[u8]) -> Result<(), Errno> {
    let mut args = VolArgs { fd: 0, name: [0; 4088] };
    // The name ends in NUL.
    if let Some(slot) = args.name.get_mut(..node.len()).filter(|slot| slot.len() < 4088) {
        slot.copy_from_slice(node);
    }
    call(control, SCAN_DEV, &mut args)
}

/// Calls the kernel. `request` is the structure that it reads with `opcode`; it writes none.
///
/// # Errors
/// The kernel's errno.
pub(super) fn call<T>(socket: &OwnedFd, opcode: Opcode, request: &mut T) -> Result<(), Errno> {
    struct Call(Opcode, *mut c_void);
    // SAFETY: the opcodes of the callers read the structure that is passed with them, and write nothing
    unsafe impl Ioctl for Call {
        type Output = ();
        const IS_MUTATING: bool = false;
        fn opcode(&self) -> Opcode {
            self.0
        }
        fn as_ptr(&mut self) -> *mut c_void {
            self.1
        }
        unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> Result<(), Errno> {
            Ok(())
        }
    }
    // SAFETY: the callers pass the structure that `opcode` takes; it lives until the call returns
    unsafe { ioctl(socket, Call(opcode, core::ptr::from_mut(request).cast())) }
}
