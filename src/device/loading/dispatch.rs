// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot's load loop: the listed modules first, in their order, then those that devices request, the devices that are
//! there and those that appear. All are steps of one plan. The [`Schedule`] decides which may go next, the [`Workers`]
//! hand them to the kernel.

use super::coldplug::By;
use super::netlink::{Event, MESSAGE_LEN, Uevents};
use super::recorder::Recorder;
use super::requests::{BootKernel, Phase, PlanBuffers, Requests};
use super::workers::{Answer, Job, OUT_COUNT, Workers};
use crate::device::io::config_dirs::Names;
use crate::device::io::file::open;
use crate::device::io::log::{Level, line};
use crate::device::io::mmap::map;
use crate::device::kernel::insert::Inserter;
use crate::device::modules::tree::{Modules, each_load_d};
use crate::device::rt::{Args, clock};
use crate::loading::kernel::{Errno, Kernel, Outcome, Refusal};
use crate::loading::options::{BootOptions, Coldplug, LOAD_LAST};
use crate::loading::plan::Plan;
use crate::loading::run::{OPTIONS_LEN, prepare};
use crate::loading::schedule::Schedule;
use crate::loading::step::{Need, StepId, are_in};
use crate::loading::wait::Left;
use crate::modules::config::lines;
use crate::modules::name::stem;
use crate::modules::uevent::Uevent;
use core::mem::MaybeUninit;
use rustix::fd::AsFd;
use rustix::fs::CWD;
use rustix::thread::{CpuSet, sched_getaffinity};

/// Unfinished steps at which no more are requested: enough to keep all workers busy.
const OPEN_COUNT: usize = 48;

/// Finished steps that are retired from the plan at a time.
const DONE_COUNT: usize = 32;

/// Wait for an answer while workers are busy, ms. A worker may be stuck in the kernel, so the wait for the root goes on.
const BUSY_MS: u64 = 100;

/// Longest wait, before the switch to the root, for modules that the kernel is still loading, ms.
const STUCK_MS: u64 = 10_000;

/// Loads requested modules through the workers.
pub(crate) struct Dispatcher<'a> {
    kernel: BootKernel<'a>,
    pub(crate) requests: Requests,
    schedule: Schedule<'static>,
    workers: Workers,
    uevents: Option<Uevents>,
    coldplug: Coldplug,
    pending: Pending,
    /// The first step after those of the listed modules.
    listed_end: StepId,
    /// Whether a retired step was required and failed.
    has_retired_failure: bool,
    /// The number of required modules that failed, apart from those whose hardware is missing.
    pub(crate) failed_count: u32,
    /// The time up to which kernel time is counted, us.
    counted_us: u32,
    /// The longest time for a module, ms.
    limit_ms: u64,
}

/// Changes that are not looked into yet.
struct Pending {
    /// A scan of /sys/devices is due.
    scan: bool,
    /// A module was loaded since the last scan.
    loaded: bool,
    /// A block device may have appeared, changed or gone.
    block_news: bool,
}

impl<'a> Dispatcher<'a> {
    /// Reads /etc/initmod/serial.conf, opens the uevent socket and starts workers.
    #[inline(never)]
    pub(crate) fn new(
        modules: &'a Modules,
        options: &BootOptions<'static>,
        buffers: &'static mut PlanBuffers,
        env: Args,
    ) -> Self {
        let job_count = match (options.serial, options.jobs) {
            // A worker, too: PID 1 has to notice a module that hangs.
            (b"1", _) | (_, Some(0 | 1)) => 1,
            (_, Some(count)) => count,
            // Two per CPU: a module may wait for its hardware or for a lock. Above eight the kernel's own locks limit the
            // gain, and each worker takes 50 kB.
            (_, None) => sched_getaffinity(None)
                .map_or(2, |cpus| (0..CpuSet::MAX_CPU).filter(|cpu| cpus.is_set(*cpu)).take(4).map(|_| 2).sum()),
        };
        let sys = Inserter::at(modules.tree.dir.as_fd(), env);
        let workers = Workers::start(job_count, &sys);
        let serial = if workers.is_direct() || job_count == 1 { b"1" } else { options.serial };
        // Most images have no such file.
        let marked = open(CWD, b"/etc/initmod/serial.conf").and_then(|file| map(&file)).unwrap_or_default();
        Dispatcher {
            kernel: BootKernel { sys, frees: options.frees },
            requests: Requests::new(
                modules.resolver,
                Plan::new(&mut buffers.steps, &mut buffers.visited, &mut buffers.matches)
                    .scheduled(&mut buffers.soft_edges, &mut buffers.retired),
                &mut buffers.seen,
                Recorder::new(&mut buffers.record),
            ),
            schedule: Schedule::new(&mut buffers.edges, &mut buffers.firsts, serial, marked),
            workers,
            uevents: Uevents::open(),
            coldplug: options.coldplug,
            pending: Pending { scan: options.coldplug != Coldplug::None, loaded: false, block_news: true },
            listed_end: StepId::default(),
            has_retired_failure: false,
            failed_count: 0,
            counted_us: clock::stamp_us(),
            limit_ms: options.limit_ms,
        }
    }

