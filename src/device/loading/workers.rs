// SPDX-License-Identifier: MIT OR Apache-2.0
//! Workers: child processes that hand modules to the kernel in parallel. All read jobs from one pipe; each has its own
//! pipe for answers. A crash in a worker, in a decoder or in the kernel, fails one module and leaves PID 1 alive.
//!
//! The caller decides what is loaded and when. A few jobs wait in the pipe, so that workers do not wait for PID 1.
//! Without workers (fork fails) a job runs in the calling process.
//!
//! Beside a worker that is at one job for long, another one is started. In the end it is killed with the commands that it
//! runs, and left behind: it may be in the kernel, which does not let go of it.
//!
//! ```text
//! job     u32 id    u8 is_command    u16 text_len    u16 name_len    text    name    options
//! answer  u32 id    u32 kind    u32 value    u32 start_us    u32 took_us    u32 decode_us     native byte order
//! ```

use crate::device::io::mmap::share;
use crate::device::kernel::insert::Inserter;
use crate::device::rt::{clock, exit, fork};
use crate::loading::kernel::{Errno, Refusal};
use crate::loading::step::StepId;
use crate::loading::watch::{Alarm, Watch};
use core::sync::atomic::{AtomicU32, Ordering};
use heapless::Vec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::IoSlice;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, setpgid, waitpid};

/// Most workers.
const WORKER_COUNT: usize = 16;

/// Most jobs that run or wait in the pipe.
pub(crate) const OUT_COUNT: usize = 2 * WORKER_COUNT;

/// After a worker died: the wait before a job that no worker holds is reported lost, ms.
const LOST_MS: u64 = 100;

/// Longest job, bytes: the longest message of a pipe. Source: PIPE_BUF, pipe(2) on O_DIRECT.
const JOB_LEN: usize = 4096;

const HEAD_LEN: usize = 9;
const ANSWER_LEN: usize = 24;

/// A module to load, or its install command to run.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) is_command: bool,
    /// The module file's path, or the command.
    pub(crate) text: &'a [u8],
    /// The module's name.
    pub(crate) name: &'a [u8],
    pub(crate) options: &'a [u8],
}

/// The result of a job.
pub(crate) struct Answer {
    /// Its step.
    pub(crate) id: StepId,
    pub(crate) result: Result<(), Refusal>,
    /// Its start, us since the machine's start. Wraps after 71 minutes.
    pub(crate) start_us: u32,
    /// Its duration, us.
    pub(crate) took_us: u32,
    /// The part of it spent on decompression, us.
    pub(crate) decode_us: u32,
    /// The worker's number, counted from 1 in the order of their starts; 0 for none.
    pub(crate) worker: u32,
}

/// The workers.
pub(crate) struct Workers {
    live: Vec<Worker, WORKER_COUNT>,
    /// The number of workers started so far.
    started_count: u32,
    /// The pipe of jobs: its reading and its writing end.
    jobs: Option<(OwnedFd, OwnedFd)>,
    /// The steps whose jobs run or wait in the pipe.
    out: Vec<StepId, OUT_COUNT>,
    /// For each [`Worker::place`] the step that runs, counted from 1; 0 for none. In memory shared with the workers.
    at: &'static [AtomicU32],
    /// When the latest answer came, ms.
    answered_ms: u64,
    /// Whether a worker died without a step in `at`; it may have taken a job from the pipe.
    has_lost_one: bool,
}

struct Worker {
    number: u32,
    /// Its index in [`Workers::at`].
    place: usize,
    pid: Option<Pid>,
    answers: OwnedFd,
    watch: Watch,
}

impl Workers {
    /// Starts `count` workers, or as many as fork(2) allows.
    pub(crate) fn start(count: u32, sys: &Inserter<'_>) -> Workers {
        let jobs = if count > 0 { pipe_with(PipeFlags::CLOEXEC | PipeFlags::DIRECT).ok() } else { None };
        let at = jobs.as_ref().and_then(|_| share()).unwrap_or_default();
        let mut workers = Workers {
            live: Vec::new(),
            started_count: 0,
            jobs,
            out: Vec::new(),
            at,
            answered_ms: 0,
            has_lost_one: false,
        };
        for _ in 0..count {
            workers.add(sys);
        }
        workers
    }

