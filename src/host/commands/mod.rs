//! The commands of mkinitmod.

pub mod args;
pub mod manifest;
pub mod report;
pub mod inputs;
pub mod build;
pub mod select;
pub mod why;
pub mod snapshot;
