// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module tree in the initramfs, and the board that it runs on.

#[cfg_attr(not(feature = "boot"), path = "../plain/board.rs")]
pub(crate) mod board;
pub(crate) mod tree;
