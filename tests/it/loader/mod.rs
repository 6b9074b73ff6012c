// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loader's commands in a fixture root, beside the cases of tests/trees.

mod coldplug;
mod commands;
mod cut;
mod files;
mod hang;
mod load;
mod refusals;
