//! In the place of `record`, in a build without it: nothing is written down.

use super::coldplug::By;
use crate::device::buffers::RecordRoom;
use crate::loading::kernel::Outcome;
use crate::loading::plan::Step;
use crate::loading::record::Summary;

/// Keeps nothing.
pub(crate) struct Recorder;

impl Recorder {
    pub(crate) fn new(_: &'static mut RecordRoom) -> Recorder {
        Recorder
    }

    pub(crate) fn asked(&mut self, _: usize, _: &[u8], _: By<'_>) {}

    #[cfg_attr(not(feature = "parallel"), allow(dead_code, reason = "who loads in order takes out none"))]
    pub(crate) fn retire(&mut self, _: usize) {}

    #[cfg_attr(not(feature = "parallel"), allow(dead_code, reason = "who loads in order has no answers"))]
    pub(crate) fn done<Answer>(&self, _: usize, _: &Step<'_>, _: Outcome<'_>, _: Option<&Answer>) {}

    pub(crate) fn sum_up(&self, _: &Summary) {}
}
