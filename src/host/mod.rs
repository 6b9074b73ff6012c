//! The generator.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "the host may stop; an `expect` says why it can't"
)]

pub mod arch;
pub mod board;
pub mod build;
pub mod cli;
pub mod codec;
pub mod depmod;
mod elf;
pub mod error;
pub mod graph;
pub mod image;
pub mod module;
pub mod nearest;
pub mod report;
pub mod scan;
pub mod select;
pub mod tree;

pub use error::{Error, Result};