    /// Whether all jobs are done, but for those of slow workers.
    pub(crate) fn is_rest_slow(&self) -> bool {
        self.out.len() <= self.live.iter().filter(|worker| worker.watch.is_slow).count()
    }

    /// Starts a worker, unless there are too many or fork(2) fails.
    fn add(&mut self, sys: &Inserter<'_>) {
        let is_taken = |place: &usize| self.live.iter().any(|worker| worker.place == *place);
        let Some(place) = (0..WORKER_COUNT).find(|place| !is_taken(place)) else { return };
        let (Some(at), Ok((from_worker, answers))) = (self.at.get(place), pipe_with(PipeFlags::CLOEXEC)) else {
            return;
        };
        match fork() {
            Ok(None) => {
                // PID 1 keeps the only writing end, so that the pipe ends with it.
                let Some((jobs, to_workers)) = self.jobs.take() else { exit(1) };
                self.live.clear();
                drop((to_workers, from_worker));
                work(sys, at, &jobs, &answers)
            }
            Ok(Some(pid)) => {
                self.started_count = self.started_count.saturating_add(1);
                let (number, pid) = (self.started_count, Pid::from_raw(pid));
                let _ = self.live.push(Worker { number, place, pid, answers: from_worker, watch: Watch::default() });
            }
            Err(_) => {}
        }
    }

    /// Whether jobs run in this process, one at a time.
    pub(crate) fn is_direct(&self) -> bool {
        self.live.is_empty()
    }

    /// Whether a worker is free to start a job at once.
    pub(crate) fn is_free(&self) -> bool {
        self.is_direct() || self.out.len() < self.live.len()
    }

    /// Whether a job may be submitted, to run or to wait in the pipe.
    pub(crate) fn can_queue(&self) -> bool {
        self.is_direct() || self.out.len() < self.live.len().saturating_mul(2)
    }

    /// Submits the job of a step. Without workers, runs it and returns its answer.
    pub(crate) fn submit(&mut self, sys: &Inserter<'_>, id: StepId, job: &Job<'_>) -> Option<Answer> {
        let (Some((_, to_workers)), Some(head)) = (self.jobs.as_ref().filter(|_| !self.is_direct()), head(id, job))
        else {
            return Some(run(sys, id, job));
        };
        let parts = [&head, job.text, job.name, job.options].map(IoSlice::new);
        // The pipe can hold all jobs that `out` can.
        if rustix::io::writev(to_workers, &parts).is_err() || self.out.push(id).is_err() {
            return Some(run(sys, id, job));
        }
        None
    }

