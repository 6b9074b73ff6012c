//! The initramfs: what lies where in it, its cpio archive, its compression.

pub mod compress;
pub mod cpio;
pub mod layout;
pub mod signature;
pub mod pack;
pub mod trim;
