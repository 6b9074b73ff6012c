//! A progress bar for a scan that takes longer than a second, on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Once;
use std::time::{Duration, Instant};

/// What shows nothing for as long.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Progress {
    bar: ProgressBar,
    begun: Instant,
    shown: Once,
}

impl Progress {
    pub(super) fn new(count: usize) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len}").expect("the template is well formed");
        Progress {
            bar: bar.with_style(style).with_message("reading modules"),
            begun: Instant::now(),
            shown: Once::new(),
        }
    }

    /// Counts a module as done.
    pub(super) fn step(&self) {
        self.bar.inc(1);
        if self.begun.elapsed() > PATIENCE {
            // stderr's draw target is itself hidden where stderr is no terminal
            self.shown.call_once(|| self.bar.set_draw_target(ProgressDrawTarget::stderr()));
        }
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
