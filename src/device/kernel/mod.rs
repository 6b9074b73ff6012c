// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's door: modules go in and out, child processes, decoders.

#[cfg_attr(
    not(all(feature = "gz", feature = "xz", feature = "zst")),
    allow(dead_code, reason = "a build that leaves decoders out has no use for what they share")
)]
pub(crate) mod codec;
#[cfg_attr(not(feature = "boot"), path = "../plain/decode_time.rs")]
pub(crate) mod decode_time;
pub(crate) mod state;
#[cfg(feature = "tools")]
pub(crate) mod delete;
pub(crate) mod child;
pub(crate) mod insert;
