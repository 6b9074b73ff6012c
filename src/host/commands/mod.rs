// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands of mkinitmod.

pub mod args;
pub mod manifest;
pub mod report;
mod given;
pub mod inputs;
mod bootable;
mod symbol_versions;
mod loadable;
mod image_plan;
mod image_files;
pub mod build;
pub mod select;
pub mod why;
pub mod snapshot;
pub mod manual;
pub mod completions;
