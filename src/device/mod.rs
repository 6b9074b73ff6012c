//! The loader.

#[cfg(any(feature = "xz", feature = "zst"))]
mod arena;
mod codec;
