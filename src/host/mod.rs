//! The generator.

pub mod nearest;
pub mod image;
