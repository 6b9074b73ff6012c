//! Module trees as the host reads them.

mod hash;
pub mod depmod_d;
mod kmod_order;
mod walk;
pub mod tree;
mod sections;
pub mod module;
pub mod cache;
pub mod scan;
pub mod symbols;
pub mod graph;
