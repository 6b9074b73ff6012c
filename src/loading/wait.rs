// SPDX-License-Identifier: MIT OR Apache-2.0
//! The wait for the root: decides what the boot does next, from what it has seen. Has no clock and calls no kernel.
//!
//! ```text
//! Load -> Look -> Mount -> Load ... -> Done
//!  |       |       `-> GiveUp: the root cannot be mounted
//!  |       `-> GiveUp: its device did not appear in time
//!  `-> GiveUp: the command line does not name it
//! ```

use super::kernel::Errno;

/// Idle time after which the boot reports that it is waiting, ms.
const REPORT_MS: u64 = 3000;

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Load modules for one turn, waiting for news if nothing is left to load; then [`Wait::turned`].
    Load,
    /// Look for the root device; then [`Wait::looked`].
    Look,
    /// Mount the root; then [`Wait::tried`].
    Mount,
    /// Report that the boot is waiting for the root device; then [`Action::Load`].
    Report,
    /// End the wait without a root.
    GiveUp(Why),
    /// End the wait: the root is mounted, and everything else is loaded or left to it.
    Done,
}

/// Work that is left after a turn of loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Modules to load, or news.
    Work,
    /// To wait for slow modules, which a mounted root does not do.
    Slow,
    /// Nothing, and nothing new has appeared.
    Nothing,
}

/// Why there is no root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The command line does not name it.
    Unnamed,
    /// Its device did not appear in this time, ms.
    Absent(u64),
    /// mount(2) failed.
    Unmountable(Errno),
}

/// The limits that the command line sets to a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whether there is a root to wait for. Without one the wait ends once nothing is left to load.
    pub is_named: bool,
    /// Idle time after which to give up, ms; [`FOREVER_MS`] for never.
    pub patience_ms: u64,
    /// Time since the start during which the root device is left alone, ms.
    pub delay_ms: u64,
    /// Whether the wait ends as soon as the root is mounted (`initmod.coldplug=root`).
    pub ends_at_root: bool,
}

/// The patience of `rootwait`, ms.
pub const FOREVER_MS: u64 = u64::MAX;

/// One wait for the root. Its first action is [`Action::Load`].
#[derive(Debug)]
pub struct Wait {
    limits: Limits,
    start_ms: u64,
    now_ms: u64,
    /// Since when nothing was left to load.
    idle_since_ms: Option<u64>,
    is_tried: bool,
    is_mounted: bool,
    is_reported: bool,
    /// The latest errno of a device that is not ready.
    not_ready: Option<Errno>,
}

impl Wait {
    /// Begins a wait. `start_ms` is when the boot began.
    pub fn new(limits: Limits, start_ms: u64) -> Wait {
        Wait {
            limits,
            start_ms,
            now_ms: start_ms,
            idle_since_ms: None,
            is_tried: false,
            is_mounted: false,
            is_reported: false,
            not_ready: None,
        }
    }

    /// Whether the root is mounted.
    pub fn is_mounted(&self) -> bool {
        self.is_mounted
    }

    /// Returns what to do after a turn of loading. `is_listed_done`: the listed modules are loaded or have failed; before
    /// that, unless only slow ones are left, the root device is left alone.
    pub fn turned(&mut self, now_ms: u64, left: Left, is_listed_done: bool) -> Action {
        self.now_ms = now_ms;
        let is_idle = left == Left::Nothing || left == Left::Slow && self.is_mounted;
        self.idle_since_ms = if is_idle { self.idle_since_ms.or(Some(now_ms)) } else { None };
        if !self.limits.is_named {
            return if is_idle { Action::GiveUp(Why::Unnamed) } else { Action::Load };
        }
        if self.is_mounted {
            return if is_idle { Action::Done } else { Action::Load };
        }
        if is_listed_done || left == Left::Slow { Action::Look } else { self.go_on() }
    }

    /// Returns what to do after a look for the root device. It is tried as soon as it is there, and again when
    /// everything that could help is loaded.
    pub fn looked(&mut self, is_there: bool) -> Action {
        let is_due = self.waited_ms() >= self.limits.delay_ms;
        if is_there && is_due && (self.is_idle() || !self.is_tried) {
            self.is_tried = true;
            return Action::Mount;
        }
        self.go_on()
    }

