//! The loader's commands in a fixture root, beside the cases of tests/trees.

mod coldplug;
mod load;
mod refusals;
