// SPDX-License-Identifier: MIT OR Apache-2.0
//! depmod's index, a radix tree in a file: modules.dep.bin, .alias.bin, .symbols.bin, .builtin.bin and
//! .builtin.alias.bin. Read in place, written on the host.

mod format;
mod read;
mod search;
#[cfg(feature = "host")]
mod write;

pub use read::{Fault, Index, Near, Value};
#[cfg(feature = "host")]
pub use write::{Builder, WriteError};
