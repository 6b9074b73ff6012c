// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stock kernels, with kmod 34 as the oracle where INITMOD_ORACLE names its tools. `make oracle` runs them all.

mod aliases;
mod boards;
mod command_lines;
mod images;
mod memory;
mod stock;
