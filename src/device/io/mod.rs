//! Files and lines: reads, maps, and the log.

pub(crate) mod log;
pub(crate) mod file;
