// SPDX-License-Identifier: MIT OR Apache-2.0
//! The library's parsers and its planner, on random and on damaged input.

mod elf;
mod glob;
mod index;
mod plan;
pub mod regress;