    /// Waits up to `wait_ms` until a worker answers or `also` is readable, and calls `each` with the answers. A job that
    /// takes `limit_ms` is given up. Returns the step of one that has become slow.
    pub(crate) fn wait(
        &mut self,
        sys: &Inserter<'_>,
        also: Option<BorrowedFd<'_>>,
        [wait_ms, limit_ms]: [u64; 2],
        each: &mut dyn FnMut(Answer),
    ) -> Option<StepId> {
        let ready = self.poll(also, if self.has_lost_one { wait_ms.min(LOST_MS) } else { wait_ms });
        if self.has_lost_one && !ready.contains(&true) {
            self.report_lost(each);
        }
        let now_ms = clock::now_ms();
        for (index, &is_ready) in ready.iter().enumerate() {
            let worker = self.live.get_mut(index)?;
            let at = self.at.get(worker.place).map_or(0, |at| at.load(Ordering::Relaxed));
            let mut words = [0u8; ANSWER_LEN];
            // Writes to a pipe of up to PIPE_BUF bytes are atomic.
            let why = if is_ready && rustix::io::read(&worker.answers, &mut words) == Ok(words.len()) {
                let answer = Answer { worker: worker.number, ..decode(&words) };
                worker.watch = Watch::default();
                self.answered_ms = now_ms;
                if self.returned(answer.id) {
                    each(answer);
                }
                continue;
            } else if is_ready {
                crate::device::kernel::child::wait_for(worker.pid).err().unwrap_or(Refusal::Killed(0))
            } else {
                match worker.watch.saw(at, now_ms, now_ms.saturating_sub(self.answered_ms), limit_ms) {
                    None => continue,
                    Some(Alarm::Report) => {
                        self.add(sys);
                        return Some(StepId(at.saturating_sub(1)));
                    }
                    Some(Alarm::GiveUp) => {
                        let _ = worker.pid.map(|pid| kill_process_group(pid, Signal::KILL));
                        Refusal::Late
                    }
                }
            };
            // It died or is left behind, its module has failed, and a new worker takes its place.
            let Worker { number, place, watch, .. } = self.live.swap_remove(index);
            match at.checked_sub(1).map(StepId).filter(|&id| self.returned(id)) {
                Some(id) => each(lost(id, why, number)),
                None => self.has_lost_one = true,
            }
            if let Some(at) = self.at.get(place) {
                at.store(0, Ordering::Relaxed);
            }
            if !watch.is_slow {
                self.add(sys);
            }
            if self.is_direct() {
                // No worker is left for the jobs in the pipe.
                self.lose(why, each);
            }
            break; // the indexes have changed
        }
        None
    }

    /// Reports jobs that no worker runs and that are no longer in the pipe: a worker took them and died.
    fn report_lost(&mut self, each: &mut dyn FnMut(Answer)) {
        let waits = self.jobs.as_ref().is_none_or(|(jobs, _)| rustix::io::ioctl_fionread(jobs) != Ok(0));
        if waits || self.at.iter().any(|at| at.load(Ordering::Relaxed) != 0) {
            return;
        }
        self.has_lost_one = false;
        self.lose(Refusal::Killed(0), each);
    }

    /// Reports all jobs that run or wait as lost.
    #[inline(never)]
    fn lose(&mut self, why: Refusal, each: &mut dyn FnMut(Answer)) {
        while let Some(id) = self.out.pop() {
            each(lost(id, why, 0));
        }
    }

    /// Removes a step from `out`. Returns whether it was there.
    fn returned(&mut self, id: StepId) -> bool {
        let index = self.out.iter().position(|&out| out == id);
        index.map(|index| self.out.swap_remove(index)).is_some()
    }

    /// Returns for each worker, and for `also` after them, whether there is something to read.
    fn poll(&self, also: Option<BorrowedFd<'_>>, wait_ms: u64) -> Vec<bool, { WORKER_COUNT + 1 }> {
        let mut fds = Vec::<PollFd<'_>, { WORKER_COUNT + 1 }>::new();
        for fd in self.live.iter().map(|worker| worker.answers.as_fd()).chain(also) {
            let _ = fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        }
        let timeout = Timespec {
            tv_sec: (wait_ms / 1000) as i64,
            tv_nsec: ((wait_ms % 1000) as i64).saturating_mul(1_000_000) as _,
        };
        // Interrupted by a signal: nothing is ready.
        let _ = poll(&mut fds, Some(&timeout));
        fds.iter().map(|fd| !fd.revents().is_empty()).collect()
    }

    /// Ends the workers. One that is still in the kernel is left to the real init.
    pub(crate) fn stop(&mut self) {
        self.jobs = None;
        while let Some(worker) = self.live.pop() {
            if self.out.is_empty() {
                let _ = waitpid(worker.pid, WaitOptions::empty());
            }
        }
    }
}

/// Returns the answer in the name of a worker that died.
fn lost(id: StepId, killed: Refusal, worker: u32) -> Answer {
    Answer { id, result: Err(killed), start_us: 0, took_us: 0, decode_us: 0, worker }
}

