//! What names the root device, and what is on it.

pub mod superblock;
pub mod partition;
pub mod rootdev;
pub mod nfsroot;