    /// Returns what to do after mount(2).
    pub fn tried(&mut self, result: Result<(), Errno>) -> Action {
        match result {
            Ok(()) => {
                self.is_mounted = true;
                if self.limits.ends_at_root {
                    return Action::Done;
                }
            }
            // The node exists, but the disk or its medium is not ready yet; or the server of an NFS root is not.
            Err(
                errno @ (Errno::ENXIO
                | Errno::ENOMEDIUM
                | Errno::ENETUNREACH
                | Errno::ETIMEDOUT
                | Errno::ECONNREFUSED
                | Errno::EHOSTUNREACH),
            ) => {
                self.not_ready = Some(errno);
                return self.go_on();
            }
            Err(errno) if self.is_idle() => return Action::GiveUp(Why::Unmountable(errno)),
            Err(_) => {}
        }
        Action::Load
    }

    /// Gives up, reports or goes on loading, by the time since nothing was left to load.
    fn go_on(&mut self) -> Action {
        let Some(since_ms) = self.idle_since_ms else { return Action::Load };
        let idle_ms = self.now_ms.saturating_sub(since_ms);
        if idle_ms >= self.limits.patience_ms.max(self.limits.delay_ms) {
            return Action::GiveUp(self.not_ready.map_or(Why::Absent(self.waited_ms()), Why::Unmountable));
        }
        if !self.is_reported && idle_ms >= REPORT_MS {
            self.is_reported = true;
            return Action::Report;
        }
        Action::Load
    }

    fn is_idle(&self) -> bool {
        self.idle_since_ms.is_some()
    }

