//! The loader's commands in a fixture root, beside the cases of tests/trees.

mod coldplug;
mod hang;
mod load;
mod refusals;
