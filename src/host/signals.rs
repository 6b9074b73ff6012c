// SPDX-License-Identifier: MIT OR Apache-2.0
//! Defers SIGINT, SIGTERM and SIGHUP while a temporary file or directory has a name, so that they leave none behind.
//!
//! A [`Hold`] lasts from the creation of the name to its rename or removal. For a file that is two system calls, as it gets
//! a name only after its content; for a set of indexes or a new tree it is the whole change. A deferred signal ends the
//! process when the last hold is dropped. A signal that the parent ignores, like nohup, stays ignored.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

struct State {
    /// Whether the signals have their default action, as nothing holds them.
    is_default: Arc<AtomicBool>,
    /// The last deferred signal; 0 is none.
    pending: Arc<AtomicUsize>,
    holds: AtomicUsize,
}

static STATE: OnceLock<State> = OnceLock::new();

/// Defers the signals until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold(());

/// Defers the signals until the returned value is dropped.
pub(crate) fn hold() -> Hold {
    let state = STATE.get_or_init(State::register);
    state.holds.fetch_add(1, Ordering::SeqCst);
    state.is_default.store(false, Ordering::SeqCst);
    Hold(())
}

impl Hold {
    /// Whether a signal is deferred. Long work then stops and removes its temporary files.
    pub(crate) fn is_ending(&self) -> bool {
        STATE.get().is_some_and(|state| state.pending.load(Ordering::SeqCst) != 0)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(state) = STATE.get() else { return };
        if state.holds.fetch_sub(1, Ordering::SeqCst) == 1 {
            state.is_default.store(true, Ordering::SeqCst);
            let signal = state.pending.load(Ordering::SeqCst);
            if signal != 0 {
                _ = low_level::emulate_default_handler(i32::try_from(signal).unwrap_or(SIGTERM));
            }
        }
    }
}

impl State {
    fn register() -> State {
        let (is_default, pending) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let ignored = ignored();
        for signal in SIGNALS.into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0) {
            // If registering fails, the signal ends the process at once, like without this module.
            _ = flag::register_conditional_default(signal, Arc::clone(&is_default));
            _ = flag::register_usize(signal, Arc::clone(&pending), signal.unsigned_abs() as usize);
        }
        State { is_default, pending, holds: AtomicUsize::new(0) }
    }
}

/// Returns the mask of the signals that the process ignores, bit 0 for signal 1. Source: proc_pid_status(5).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
