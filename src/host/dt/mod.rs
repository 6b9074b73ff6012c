//! Device trees: from the blob that describes a board to the modaliases of its devices and to who provides for whom.
//!
//! * [`blob`] reads a flattened tree, [`overlay`] applies others to it: both end in a [`tree::Tree`].
//! * [`alias`] gives a node's modaliases, [`driver`] what serves them: a module, the kernel itself, or nobody knows.
//! * [`supply`] reads from a node's properties which nodes provide for it.
//! * [`class`] tells which nodes can hold the root, [`walk`] follows them and all their providers, [`needs`]
//!   makes modules of that.
//! * [`number`] tells which disks may have another name at each boot.
//!
//! What a board's kernel does with the tree is modelled, not guessed: each file names the kernel source it follows.

pub mod tree;
pub mod blob;
pub mod overlay;
pub mod alias;
mod cells;
pub mod supply;
pub mod kernel;
pub mod driver;
pub mod class;
pub mod number;
pub mod walk;
pub mod needs;
