// SPDX-License-Identifier: MIT OR Apache-2.0
//! A module tree: names, indexes, modprobe.d and the command line, and the look-up from a modalias to modules.

pub mod compression;
pub mod name;
pub mod dep_line;
pub mod cmdline;
pub mod config;
pub mod index;
pub mod elf;
pub mod signature;
pub mod uevent;
pub mod resolve;
pub mod show_config;
