// SPDX-License-Identifier: MIT OR Apache-2.0
//! The generator: selects modules, indexes trees and builds images on the build host.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a panic may end the host's program; an `expect` gives the reason why it cannot fail"
)]

pub mod error;
mod signals;
mod input;
mod output;
pub mod root;
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
