//! In the place of reason.rs in a build without modinfo: the error number has to say it all.

use crate::loading::kernel::Refusal;
use rustix::fd::OwnedFd;

/// Sees nothing.
pub(crate) struct KernelLog;

impl KernelLog {
    pub(crate) fn new() -> Self {
        KernelLog
    }

    /// Says nothing.
    pub(crate) fn explain(&self, _: Refusal, _: &[u8], _: &dyn Fn() -> Option<OwnedFd>) {}
}
