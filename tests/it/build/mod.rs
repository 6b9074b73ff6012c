//! `mkinitmod build`.

mod append;
mod board;
mod content;
mod early;
mod family;
mod readers;
mod strip;
