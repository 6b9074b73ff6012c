// SPDX-License-Identifier: MIT OR Apache-2.0
//! `modprobe`.

#[cfg_attr(not(feature = "tools"), path = "../../plain/flags.rs")]
mod flags;
mod insert;
#[cfg(feature = "tools")]
mod remove;
#[cfg_attr(not(feature = "tools"), path = "../../plain/modprobe.rs")]
mod command;

pub(super) use command::main;
