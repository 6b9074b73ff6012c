// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mkinitmod build`.

mod append;
mod board;
mod boots;
mod content;
mod early;
mod family;
mod readers;
mod strip;
mod versions;
