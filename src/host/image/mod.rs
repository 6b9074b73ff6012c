//! The initramfs: what lies where in it, its cpio archive, its compression.

pub mod cpio;
pub mod compress;
pub mod pack;
pub mod trim;
pub mod layout;
