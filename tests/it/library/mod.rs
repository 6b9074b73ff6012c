//! The library's parsers and its planner, on random and on damaged input.

mod elf;
mod glob;
mod index;
mod plan;
pub mod regress;