/// Runs the job of a step, and measures its time.
fn run(sys: &Inserter<'_>, id: StepId, job: &Job<'_>) -> Answer {
    let start_us = clock::stamp_us();
    let result =
        if job.is_command { sys.command(job.text, job.name, job.options) } else { sys.insert(job.text, job.options) };
    let took_us = clock::stamp_us().wrapping_sub(start_us);
    Answer { id, result, start_us, took_us, decode_us: sys.decode_us.take(), worker: 0 }
}

/// Runs jobs in a worker until the pipe of jobs ends. Stores the running step in `place`, for [`Workers::at`].
fn work(sys: &Inserter<'_>, place: &AtomicU32, jobs: &OwnedFd, answers: &OwnedFd) -> ! {
    // Of its own, to be killed with the commands that it runs.
    let _ = setpgid(None, None);
    let mut job = [0u8; JOB_LEN];
    loop {
        let job = match rustix::io::read(jobs, &mut job) {
            Ok(0) => exit(0),
            Ok(len) => job.get(..len).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => exit(1),
        };
        let Some((id, job)) = decode_job(job) else { exit(1) };
        place.store(id.0.saturating_add(1), Ordering::Relaxed);
        let _ = rustix::io::write(answers, &encode_answer(&run(sys, id, &job)));
        place.store(0, Ordering::Relaxed);
    }
}

/// Encodes the head of a job; `None` if the job is longer than one message.
fn head(id: StepId, job: &Job<'_>) -> Option<[u8; HEAD_LEN]> {
    let mut head = [0; HEAD_LEN];
    let (id_bytes, rest) = head.split_first_chunk_mut()?;
    *id_bytes = id.0.to_ne_bytes();
    let (is_command, lens) = rest.split_first_mut()?;
    *is_command = job.is_command.into();
    let (lens, _) = lens.as_chunks_mut::<2>();
    let mut job_len = HEAD_LEN.saturating_add(job.options.len());
    for (len, part) in lens.iter_mut().zip([job.text, job.name]) {
        *len = u16::try_from(part.len()).ok()?.to_ne_bytes();
        job_len = job_len.saturating_add(part.len());
    }
    Some(head).filter(|_| job_len <= JOB_LEN)
}

/// Decodes a job and the id of its step.
fn decode_job(job: &[u8]) -> Option<(StepId, Job<'_>)> {
    let (id, rest) = job.split_first_chunk()?;
    let (&[is_command, ref lens @ ..], mut options) = rest.split_first_chunk::<{ HEAD_LEN - 4 }>()?;
    let (lens, _) = lens.as_chunks::<2>();
    let mut parts = [&[][..]; 2];
    for (part, len) in parts.iter_mut().zip(lens) {
        (*part, options) = options.split_at_checked(u16::from_ne_bytes(*len).into())?;
    }
    let [text, name] = parts;
    Some((StepId(u32::from_ne_bytes(*id)), Job { is_command: is_command != 0, text, name, options }))
}

fn encode_answer(answer: &Answer) -> [u8; ANSWER_LEN] {
    let (kind, value) = match answer.result {
        Ok(()) => (0, 0),
        Err(Refusal::File(Errno(errno))) => (1, errno),
        Err(Refusal::Kernel(Errno(errno))) => (2, errno),
        Err(Refusal::Damaged) => (3, 0),
        Err(Refusal::NoDecoder) => (4, 0),
        Err(Refusal::NoMemory) => (5, 0),
        Err(Refusal::Killed(signal)) => (6, signal),
        // No worker gives itself up.
        Err(Refusal::Late) => (6, 0),
        Err(Refusal::Command(status)) => (7, status),
    };
    let mut words = [0; ANSWER_LEN];
    let (slots, _) = words.as_chunks_mut::<4>();
    let values = [answer.id.0, kind, value.cast_unsigned(), answer.start_us, answer.took_us, answer.decode_us];
    for (slot, word) in slots.iter_mut().zip(values) {
        *slot = word.to_ne_bytes();
    }
    words
}

