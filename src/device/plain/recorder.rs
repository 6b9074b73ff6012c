//! In the place of `record`, in a build without it: nothing is written down.

use super::coldplug::By;
use crate::device::buffers::RecordRoom;
use crate::loading::record::Summary;

/// Keeps nothing.
pub(crate) struct Recorder;

impl Recorder {
    pub(crate) fn new(_: &'static mut RecordRoom) -> Recorder {
        Recorder
    }

    pub(crate) fn asked(&mut self, _: usize, _: &[u8], _: By<'_>) {}

    pub(crate) fn sum_up(&self, _: &Summary) {}
}
