//! The radix tree on disk in which depmod leaves modules.dep.bin, .alias.bin, .symbols.bin, .builtin.bin and
//! .builtin.alias.bin: read in place, written on the host.

mod format;
mod read;
mod search;
#[cfg(feature = "host")]
mod write;

pub use read::{Fault, Index, Near, Value};
#[cfg(feature = "host")]
pub use write::{Builder, WriteError};
