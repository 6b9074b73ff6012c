//! What a module tree says: names, indexes, configuration, and what a modalias resolves to.

pub mod name;
pub mod dep_line;
pub mod cmdline;
pub mod config;
pub mod index;
pub mod elf;
pub mod signature;
pub mod uevent;
pub mod resolve;
pub mod show_config;