    /// Releases the modules of `rd.driver.post=`, for a command that loads the modules it is given.
    pub(crate) fn release_post(&mut self) {
        self.requests.phase = Phase::Last;
    }

    /// Requests the listed modules: those of the command line, then those of modules-load.d.
    #[inline(never)]
    pub(crate) fn request_listed(&mut self, names: &mut Names) {
        self.requests.first();
        each_load_d(names, &mut |file, text| {
            for name in lines(text) {
                self.drain(false);
                self.requests.named(file, name.text);
            }
            Ok(())
        });
        self.listed_end = self.requests.plan.end();
    }

    /// Loads until fewer than `OPEN_COUNT` steps are unfinished, so that memory does not grow with the number of modules.
    /// With `yields`, ends early at news of block devices. Returns whether more may be requested.
    pub(crate) fn drain(&mut self, yields: bool) -> bool {
        loop {
            let is_full = self.schedule.open_count(&self.requests.plan) >= OPEN_COUNT;
            let is_stuck = !self.schedule.is_idle() && self.workers.is_rest_slow();
            if !is_full || is_stuck || yields && self.pending.block_news {
                return !is_full || is_stuck;
            }
            self.feed();
            if !self.schedule.is_idle() {
                self.wait(BUSY_MS);
            }
            self.read_events();
        }
    }

    /// Hands the workers the steps that may go. Returns whether there were any.
    #[inline(never)]
    fn feed(&mut self) -> bool {
        let done_count = self.schedule.done_count(&self.requests.plan);
        if done_count >= DONE_COUNT {
            self.has_retired_failure |= !self.schedule.retire(&mut self.requests.plan);
            self.requests.recorder.retire(done_count);
        }
        self.schedule.extend(&self.requests.plan);
        let mut is_busy = false;
        while self.workers.can_queue() {
            // A module that queues for a worker must not delay the listed ones.
            let may_queue_all = self.workers.is_free() || self.is_listed_done();
            let end = if may_queue_all { self.requests.plan.end() } else { self.listed_end };
            let Some(id) = self.schedule.next(&mut self.requests.plan, end) else { break };
            self.start(id);
            is_busy = true;
            if self.workers.is_direct() {
                break;
            }
        }
        is_busy
    }

    /// Does what can be done now, and waits up to `wait_ms` for news. Returns what was left to do.
    #[inline(never)]
    pub(crate) fn turn(&mut self, wait_ms: u64) -> Left {
        self.read_events();
        let is_busy = self.feed();
        if self.pending.scan && !(is_busy && self.workers.is_direct()) {
            // The workers load listed modules meanwhile.
            let end = self.requests.plan.end();
            self.scan();
            if self.requests.plan.end() != end {
                return Left::Work;
            }
        }
        if self.workers.is_rest_slow() && !is_busy {
            if self.requests.phase == Phase::Main {
                self.requests.phase = Phase::Last;
                self.requests.listed(LOAD_LAST);
                return Left::Work;
            }
            let is_idle = self.schedule.is_idle();
            let wait_ms = if is_idle { wait_ms } else { BUSY_MS };
            let end = self.requests.plan.end();
            if self.uevents.is_none() && self.coldplug != Coldplug::None {
                // Without the socket only a scan finds new devices.
                if !self.pending.loaded {
                    self.wait(wait_ms);
                }
                self.scan();
                self.pending.block_news = true;
            } else {
                self.wait(wait_ms);
                self.read_events();
            }
            return match self.requests.plan.end() == end && !self.pending.scan {
                false => Left::Work,
                true if is_idle => Left::Nothing,
                true => Left::Slow,
            };
        }
        if !self.schedule.is_idle() {
            self.wait(BUSY_MS);
        }
        Left::Work
    }

    /// Waits up to `wait_ms` for answers or uevents, and takes up the answers.
    fn wait(&mut self, wait_ms: u64) {
        let mut answers = heapless::Vec::<Answer, OUT_COUNT>::new();
        let socket = self.uevents.as_ref().map(Uevents::fd);
        let times_ms = [wait_ms, self.limit_ms];
        let slow = self.workers.wait(&self.kernel.sys, socket, times_ms, &mut |answer| drop(answers.push(answer)));
        if let Some((earlier, step)) = slow.and_then(|id| self.requests.plan.step(id)) {
            let (_, alias, by) = self.requests.recorder.request(earlier.len());
            line(Level::Error, "%: still loading after 5 s; requested by % as %", &[stem(step.path()), by, alias]);
        }
        for answer in &answers {
            self.take_answer(answer);
        }
    }

    /// Whether all required modules are in the kernel.
    pub(crate) fn is_in(&self) -> bool {
        !self.has_retired_failure && are_in(self.requests.plan.steps)
    }

    /// Whether each listed module is loaded or has failed.
    pub(crate) fn is_listed_done(&self) -> bool {
        use crate::loading::step::StepState::{Failed, In, Retry};
        let plan = &self.requests.plan;
        let mut open = plan.steps.iter().take(plan.place(self.listed_end)).skip(self.schedule.done_count(plan));
        open.all(|step| matches!(step.state, In | Failed | Retry))
    }

