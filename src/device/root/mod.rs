// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root: found, mounted, switched to, and explained if it is absent.

pub(crate) mod node;
#[cfg_attr(not(feature = "boot"), path = "../plain/blockdev.rs")]
pub(crate) mod blockdev;
pub(crate) mod wanted;
#[cfg_attr(not(feature = "nfs"), path = "../plain/net.rs")]
pub(crate) mod net;
pub(crate) mod mount;
#[cfg(feature = "boot")]
mod phandle;
#[cfg_attr(not(feature = "boot"), path = "../plain/explain.rs")]
pub(crate) mod explain;
pub(crate) mod switch;
