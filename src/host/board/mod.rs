// SPDX-License-Identifier: MIT OR Apache-2.0
//! Board files, families of boards, and the kernel's configuration.

pub mod kconfig;
pub mod file;
pub mod family;