    /// Returns whether block devices may have changed since the last call.
    pub(crate) fn take_block_news(&mut self) -> bool {
        core::mem::take(&mut self.pending.block_news)
    }

    /// Whether loading ends once the root is mounted.
    pub(crate) fn ends_at_root(&self) -> bool {
        self.coldplug == Coldplug::Root
    }

    /// Waits for the modules that the kernel is loading, but not for slow ones, and ends the workers.
    #[inline(never)]
    pub(crate) fn finish(&mut self) {
        let start_ms = clock::now_ms();
        while !self.workers.is_rest_slow() && clock::now_ms().saturating_sub(start_ms) < STUCK_MS {
            self.wait(BUSY_MS);
        }
        self.workers.stop();
    }

    #[inline(never)]
    fn start(&mut self, id: StepId) {
        let Some((earlier, step)) = self.requests.plan.step(id) else { return };
        let mut options = heapless::Vec::<u8, OPTIONS_LEN>::new();
        let prepared = match prepare(step, earlier, &self.requests.resolver, None, &mut options, &mut self.kernel) {
            Ok(prepared) => prepared,
            Err(outcome) => return self.done(id, outcome, None),
        };
        if let Some(dep) = step.deps().rev().find(|dep| self.requests.plan.has_failed(dep)) {
            return self.done(id, Outcome::Needs(dep), None);
        }
        let job = Job {
            is_command: prepared.command.is_some(),
            text: prepared.command.unwrap_or(step.path()),
            name: &prepared.name,
            options: &options,
        };
        if let Some(answer) = self.workers.submit(&self.kernel.sys, id, &job) {
            self.take_answer(&answer);
        }
    }

    fn take_answer(&mut self, answer: &Answer) {
        let end_us = answer.start_us.wrapping_add(answer.took_us);
        // Overlapping runs count once. A dead worker reports no times.
        let uncounted_us = end_us.wrapping_sub(self.counted_us);
        if answer.took_us > 0 && uncounted_us < u32::MAX / 2 {
            self.requests.kernel_us = self.requests.kernel_us.saturating_add(answer.took_us.min(uncounted_us).into());
            self.counted_us = end_us;
        }
        self.done(answer.id, Outcome::of(answer.result), Some(answer));
    }

    fn done(&mut self, id: StepId, outcome: Outcome<'static>, answer: Option<&Answer>) {
        let is_final = self.schedule.done(&mut self.requests.plan, id, outcome);
        let Some((earlier, step)) = self.requests.plan.step(id) else { return };
        if outcome == Outcome::Loaded {
            self.pending.loaded = true;
            self.requests.loaded = self.requests.loaded.saturating_add(1);
            self.requests.last_ms = clock::now_ms();
        }
        if !is_final {
            return;
        }
        self.requests.recorder.done(earlier.len(), step, outcome, answer);
        let is_amiss = !outcome.is_in() && outcome != Outcome::Refused(Refusal::Kernel(Errno::ENODEV));
        self.failed_count = self.failed_count.saturating_add((is_amiss && step.need == Need::Required).into());
        self.kernel.on_outcome(step, outcome);
    }

    /// Requests the modules of all devices in /sys/devices.
    fn scan(&mut self) {
        self.pending.scan = false;
        self.pending.loaded = false;
        let news_before = self.take_block_news();
        super::coldplug::each_device(&mut |device, dir| {
            // The new block device may be the root: the scan ends for the boot to look, and is due again.
            if self.uevents.is_none() || self.drain(true) {
                self.request_device(device, By::Device(dir));
            } else {
                self.pending.scan = true;
            }
        });
        self.pending.block_news |= news_before;
    }

    /// Requests the modules of devices in the kernel's uevents.
    fn read_events(&mut self) {
        let mut buf = [MaybeUninit::uninit(); MESSAGE_LEN];
        let Some(uevents) = self.uevents.take() else { return };
        loop {
            match uevents.next(&mut buf) {
                Event::Nothing => break,
                Event::Overrun => {
                    self.pending.scan = self.coldplug != Coldplug::None;
                    self.pending.block_news = true;
                }
                Event::Message(text) => {
                    let device = Uevent::message(text);
                    self.pending.block_news |= device.get(b"SUBSYSTEM") == Some(b"block");
                    if self.coldplug != Coldplug::None && device.get(b"ACTION") != Some(b"remove") {
                        self.request_device(device, By::Path(device.get(b"DEVPATH").unwrap_or_default()));
                    }
                }
            }
        }
        self.uevents = Some(uevents);
    }

    /// Requests the modules of a device.
    fn request_device(&mut self, device: Uevent<'_>, by: By<'_>) {
        let Some(modalias) = device.get(b"MODALIAS") else { return };
        if !self.requests.modalias(modalias, by) {
            let mut alias = heapless::Vec::<u8, 512>::new();
            let mut number = 0;
            while device.fallback_alias(number, &mut alias) == Ok(true) && !self.requests.resolve(&alias, by) {
                number = number.saturating_add(1);
            }
        }
    }
}
