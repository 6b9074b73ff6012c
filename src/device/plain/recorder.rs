// SPDX-License-Identifier: MIT OR Apache-2.0
//! The flight recorder of a plain loader, which records nothing.

use super::coldplug::By;
use crate::loading::record::Summary;

/// No buffers.
pub(crate) struct RecordBuffers;

impl RecordBuffers {
    pub(crate) const EMPTY: RecordBuffers = RecordBuffers;
}

/// Records nothing.
pub(crate) struct Recorder;

impl Recorder {
    pub(crate) fn new(_: &'static mut RecordBuffers) -> Recorder {
        Recorder
    }

    pub(crate) fn asked(&mut self, _: usize, _: &[u8], _: By<'_>) {}

    pub(crate) fn sum_up(&self, _: &Summary) {}
}
