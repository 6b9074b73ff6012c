//! The generator.
#![allow(clippy::arithmetic_side_effects, clippy::expect_used, reason = "the host may stop; an `expect` says why it can't")]

pub mod error;
mod hash;
pub mod rules;
mod order;
mod walk;
pub mod tree;
pub mod codec;
mod elf;
pub mod module;
pub mod cache;
pub mod scan;
pub mod linkage;
pub mod graph;
pub mod depmod;

pub use error::{Error, Result};
