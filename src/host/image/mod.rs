//! The initramfs: what lies where in it, its cpio archive, its compression; an image that is there already.

pub mod cpio;
pub mod compress;
pub mod unpack;
pub mod contents;
pub mod early;
pub mod signature;
pub mod strip;
pub mod pack;
pub mod depmod_inputs;
pub mod firmware;
pub mod layout;
pub mod append;
pub mod output;
