// SPDX-License-Identifier: MIT OR Apache-2.0
//! Device trees: from the blob that describes a board to the modules that its devices need.
//!
//! * [`blob`] reads a flattened tree, [`overlay`] applies others to it: both end in a [`tree::Tree`].
//! * [`modalias`] gives a node's modaliases, [`driver`] the modules or built-in drivers that match them.
//! * [`suppliers`] reads a node's suppliers from its properties.
//! * [`root`] finds the nodes that can hold the root, [`way`] follows their suppliers, [`needs`] turns both into modules.
//! * [`mmc_numbers`] finds the disks whose number may change between boots.
//!
//! Each file models what the kernel does with the tree, and names the kernel source it follows.

pub mod tree;
pub mod blob;
pub mod overlay;
pub mod modalias;
mod references;
pub mod suppliers;
pub mod vmlinux;
pub mod driver;
pub mod root;
pub mod mmc_numbers;
pub mod way;
pub mod needs;
