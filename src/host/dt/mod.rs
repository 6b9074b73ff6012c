//! Device trees: from the blob that describes a board to the modaliases of its devices and to who provides for whom.
//!
//! * [`blob`] reads a flattened tree, [`overlay`] applies others to it: both end in a [`tree::Tree`].
//! * [`modalias`] gives a node's modaliases, [`driver`] what serves them: a module, the kernel itself, or nobody knows.
//! * [`suppliers`] reads from a node's properties which nodes provide for it.
//! * [`root`] tells which nodes can hold the root, [`way`] follows them and all their providers, [`needs`]
//!   makes modules of that.
//! * [`mmc_numbers`] tells which disks may have another name at each boot.
//!
//! What a board's kernel does with the tree is modelled, not guessed: each file names the kernel source it follows.

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
