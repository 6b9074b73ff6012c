// SPDX-License-Identifier: MIT OR Apache-2.0
//! The watch over a worker: notices that it is at one step for long, and decides when to report it and when to give it up.
//! Has no clock and calls no kernel.
//!
//! ```text
//! begins -> 5 s in which no other ended: Report -> the limit: GiveUp
//! ```

/// Time after which a step is slow, and is reported so: nothing but the steps that need it waits for it, ms. It runs anew
/// when another step ends: on a slow machine all modules take long, and none of them hangs.
const SLOW_MS: u64 = 5000;

/// Action that a worker requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Report that its step is slow.
    Report,
    /// Kill it and do without it: its step has failed.
    GiveUp,
}

/// The step of one worker, and since when it is at it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// The step's number; 0 for none.
    step: u32,
    since_ms: u64,
    /// Whether it was reported.
    pub is_slow: bool,
}

impl Watch {
    /// Notes the number of the step that the worker is at, 0 for none, and returns what to do about it. `quiet_ms` is the
    /// time since a step of any worker ended, `limit_ms` the longest time for a step; 0 for no limit.
    pub fn saw(&mut self, step: u32, now_ms: u64, quiet_ms: u64, limit_ms: u64) -> Option<Alarm> {
        if step != self.step {
            *self = Watch { step, since_ms: now_ms, is_slow: false };
        }
        let spent_ms = now_ms.saturating_sub(self.since_ms);
        if step == 0 {
            None
        } else if limit_ms != 0 && spent_ms >= limit_ms {
            Some(Alarm::GiveUp)
        } else if !self.is_slow && spent_ms.min(quiet_ms) >= SLOW_MS {
            self.is_slow = true;
            Some(Alarm::Report)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Watches a worker that is at the steps given, each from a time on, ms, and returns what happened when.
    fn watch(limit_ms: u64, until_ms: u64, steps: &[(u64, u32)]) -> std::vec::Vec<(u64, Alarm)> {
        let mut watch = Watch::default();
        let times = (0..=until_ms).step_by(100);
        let alarm = |now_ms| {
            let step = steps.iter().rev().find(|(from_ms, _)| *from_ms <= now_ms).map_or(0, |(_, step)| *step);
            watch.saw(step, now_ms, u64::MAX, limit_ms).map(|alarm| (now_ms, alarm))
        };
        times.filter_map(alarm).collect()
    }

    #[test]
    fn a_slow_step_is_reported_once_and_given_up_at_the_limit() {
        assert_eq!(watch(60_000, 61_000, &[(1000, 7)]), [(6000, Alarm::Report), (61_000, Alarm::GiveUp)]);
    }

    #[test]
    fn each_step_has_its_own_time() {
        assert_eq!(watch(6000, 60_000, &[(0, 1), (4900, 2), (9800, 0), (20_000, 3), (24_900, 0)]), []);
    }

    #[test]
    fn only_a_reported_step_is_slow() {
        let mut watch = Watch::default();
        assert_eq!(watch.saw(1, 0, 0, 6000), None);
        assert!(!watch.is_slow);
        assert_eq!(watch.saw(1, 5000, 5000, 6000), Some(Alarm::Report));
        assert!(watch.is_slow);
        assert_eq!(watch.saw(2, 5100, 100, 6000), None);
        assert!(!watch.is_slow);
        assert_eq!(watch.saw(2, 8100, 3100, 3000), Some(Alarm::GiveUp), "a limit below 5 s: no report");
    }

    #[test]
    fn a_step_is_not_slow_while_others_end() {
        let mut watch = Watch::default();
        assert_eq!(watch.saw(1, 0, 0, 60_000), None);
        assert_eq!(watch.saw(1, 30_000, 4900, 60_000), None);
        assert_eq!(watch.saw(1, 30_100, 5000, 60_000), Some(Alarm::Report));
        assert_eq!(watch.saw(1, 60_000, 100, 60_000), Some(Alarm::GiveUp), "the limit counts from its own start");
    }

    #[test]
    fn without_a_limit_it_is_only_reported() {
        assert_eq!(watch(0, 700_000, &[(0, 1)]), [(5000, Alarm::Report)]);
    }
}
