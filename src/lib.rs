//! `initmod` loads the kernel modules a machine needs from inside its initramfs; `mkinitmod` decides on the build host
//! which modules those are, and builds the image.
//!
//! # Architecture
//! Three layers; a file uses files above it in this list, or in its own folder, never below.
//!
//! * **core**: `no_std`, no alloc, no I/O, no unsafe. Always compiled, tested on the host: the code that resolves an
//!   alias and plans a load on the device is the code with which the host builds and verifies an image.
//! * `device` (feature `device`): the loader. Links neither std nor a libc; system calls by `rustix`.
//! * `host` (feature `host`): the generator. std and crates.
//!
//! The data's way, on the host: tree -> scan -> graph -> select(board) -> depmod -> image; on the device: map the
//! indexes -> [`resolve`] -> [`plan`] -> [`load`] -> root. The dep index already holds each module's transitive
//! closure, leaves last, so the device needs no graph.
#![cfg_attr(not(any(feature = "host", test)), no_std)]
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects,
        clippy::unreachable,
        clippy::todo
    )
)]

#[cfg(all(feature = "host", feature = "device"))]
compile_error!(
    "features `host` and `device` can't be built together: std and the loader's panic handler exclude each other"
);

pub mod error;
pub mod bytes;
pub mod glob;
pub mod getopt;
pub mod seen;
pub mod zstd;
pub mod modules;
pub mod loading;
pub mod root;

#[cfg(feature = "device")]
pub mod device;
#[cfg(feature = "host")]
pub mod host;
