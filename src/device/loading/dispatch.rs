//! The two lanes of a boot: the modules that lead to the root, by name and in their order, and behind them those that
//! the devices ask for, the ones that are there and the ones that come up. All are steps of one plan, in which the first
//! lane's stand first; the [`Schedule`] says which may go, the [`Pool`] takes them to the kernel.

use super::coldplug::By;
use super::netlink::{Heard, MESSAGE_LEN, Uevents};
use super::recorder::Recorder;
use super::requests::{Asks, BootKernel};
use super::workers::{Answer, Errand, OUT_COUNT, Pool};
use crate::device::buffers::PlanRoom;
use crate::device::io::file::open;
use crate::device::io::mmap::map;
use crate::device::kernel::insert::Sys;
use crate::device::modules::tree::Tree;
use crate::device::rt::{Args, clock};
use crate::loading::kernel::{Errno, Kernel, Outcome, Refusal};
use crate::loading::options::{BootOptions, Coldplug, LOAD_LAST};
use crate::loading::plan::{Need, Plan, are_in};
use crate::loading::run::{OPTIONS_LEN, prepare};
use crate::loading::schedule::Schedule;
use crate::modules::config::lines;
use crate::modules::name::stem;
use crate::modules::resolve::Resolver;
use crate::modules::uevent::Uevent;
use core::mem::MaybeUninit;
use rustix::fs::CWD;

/// Loads what is asked for, and remembers what was.
pub(crate) struct Lanes<'a> {
    pub(crate) kernel: BootKernel<'a>,
    pub(crate) asks: Asks,
    schedule: Schedule<'static>,
    pool: Pool,
    uevents: Option<Uevents>,
    coldplug: Coldplug,
    /// /sys has to be looked through.
    scan_due: bool,
    /// Something was loaded since it was.
    loaded_since_scan: bool,
    /// How many of the plan's steps are the first lane's.
    first_lane: usize,
    /// How many steps were taken out of the plan. Workers know a step by its number counted from the first of all.
    retired_count: usize,
    /// One of these was required, and is not in.
    fell_short: bool,
    /// A block device came, went or changed, or may have, since [`Lanes::block_news`] was asked.
    block_news: bool,
    /// How many modules failed that were to be loaded, other than for want of their hardware.
    pub(crate) failed_count: u32,
    /// Until when time with the kernel is counted.
    counted_us: u32,
}

impl<'a> Lanes<'a> {
    /// Reads /etc/initmod/serial.conf, listens to the kernel, and starts workers.
    #[inline(never)] // smaller so
    pub(crate) fn new(
        tree: &'a Tree,
        resolver: Resolver<'static>,
        options: &BootOptions<'static>,
        room: &'static mut PlanRoom,
        env: Args,
    ) -> Self {
        let jobs = match (options.serial, options.jobs) {
            (b"1", _) | (_, Some(0 | 1)) => 0,
            (_, Some(jobs)) => jobs,
            // A module that waits, for its hardware or for the kernel, does so beside another. More than eight gain little, as
            // the kernel has locks of its own, and take 50 kB each.
            (_, None) => {
                rustix::thread::sched_getaffinity(None).map_or(2, |cpus| cpus.count().saturating_mul(2).min(8))
            }
        };
        let sys = Sys::new(tree, env);
        let pool = Pool::start(jobs, &sys);
        let serial = if pool.is_direct() { b"1" } else { options.serial };
        // None, usually.
        let marked = open(CWD, b"/etc/initmod/serial.conf").and_then(|file| map(&file)).unwrap_or_default();
        Lanes {
            kernel: BootKernel { sys, frees: options.frees },
            asks: Asks::new(
                resolver,
                Plan::new(&mut room.steps, &mut room.visited, &mut room.matches).remembering(&mut room.past),
                &mut room.seen,
                Recorder::new(&mut room.record),
            ),
            schedule: Schedule::new(&mut room.edges, &mut room.firsts, serial, marked),
            pool,
            uevents: Uevents::open(),
            coldplug: options.coldplug,
            scan_due: options.coldplug != Coldplug::None,
            loaded_since_scan: false,
            first_lane: 0,
            retired_count: 0,
            fell_short: false,
            block_news: true,
            failed_count: 0,
            counted_us: clock::now_us() as u32,
        }
    }

    /// Releases the modules of `rd.driver.post=`, for a command that loads what it is given.
    pub(crate) fn release_post(&mut self) {
        self.asks.is_post = true;
    }

    /// Puts the first lane into the plan.
    #[inline(never)] // smaller so
    pub(crate) fn ask_first(&mut self) {
        self.asks.first();
        crate::device::modules::tree::each_load_d(&mut |file, text| {
            for name in lines(text) {
                self.make_room(false);
                self.asks.named(file, name.text);
            }
            Ok(())
        });
        self.first_lane = self.asks.plan.steps.len();
    }

