// SPDX-License-Identifier: MIT OR Apache-2.0
//! The time since the machine started, and sleeping.

use super::raw::uptime;
use rustix::thread::{Timespec, nanosleep};

pub(crate) fn now_us() -> u64 {
    let (seconds, nanos) = uptime();
    u64::from(seconds).saturating_mul(1_000_000).saturating_add(u64::from(nanos) / 1000)
}

/// Returns the low 32 bits of a time, for differences: they wrap after 71 minutes.
#[cfg(feature = "boot")]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
pub(crate) fn stamp(time_us: u64) -> u32 {
    time_us as u32
}

/// Returns [`stamp`] of now.
#[cfg(feature = "boot")]
pub(crate) fn stamp_us() -> u32 {
    stamp(now_us())
}

pub(crate) fn now_ms() -> u64 {
    now_us() / 1000
}

pub(crate) fn sleep_ms(duration_ms: u64) {
    let (seconds, rest_ms) = ((duration_ms / 1000) as i64, (duration_ms % 1000) as i64);
    // A signal may cut it short: no caller needs the exact time.
    let _ = nanosleep(&Timespec { tv_sec: seconds, tv_nsec: rest_ms.saturating_mul(1_000_000) as _ });
}
