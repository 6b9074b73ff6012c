//! In the place of `record`, in a build without it: nothing is written down.

use super::coldplug::By;
use super::room::RecordRoom;
use crate::load::Outcome;
use crate::plan::Step;
use crate::record::Summary;

/// Keeps nothing.
pub(super) struct Recorder;

impl Recorder {
    pub(super) fn new(_: &'static mut RecordRoom) -> Recorder {
        Recorder
    }

    pub(super) fn asked(&mut self, _: usize, _: &[u8], _: By<'_>) {}

    #[cfg_attr(not(feature = "parallel"), allow(dead_code, reason = "who loads in order takes out none"))]
    pub(super) fn retire(&mut self, _: usize) {}

    #[cfg_attr(not(feature = "parallel"), allow(dead_code, reason = "who loads in order has no answers"))]
    pub(super) fn done<Answer>(&self, _: usize, _: &Step<'_>, _: Outcome<'_>, _: Option<&Answer>) {}

    pub(super) fn sum_up(&self, _: &Summary) {}
}
