// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root: the forms of `root=` and `nfsroot=`, and the superblocks and partition tables that identify its device.

pub mod superblock;
pub mod partition;
pub mod rootdev;
pub mod nfsroot;
