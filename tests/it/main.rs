// SPDX-License-Identifier: MIT OR Apache-2.0
//! One integration binary: a folder per command, and what the tests share in `support`.
#![allow(unreachable_pub, reason = "the modules of a test binary are its own library")]

mod bombs;
mod build;
mod completions;
mod depmod;
mod install;
mod layers;
mod library;
mod licence;
mod loader;
mod manual;
mod oracle;
mod planted;
mod select;
mod support;
