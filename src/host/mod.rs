//! The generator.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "the host may stop; an `expect` says why it can't"
)]

pub mod error;
pub mod arch;
pub mod spelling;
pub mod codec;
pub mod modules;
pub mod depmod;
pub mod dt;
pub mod image;
pub mod board;
pub mod select;
pub mod commands;

pub use error::{Error, Result};
