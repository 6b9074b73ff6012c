//! The boot's load loop: requests, workers, coldplug, events and the flight recorder.

#[cfg(feature = "parallel")]
pub(crate) mod workers;
#[cfg(feature = "parallel")]
pub(crate) mod netlink;
pub(crate) mod coldplug;
#[cfg_attr(not(feature = "record"), path = "../plain/recorder.rs")]
pub(crate) mod recorder;
pub(crate) mod requests;
#[cfg_attr(not(feature = "parallel"), path = "../plain/dispatch.rs")]
pub(crate) mod dispatch;
