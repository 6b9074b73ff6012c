//! The initramfs: what lies where in it, its cpio archive, its compression; an image that is there already.

pub mod compress;
pub mod cpio;
pub mod unpack;
pub mod contents;
pub mod early;
pub mod layout;
pub mod signature;
pub mod strip;
pub mod pack;
pub mod depmod_inputs;
pub mod firmware;
pub mod append;
pub mod output;
