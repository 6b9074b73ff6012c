// SPDX-License-Identifier: MIT OR Apache-2.0
//! Module trees as the host reads them.

mod hash;
mod progress;
pub mod file;
pub mod depmod_d;
mod kmod_order;
mod walk;
pub mod tree;
pub mod module;
mod sections;
pub mod read;
pub mod cache;
pub mod scan;
pub mod symbols;
pub mod graph;
pub mod vermagic;
pub mod versions;

pub use progress::Progress;
pub use scan::read_tree;
