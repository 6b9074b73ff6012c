//! `mkinitmod select`, `why` and the sources of a selection.

mod dt;
mod sources;