    /// Loads while so much of the plan is open that more of it can wait: so it takes the same memory whatever all amounts
    /// to. Who `yields` ends it at news of block devices. Returns whether there is room.
    pub(crate) fn make_room(&mut self, yields: bool) -> bool {
        loop {
            let is_crowded = self.schedule.open_count(self.asks.plan.steps) >= OPEN_COUNT;
            if !is_crowded || yields && self.block_news {
                return !is_crowded;
            }
            self.feed();
            if !self.schedule.is_idle() {
                self.wait(BUSY_MS);
            }
            self.hear();
        }
    }

    /// Gives the workers what may go; returns whether there was something.
    #[inline(never)] // smaller so
    fn feed(&mut self) -> bool {
        let done_count = self.schedule.done_count();
        if done_count >= DONE_COUNT {
            self.fell_short |= !self.asks.plan.retire(done_count);
            self.asks.recorder.retire(done_count);
            self.schedule.retired();
            self.first_lane = self.first_lane.saturating_sub(done_count);
            self.retired_count = self.retired_count.wrapping_add(done_count);
        }
        self.schedule.extend(self.asks.plan.steps, &self.asks.resolver);
        let mut is_busy = false;
        while self.pool.has_room() {
            // What waits for a worker must not be in the way to the root.
            let may_wait_too = self.pool.is_free() || self.first_lane_is_done();
            let end = if may_wait_too { self.asks.plan.steps.len() } else { self.first_lane };
            let steps = self.asks.plan.steps.get_mut(..end).unwrap_or_default();
            let Some(at) = self.schedule.next(steps) else { break };
            self.start(at);
            is_busy = true;
            if self.pool.is_direct() {
                break;
            }
        }
        is_busy
    }

    /// Does what there is to do now, and waits, at most `wait_ms`, for something to happen. Returns whether nothing was
    /// left to do.
    #[inline(never)] // smaller so
    pub(crate) fn turn(&mut self, wait_ms: u64) -> bool {
        self.hear();
        let is_busy = self.feed();
        if self.scan_due && !(is_busy && self.pool.is_direct()) {
            // While the workers are at the first lane.
            let step_count = self.step_count();
            self.scan();
            if self.step_count() != step_count {
                return false;
            }
        }
        if self.schedule.is_idle() && !is_busy {
            if !self.asks.is_post {
                self.asks.is_post = true;
                self.asks.listed(LOAD_LAST);
                return false;
            }
            let step_count = self.step_count();
            if self.uevents.is_none() && self.coldplug != Coldplug::None {
                // Nothing tells of new devices but a look.
                if !self.loaded_since_scan {
                    self.wait(wait_ms);
                }
                self.scan();
                self.block_news = true;
            } else {
                self.wait(wait_ms);
                self.hear();
            }
            return self.step_count() == step_count && !self.scan_due;
        }
        if !self.schedule.is_idle() {
            // A worker may never come back from the kernel: whoever waits for the root gets a turn.
            self.wait(BUSY_MS);
        }
        false
    }

    /// Returns how many steps there were, those included that were taken out.
    fn step_count(&self) -> usize {
        self.retired_count.wrapping_add(self.asks.plan.steps.len())
    }

    fn wait(&mut self, wait_ms: u64) {
        let mut answers = heapless::Vec::<Answer, OUT_COUNT>::new();
        let socket = self.uevents.as_ref().map(Uevents::fd);
        self.pool.wait(&self.kernel.sys, socket, wait_ms, &mut |answer| drop(answers.push(answer)));
        for answer in answers {
            self.answered(answer);
        }
    }

    /// Says whether all that was required is in.
    pub(crate) fn is_in(&self) -> bool {
        !self.fell_short && are_in(self.asks.plan.steps)
    }

    /// Says whether the modules of the first lane are in, or will not be.
    pub(crate) fn first_lane_is_done(&self) -> bool {
        use crate::loading::plan::StepState::{Failed, In, Retry};
        let mut open = self.asks.plan.steps.iter().take(self.first_lane).skip(self.schedule.done_count());
        open.all(|step| matches!(step.state, In | Failed | Retry))
    }

    /// Says whether block devices may have changed since this was asked last.
    pub(crate) fn block_news(&mut self) -> bool {
        core::mem::take(&mut self.block_news)
    }

    /// Whether loading ends once the root is mounted.
    pub(crate) fn ends_at_root(&self) -> bool {
        self.coldplug == Coldplug::Root
    }

    /// Waits for the modules that are with the kernel, and lets the workers end.
    #[inline(never)] // smaller so
    pub(crate) fn finish(&mut self) {
        let start_ms = clock::now_ms();
        while !self.schedule.is_idle() && clock::now_ms().saturating_sub(start_ms) < STUCK_MS {
            self.wait(BUSY_MS);
        }
        self.pool.stop();
    }