    fn waited_ms(&self) -> u64 {
        self.now_ms.saturating_sub(self.start_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1000;
    const TURN_MS: u64 = 20;
    const NORMAL: Limits = Limits { is_named: true, patience_ms: 30_000, delay_ms: 0, ends_at_root: false };

    /// A machine: loads for a while, then is idle; its disk appears, becomes ready and can be mounted at set times.
    /// Times are ms since the start; `NEVER` for what does not happen.
    #[derive(Clone, Copy)]
    struct Machine {
        /// Until when the listed modules load, and all modules.
        listed_ms: u64,
        loading_ms: u64,
        /// From when on only a module that hangs is left, until `loading_ms`.
        stuck_ms: u64,
        disk_ms: u64,
        /// From when on mount(2) gives no more ENXIO, and no more EINVAL.
        ready_ms: u64,
        mountable_ms: u64,
    }

    const NEVER: u64 = u64::MAX;
    const QUICK: Machine =
        Machine { listed_ms: 100, loading_ms: 400, stuck_ms: NEVER, disk_ms: 200, ready_ms: 0, mountable_ms: 0 };

    #[derive(Debug, PartialEq)]
    struct Way {
        end: Action,
        end_ms: u64,
        mount_count: usize,
        report_count: usize,
    }

    fn run(limits: Limits, machine: Machine) -> Way {
        let mut wait = Wait::new(limits, START_MS);
        let (mut now_ms, mut action) = (0, Action::Load);
        let (mut mount_count, mut report_count) = (0, 0);
        loop {
            action = match action {
                Action::Load => {
                    now_ms += TURN_MS;
                    let left = match now_ms {
                        _ if now_ms >= machine.loading_ms => Left::Nothing,
                        _ if now_ms >= machine.stuck_ms => Left::Slow,
                        _ => Left::Work,
                    };
                    wait.turned(START_MS + now_ms, left, now_ms >= machine.listed_ms)
                }
                Action::Look => {
                    assert!(now_ms >= machine.listed_ms.min(machine.stuck_ms), "the listed modules come first");
                    wait.looked(now_ms >= machine.disk_ms)
                }
                Action::Mount => {
                    mount_count += 1;
                    wait.tried(match now_ms {
                        _ if now_ms < machine.ready_ms => Err(Errno::ENXIO),
                        _ if now_ms < machine.mountable_ms => Err(Errno::EINVAL),
                        _ => Ok(()),
                    })
                }
                Action::Report => {
                    report_count += 1;
                    Action::Load
                }
                end => return Way { end, end_ms: now_ms, mount_count, report_count },
            };
            if now_ms > 3_600_000 {
                return Way { end: Action::Load, end_ms: NEVER, mount_count, report_count };
            }
        }
    }

    #[test]
    fn every_way_through_the_wait() {
        let unmountable = |errno| Action::GiveUp(Why::Unmountable(errno));
        let absent = |ms| Action::GiveUp(Why::Absent(ms));
        let late = Machine { disk_ms: 10_000, ..QUICK };
        let never = Machine { disk_ms: NEVER, ..QUICK };
        let hung = Machine { stuck_ms: 5000, loading_ms: 60_000, ..QUICK };
        let no_tree = Machine { listed_ms: 0, loading_ms: 0, disk_ms: 0, ..QUICK };
        let with = |change: fn(&mut Limits)| {
            let mut limits = NORMAL;
            change(&mut limits);
            limits
        };
        for (name, limits, machine, end, end_ms, mount_count, report_count) in [
            ("there at once, and the rest is loaded", NORMAL, QUICK, Action::Done, 400, 1, 0),
            ("coldplug=root ends with the mount", with(|l| l.ends_at_root = true), QUICK, Action::Done, 200, 1, 0),
            ("late, and reported once", NORMAL, late, Action::Done, 10_020, 1, 1),
            ("never, 30 s after the last module", NORMAL, never, absent(30_400), 30_400, 0, 1),
            ("rootwait=5", with(|l| l.patience_ms = 5000), never, absent(5400), 5400, 0, 1),
            ("rootwait=0", with(|l| l.patience_ms = 0), never, absent(400), 400, 0, 0),
            ("rootwait waits for ever", with(|l| l.patience_ms = FOREVER_MS), never, Action::Load, NEVER, 0, 1),
            ("rootdelay leaves the device alone", with(|l| l.delay_ms = 2000), QUICK, Action::Done, 2020, 1, 0),
            (
                "rootdelay over rootwait",
                with(|l| (l.patience_ms, l.delay_ms) = (0, 2000)),
                never,
                absent(2400),
                2400,
                0,
                0,
            ),
            (
                "unmountable: tried at once and when all is loaded",
                NORMAL,
                Machine { mountable_ms: NEVER, ..QUICK },
                unmountable(Errno::EINVAL),
                400,
                2,
                0,
            ),
            ("mountable with the last module", NORMAL, Machine { mountable_ms: 400, ..QUICK }, Action::Done, 420, 2, 0),
            (
                "a disk that is not ready is tried again",
                NORMAL,
                Machine { ready_ms: 600, ..QUICK },
                Action::Done,
                620,
                12,
                0,
            ),
            (
                "a disk that is never ready is named as unmountable",
                with(|l| l.patience_ms = 1000),
                Machine { ready_ms: NEVER, ..QUICK },
                unmountable(Errno::ENXIO),
                1400,
                52,
                0,
            ),
            ("no module tree", NORMAL, no_tree, Action::Done, 40, 1, 0),
            (
                "no module tree, and no disk",
                NORMAL,
                Machine { disk_ms: NEVER, ..no_tree },
                absent(30_020),
                30_020,
                0,
                1,
            ),
            (
                "no root=, once all is loaded",
                with(|l| l.is_named = false),
                QUICK,
                Action::GiveUp(Why::Unnamed),
                400,
                0,
                0,
            ),
            ("a module that hangs, as the root does not", NORMAL, hung, Action::Done, 5000, 1, 0),
            ("a listed module that hangs", NORMAL, Machine { listed_ms: 60_000, ..hung }, Action::Done, 5020, 1, 0),
            (
                "a module that hangs on the way to the root: the patience begins when it is given up",
                NORMAL,
                Machine { disk_ms: NEVER, ..hung },
                absent(90_000),
                90_000,
                0,
                1,
            ),
            ("modules that keep coming", NORMAL, Machine { loading_ms: NEVER, ..never }, Action::Load, NEVER, 0, 0),
        ] {
            assert_eq!(run(limits, machine), Way { end, end_ms, mount_count, report_count }, "{name}");
        }
    }

    #[test]
    fn work_in_between_restarts_the_patience() {
        let mut wait = Wait::new(Limits { patience_ms: 1000, ..NORMAL }, 0);
        let mut turn = |now_ms, left| {
            assert_eq!(wait.turned(now_ms, left, true), Action::Look);
            wait.looked(false)
        };
        assert_eq!(turn(0, Left::Nothing), Action::Load);
        assert_eq!(turn(900, Left::Nothing), Action::Load);
        assert_eq!(turn(950, Left::Work), Action::Load);
        assert_eq!(turn(1000, Left::Nothing), Action::Load);
        assert_eq!(turn(1999, Left::Nothing), Action::Load);
        assert_eq!(turn(2000, Left::Nothing), Action::GiveUp(Why::Absent(2000)));
    }
}
