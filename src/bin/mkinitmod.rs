//! `mkinitmod`: see [`initmod::host`].

fn main() {}