    #[inline(never)] // smaller so
    fn start(&mut self, at: usize) {
        let Some((earlier, [step, ..])) = self.asks.plan.steps.split_at_checked(at) else { return };
        let mut options = heapless::Vec::<u8, OPTIONS_LEN>::new();
        let job = match prepare(step, earlier, &self.asks.resolver, None, &mut options, &mut self.kernel) {
            Ok(job) if self.asks.resolver.config.cmdline_lists(b"module_blacklist", &job.name) => {
                return self.done(at, Outcome::Refused(Refusal::Kernel(Errno::EPERM)), None);
            }
            Ok(job) => job,
            Err(outcome) => return self.done(at, outcome, None),
        };
        if let Some(dep) = step.deps().rev().find(|dep| self.asks.plan.has_failed(dep)) {
            return self.done(at, Outcome::Needs(dep), None);
        }
        let errand = Errand {
            is_command: job.command.is_some(),
            text: job.command.unwrap_or(step.path()),
            name: &job.name,
            options: &options,
        };
        let number = self.retired_count.wrapping_add(at);
        if let Some(answer) = self.pool.submit(&self.kernel.sys, number, &errand) {
            self.answered(answer);
        }
    }

    fn answered(&mut self, answer: Answer) {
        let end_us = answer.start_us.wrapping_add(answer.took_us);
        // Of what ran side by side only what is not counted yet. A worker that died has no times.
        let uncounted_us = end_us.wrapping_sub(self.counted_us);
        if answer.took_us > 0 && uncounted_us < u32::MAX / 2 {
            self.asks.kernel_us = self.asks.kernel_us.saturating_add(answer.took_us.min(uncounted_us).into());
            self.counted_us = end_us;
        }
        self.done(answer.at.wrapping_sub(self.retired_count), Outcome::of(answer.result), Some(&answer));
    }

    fn done(&mut self, at: usize, outcome: Outcome<'static>, answer: Option<&Answer>) {
        let is_final = self.schedule.done(self.asks.plan.steps, at, outcome);
        let Some(step) = self.asks.plan.steps.get(at) else { return };
        if outcome == Outcome::Loaded {
            self.loaded_since_scan = true;
            self.asks.loaded = self.asks.loaded.saturating_add(1);
            self.asks.last_ms = clock::now_ms();
        }
        if !is_final {
            return;
        }
        self.asks.recorder.done(at, step, outcome, answer);
        let is_barred = outcome == Outcome::Refused(Refusal::Kernel(Errno::EPERM))
            && self.asks.resolver.config.cmdline_lists(b"module_blacklist", stem(step.path()));
        if !is_barred {
            let is_amiss = !outcome.is_in() && outcome != Outcome::Refused(Refusal::Kernel(Errno::ENODEV));
            self.failed_count = self.failed_count.saturating_add((is_amiss && step.need == Need::Required).into());
            self.kernel.told(step, outcome);
        }
    }

    /// Asks for the modules of all devices that are there.
    fn scan(&mut self) {
        self.scan_due = false;
        self.loaded_since_scan = false;
        let news_before = core::mem::take(&mut self.block_news);
        super::coldplug::each_device(&mut |device, dir| {
            // It may be the root that has come up: who waits for it gets a turn, and all devices are gone through again.
            if self.uevents.is_none() || self.make_room(true) {
                self.ask_device(device, By::Device(dir));
            } else {
                self.scan_due = true;
            }
        });
        self.block_news |= news_before;
    }

    /// Asks for the modules of the devices that the kernel has told of.
    fn hear(&mut self) {
        let mut buf = [MaybeUninit::uninit(); MESSAGE_LEN];
        let Some(uevents) = self.uevents.take() else { return };
        loop {
            match uevents.next(&mut buf) {
                Heard::Nothing => break,
                Heard::Overrun => (self.scan_due, self.block_news) = (self.coldplug != Coldplug::None, true),
                Heard::Message(text) => {
                    let device = Uevent::message(text);
                    self.block_news |= device.get(b"SUBSYSTEM") == Some(b"block");
                    if self.coldplug != Coldplug::None && device.get(b"ACTION") != Some(b"remove") {
                        self.ask_device(device, By::Path(device.get(b"DEVPATH").unwrap_or_default()));
                    }
                }
            }
        }
        self.uevents = Some(uevents);
    }

    /// Asks for the modules of a device.
    fn ask_device(&mut self, device: Uevent<'_>, by: By<'_>) {
        let Some(modalias) = device.get(b"MODALIAS") else { return };
        // SPI devices have aliases of their bus only, and drivers that know them by the device tree's name alone.
        if !self.asks.modalias(modalias, by) && modalias.starts_with(b"spi:") {
            let mut of_alias = heapless::Vec::<u8, 512>::new();
            let mut number = 0;
            while device.of_modalias(number, &mut of_alias) == Ok(true) && !self.asks.ask(&of_alias, by) {
                number = number.saturating_add(1);
            }
        }
    }
}

/// From how many steps on that are not done more can wait to be asked for: enough for all workers, and then some.
const OPEN_COUNT: usize = 48;

/// How many steps that are done are taken out of the plan at a time.
const DONE_COUNT: usize = 32;

/// How long a turn waits while workers are busy, ms.
const BUSY_MS: u64 = 100;

/// How long the switch to the root waits for modules that are still with the kernel, ms.
const STUCK_MS: u64 = 10_000;
