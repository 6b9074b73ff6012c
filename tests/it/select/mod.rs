// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mkinitmod select`, `why` and the sources of a selection.

mod dt;
mod sources;
