//! In the place of `lanes`, in a build without workers: one module after the other, in the order of the plan, and /sys
//! looked through again for the devices that come up.

use super::coldplug::By;
use super::recorder::Recorder;
use super::requests::{Asks, BootKernel};
use crate::device::buffers::PlanRoom;
use crate::device::kernel::insert::Sys;
use crate::device::modules::tree::Tree;
use crate::device::rt::Args;
use crate::device::rt::clock;
use crate::loading::options::{BootOptions, LOAD_LAST};
use crate::loading::plan::Plan;
use crate::loading::run::{OnFailure, run};
use crate::modules::config::lines;
use crate::modules::resolve::Resolver;

/// Loads what is asked for, and remembers what was.
pub(crate) struct Lanes<'a> {
    pub(crate) kernel: BootKernel<'a>,
    pub(crate) asks: Asks,
}

impl<'a> Lanes<'a> {
    pub(crate) fn new(
        tree: &'a Tree,
        resolver: Resolver<'static>,
        options: &BootOptions<'static>,
        room: &'static mut PlanRoom,
        env: Args,
    ) -> Self {
        let plan = Plan::new(&mut room.steps, &mut room.visited, &mut room.matches);
        Lanes {
            kernel: BootKernel { sys: Sys::new(tree, env), frees: options.frees },
            asks: Asks::new(resolver, plan, &mut room.seen, Recorder::new(&mut room.record)),
        }
    }

    /// Loads what leads to the root.
    pub(crate) fn ask_first(&mut self) {
        self.asks.first();
        crate::device::modules::tree::each_load_d(&mut |file, text| {
            for name in lines(text) {
                self.asks.named(file, name.text);
            }
            Ok(())
        });
        self.load();
    }

    /// Loads what the devices ask for that are there now; where that was nothing new, waits `wait_ms`. Returns whether
    /// nothing was left to do.
    pub(crate) fn turn(&mut self, wait_ms: u64) -> bool {
        let step_count = self.asks.plan.steps.len();
        super::coldplug::each_device(&mut |device, dir| {
            if let Some(modalias) = device.get(b"MODALIAS") {
                self.asks.modalias(modalias, By::Device(dir));
            }
        });
        if self.asks.plan.steps.len() > step_count {
            self.load();
            return false;
        }
        if core::mem::replace(&mut self.asks.is_post, true) {
            clock::sleep_ms(wait_ms);
            return true;
        }
        self.asks.listed(LOAD_LAST);
        self.load();
        false
    }

    pub(crate) fn first_lane_is_done(&self) -> bool {
        true
    }

    /// Nothing tells of them but a look.
    pub(crate) fn block_news(&mut self) -> bool {
        true
    }

    /// Whether loading ends once the root is mounted: never, the devices' modules are loaded as well.
    pub(crate) fn ends_at_root(&self) -> bool {
        false
    }

    pub(crate) fn finish(&mut self) {}

    fn load(&mut self) {
        let start_us = clock::now_us();
        let Asks { plan, resolver, .. } = &mut self.asks;
        let tally = run(plan.steps, resolver, None, OnFailure::GoOn, &mut self.kernel);
        if tally.loaded > 0 {
            self.asks.last_ms = clock::now_ms();
            self.asks.kernel_us = self.asks.kernel_us.saturating_add(clock::now_us().saturating_sub(start_us));
        }
        self.asks.loaded = self.asks.loaded.saturating_add(tally.loaded.into());
    }
}