fn decode(words: &[u8; ANSWER_LEN]) -> Answer {
    let mut values = [0; 6];
    let (slots, _) = words.as_chunks::<4>();
    for (value, slot) in values.iter_mut().zip(slots) {
        *value = u32::from_ne_bytes(*slot);
    }
    let [id, kind, value, start_us, took_us, decode_us] = values;
    let value = value as i32;
    let result = match kind {
        0 => Ok(()),
        1 => Err(Refusal::File(Errno(value))),
        2 => Err(Refusal::Kernel(Errno(value))),
        3 => Err(Refusal::Damaged),
        4 => Err(Refusal::NoDecoder),
        5 => Err(Refusal::NoMemory),
        6 => Err(Refusal::Killed(value)),
        _ => Err(Refusal::Command(value)),
    };
    Answer { id: StepId(id), result, start_us, took_us, decode_us, worker: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_as_it_was() {
        let refusals = [
            Refusal::File(Errno::ENOENT),
            Refusal::Kernel(Errno::EINVAL),
            Refusal::Damaged,
            Refusal::NoDecoder,
            Refusal::NoMemory,
            Refusal::Killed(9),
            Refusal::Command(3),
        ];
        for result in refusals.into_iter().map(Err).chain([Ok(())]) {
            let answer = Answer { id: StepId(65_535), result, start_us: u32::MAX, took_us: 2, decode_us: 1, worker: 0 };
            let back = decode(&encode_answer(&answer));
            assert_eq!((back.id, back.result, back.start_us), (answer.id, result, u32::MAX));
            assert_eq!((back.took_us, back.decode_us), (2, 1));
        }
    }

    #[test]
    fn a_job_that_is_neither_in_the_pipe_nor_with_a_worker_is_lost() {
        let at: &[AtomicU32] = Box::leak(Box::new([const { AtomicU32::new(0) }; 2]));
        let jobs = pipe_with(PipeFlags::CLOEXEC | PipeFlags::DIRECT).unwrap();
        let out = Vec::from_slice(&[StepId(7)]).unwrap();
        let mut workers = Workers {
            live: Vec::new(),
            started_count: 0,
            jobs: Some(jobs),
            out,
            at,
            answered_ms: 0,
            has_lost_one: true,
        };
        let mut reported = std::vec::Vec::new();
        let mut report = |workers: &mut Workers| {
            workers.report_lost(&mut |answer| reported.push((answer.id, answer.result)));
            reported.len()
        };
        at[1].store(8, Ordering::Relaxed);
        assert_eq!(report(&mut workers), 0, "a worker runs it");
        at[1].store(0, Ordering::Relaxed);
        rustix::io::write(&workers.jobs.as_ref().unwrap().1, b"job").unwrap();
        assert_eq!(report(&mut workers), 0, "it is in the pipe");
        rustix::io::read(&workers.jobs.as_ref().unwrap().0, &mut [0; 8]).unwrap();
        assert_eq!(report(&mut workers), 1);
        assert_eq!(reported, [(StepId(7), Err(Refusal::Killed(0)))]);
    }

    #[test]
    fn a_job_that_is_too_long_is_not_cut() {
        let options = [b'x'; JOB_LEN];
        let job = Job { is_command: false, text: b"k/a.ko", name: b"a", options: &options };
        assert_eq!(head(StepId(0), &job), None);
        assert!(head(StepId(0), &Job { options: &options[HEAD_LEN + 7..], ..job }).is_some());
    }

    #[test]
    fn a_job_comes_back_and_a_part_of_its_head_is_none() {
        let job = Job { is_command: true, text: b"true", name: b"a", options: b"p=1" };
        let message = [&head(StepId(65_535), &job).unwrap()[..], job.text, job.name, job.options].concat();
        for len in 0..message.len() - job.options.len() {
            assert!(decode_job(&message[..len]).is_none());
        }
        let (id, back) = decode_job(&message).unwrap();
        assert!(id == StepId(65_535) && back.is_command);
        assert_eq!([back.text, back.name, back.options], [job.text, job.name, job.options]);
    }
}
