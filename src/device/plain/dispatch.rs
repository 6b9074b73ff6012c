// SPDX-License-Identifier: MIT OR Apache-2.0
//! The load loop of a loader without workers: one module after the other, in the plan's order. Repeated scans of /sys
//! find new devices.

use super::coldplug::{By, each_device};
use super::recorder::Recorder;
use super::requests::{BootKernel, Phase, PlanBuffers, Requests};
use crate::device::io::config_dirs::Names;
use crate::device::kernel::insert::Inserter;
use crate::device::modules::tree::{Modules, each_load_d};
use crate::device::rt::{Args, clock};
use crate::loading::options::{BootOptions, LOAD_LAST};
use crate::loading::plan::Plan;
use crate::loading::run::{OnFailure, run};
use crate::loading::wait::Left;
use crate::modules::config::lines;
use rustix::fd::AsFd;

/// Loads requested modules.
pub(crate) struct Dispatcher<'a> {
    kernel: BootKernel<'a>,
    pub(crate) requests: Requests,
}

impl<'a> Dispatcher<'a> {
    pub(crate) fn new(
        modules: &'a Modules,
        options: &BootOptions<'static>,
        buffers: &'static mut PlanBuffers,
        env: Args,
    ) -> Self {
        let plan = Plan::new(&mut buffers.steps, &mut buffers.visited, &mut buffers.matches);
        let recorder = Recorder::new(&mut buffers.record);
        Dispatcher {
            kernel: BootKernel { sys: Inserter::at(modules.tree.dir.as_fd(), env), frees: options.frees },
            requests: Requests::new(modules.resolver, plan, &mut buffers.seen, recorder),
        }
    }

    /// Loads the listed modules: those of the command line, then those of modules-load.d.
    pub(crate) fn request_listed(&mut self, names: &mut Names) {
        self.requests.first();
        each_load_d(names, &mut |file, text| {
            for name in lines(text) {
                self.requests.named(file, name.text);
            }
            Ok(())
        });
        self.load();
    }

    /// Loads the modules of the devices that are there now; if nothing is new, waits `wait_ms`. Returns what was left
    /// to do.
    pub(crate) fn turn(&mut self, wait_ms: u64) -> Left {
        let step_count = self.requests.plan.steps.len();
        each_device(&mut |device, dir| {
            if let Some(modalias) = device.get(b"MODALIAS") {
                self.requests.modalias(modalias, By::Device(dir));
            }
        });
        if self.requests.plan.steps.len() > step_count {
            self.load();
            return Left::Work;
        }
        if core::mem::replace(&mut self.requests.phase, Phase::Last) == Phase::Last {
            clock::sleep_ms(wait_ms);
            return Left::Nothing;
        }
        self.requests.listed(LOAD_LAST);
        self.load();
        Left::Work
    }

    /// Whether each listed module is loaded or has failed: always, as [`Dispatcher::request_listed`] loads them.
    pub(crate) fn is_listed_done(&self) -> bool {
        true
    }

    /// Returns whether block devices may have changed since the last call: always, as nothing reports changes.
    pub(crate) fn take_block_news(&mut self) -> bool {
        true
    }

    /// Whether loading ends once the root is mounted: never, the modules of all devices are loaded.
    pub(crate) fn ends_at_root(&self) -> bool {
        false
    }

    /// Has nothing to end.
    pub(crate) fn finish(&mut self) {}

    fn load(&mut self) {
        let start_us = clock::now_us();
        let Requests { plan, resolver, .. } = &mut self.requests;
        let tally = run(plan.steps, resolver, None, OnFailure::GoOn, &mut self.kernel);
        if tally.loaded > 0 {
            self.requests.last_ms = clock::now_ms();
            self.requests.kernel_us = self.requests.kernel_us.saturating_add(clock::now_us().saturating_sub(start_us));
        }
        self.requests.loaded = self.requests.loaded.saturating_add(tally.loaded.into());
    }
}
