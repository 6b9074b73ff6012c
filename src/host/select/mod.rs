// SPDX-License-Identifier: MIT OR Apache-2.0
//! The modules that a board's image needs, each with the reason.
//!
//! [`for_board`] is the order of steps: the device tree (`device_tree`), the lists of the board file (`board_lists`) and the
//! dependencies of all these (`dependencies`) pick modules through a `picker`. The first reason is kept.

pub mod load_order;
pub mod dominators;
pub mod left_out;
pub mod reason;
pub mod selection;
pub mod builtin;
mod fs_requests;
pub mod catalogue;
pub mod indexed_tree;
mod picker;
mod device_tree;
mod board_lists;
mod dependencies;
pub mod for_board;
