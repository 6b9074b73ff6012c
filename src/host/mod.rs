//! The generator.

pub mod nearest;
