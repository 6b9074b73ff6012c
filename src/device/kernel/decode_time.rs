// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures decompression in a child process, which reports it through a pipe.

use crate::device::rt::clock;
use rustix::fd::OwnedFd;
use rustix::pipe::{PipeFlags, pipe_with};

/// A running measurement.
pub(crate) struct DecodeTimer {
    start_us: u32,
    pipe: Option<(OwnedFd, OwnedFd)>,
}

impl DecodeTimer {
    /// Starts the measurement.
    pub(crate) fn start() -> DecodeTimer {
        DecodeTimer { start_us: clock::stamp_us(), pipe: pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok() }
    }

    /// Ends the measurement, in the child.
    pub(crate) fn end(&self) {
        let took_us = clock::stamp_us().wrapping_sub(self.start_us);
        if let Some((_, writer)) = &self.pipe {
            let _ = rustix::io::write(writer, &took_us.to_ne_bytes());
        }
    }

    /// Returns the time after the child's end, us; 0 if the child did not finish decompressing.
    pub(crate) fn took_us(self) -> u32 {
        let mut took_us = [0; 4];
        if let Some((reader, _)) = &self.pipe {
            let _ = rustix::io::read(reader, &mut took_us);
        }
        u32::from_ne_bytes(took_us)
    }
}
