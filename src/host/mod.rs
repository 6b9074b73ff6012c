//! The generator.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "the host may stop; an `expect` says why it can't"
)]

pub mod error;
pub mod nearest;
pub mod kconfig;
pub mod arch;
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
pub mod image;
pub mod board;
pub mod dt;
pub mod lane;
pub mod selection;
pub mod select;
pub mod stock;
pub mod firmware;
pub mod manifest;
pub mod dominate;
pub mod report;
pub mod cli;
mod boards;
pub mod job;
mod left_out;
mod output;
mod base;
pub mod build;
pub mod selected;
pub mod why;
pub mod snapshot;

pub use error::{Error, Result};
