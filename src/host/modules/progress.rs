// SPDX-License-Identifier: MIT OR Apache-2.0
//! A progress bar for a scan that takes longer than a second, on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Once;
use std::time::{Duration, Instant};

/// Time before the bar appears, so that a short scan shows none.
const DELAY: Duration = Duration::from_secs(1);

/// Progress through a number of modules; the bar goes away when this is dropped.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    begun: Instant,
    shown: Once,
}

impl Progress {
    /// Starts a hidden bar for `count` modules.
    pub fn new(count: usize) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len}").expect("the template is well formed");
        Progress {
            bar: bar.with_style(style).with_message("reading modules"),
            begun: Instant::now(),
            shown: Once::new(),
        }
    }

    /// Counts one module.
    pub(super) fn step(&self) {
        self.bar.inc(1);
        if self.begun.elapsed() > DELAY {
            // indicatif itself hides the bar if stderr is not a terminal
            self.shown.call_once(|| self.bar.set_draw_target(ProgressDrawTarget::stderr()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
