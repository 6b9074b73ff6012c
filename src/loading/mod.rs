// SPDX-License-Identifier: MIT OR Apache-2.0
//! From module names to calls of the kernel: plan, schedule, load and unload, with the kernel behind a trait.

pub mod step;
pub mod kernel;
pub mod plan;
pub mod schedule;
pub mod run;
pub mod unload;
pub mod record;
pub mod wait;
#[cfg(any(test, not(feature = "device"), feature = "boot"))]
pub mod watch;
pub mod options;
