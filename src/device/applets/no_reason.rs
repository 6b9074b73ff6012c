//! In the place of reason.rs in a build without modinfo: the error number has to say it all.

use crate::load::Refusal;
use rustix::fd::OwnedFd;

/// Sees nothing.
pub(super) struct Witness;

impl Witness {
    pub(super) fn new() -> Self {
        Witness
    }

    /// Says nothing.
    pub(super) fn explain(&self, _: Refusal, _: &[u8], _: &dyn Fn() -> Option<OwnedFd>) {}
}
