// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot's load loop: requests, workers, coldplug, uevents and the flight recorder.

#[cfg(feature = "boot")]
pub(crate) mod workers;
#[cfg(feature = "boot")]
pub(crate) mod netlink;
pub(crate) mod coldplug;
#[cfg_attr(not(feature = "boot"), path = "../plain/recorder.rs")]
pub(crate) mod recorder;
pub(crate) mod requests;
#[cfg_attr(not(feature = "boot"), path = "../plain/dispatch.rs")]
pub(crate) mod dispatch;
