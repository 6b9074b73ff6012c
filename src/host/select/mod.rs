//! Which modules a board gets, and why.

pub mod load_order;
pub mod selection;
pub mod select;
pub mod indexed_tree;
pub mod dominators;
pub mod left_out;
