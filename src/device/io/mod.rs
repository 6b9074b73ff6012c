// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files and lines: reads, maps, and the log.

pub(crate) mod log;
pub(crate) mod path;
pub(crate) mod file;
pub(crate) mod mmap;
pub(crate) mod cut;
pub(crate) mod config_dirs;
