// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machinery of the tests: fixture roots, modules and device trees made by code, a kernel on paper.

pub mod fakekernel;
pub mod fixture;
pub mod mkdtb;
pub mod mkko;
pub mod modprobe;
pub mod oracle;
pub mod rootfs;
pub mod trap;
