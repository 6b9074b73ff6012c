//! Boards: their files, families of them, and the kernel's configuration.

pub mod kconfig;
pub mod file;
pub mod family;
