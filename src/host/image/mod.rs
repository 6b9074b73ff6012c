// SPDX-License-Identifier: MIT OR Apache-2.0
//! The initramfs image: its files and their places, the cpio archive, compression, and an existing image to append to.

pub mod cpio;
pub mod compress;
mod member;
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
