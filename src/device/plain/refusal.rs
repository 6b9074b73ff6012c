// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stands in for applets/refusal.rs without the feature `modinfo`: the error number is all that is reported.

use crate::loading::kernel::Refusal;
use rustix::fd::OwnedFd;

/// The kernel's log, which is not read.
pub(crate) struct KernelLog;

impl KernelLog {
    pub(crate) fn new() -> Self {
        KernelLog
    }

    /// Reports nothing.
    pub(crate) fn explain(&self, _: Refusal, _: &[u8], _: &dyn Fn() -> Option<OwnedFd>) {}
}
