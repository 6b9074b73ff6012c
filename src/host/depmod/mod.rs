// SPDX-License-Identifier: MIT OR Apache-2.0
//! `depmod`: a tree's modules.* files, as kmod's depmod writes them.

pub mod emit;
pub mod options;
mod replace;
pub mod command;

pub use command::main;
pub use emit::{Emitted, IndexFile, emit, indexes};
