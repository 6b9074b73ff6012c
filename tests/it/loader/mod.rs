//! The loader's commands in a fixture root, beside the cases of tests/trees.

mod coldplug;
mod cut;
mod hang;
mod load;
mod refusals;
