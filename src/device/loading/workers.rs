//! Workers: child processes that hand modules to the kernel side by side. They take their jobs from one pipe, whoever is
//! free the next, and have a pipe each for answers. A crash in one, of a decoder or in the kernel on its behalf, is a
//! failed module and not a dead init.
//!
//! What is to be loaded, and when, is decided by whoever asks; a worker only does it. A few jobs wait in the pipe, so
//! that no worker has to wait for us. Without workers (one module at a time was asked for, or no process can be had) a
//! job is done here, at once.
//!
//! ```text
//! job     u32 at    u8 is_command    u16 text_len    u16 name_len    text    name    options
//! answer  u32 at    u32 kind    u32 value    u32 start_us    u32 took_us    u32 decode_us     native byte order
//! ```

use crate::device::io::mmap::share;
use crate::device::kernel::insert::Sys;
use crate::device::rt::{clock, exit, fork};
use crate::loading::kernel::{Errno, Refusal};
use core::sync::atomic::{AtomicU32, Ordering};
use heapless::Vec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::IoSlice;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};

/// Most workers.
const WORKER_COUNT: usize = 16;

/// Most jobs that are with the workers or wait for one.
pub(crate) const OUT_COUNT: usize = 2 * WORKER_COUNT;

/// After how long without an answer a job is lost that nobody is at, once a worker was, ms.
const LOST_MS: u64 = 100;

/// Longest job, bytes: what a pipe passes on as one. Source: PIPE_BUF, pipe(2) on O_DIRECT.
const JOB_LEN: usize = 4096;

const HEAD_LEN: usize = 9;
const ANSWER_LEN: usize = 24;

/// A module to hand over, or the command in its place.
#[derive(Clone, Copy)]
pub(crate) struct Errand<'a> {
    pub(crate) is_command: bool,
    /// The module file's path, or the command.
    pub(crate) text: &'a [u8],
    /// The module's name.
    pub(crate) name: &'a [u8],
    pub(crate) options: &'a [u8],
}

/// What came of an errand.
pub(crate) struct Answer {
    /// The plan's step.
    pub(crate) at: usize,
    pub(crate) result: Result<(), Refusal>,
    /// When it was begun, in microseconds since the machine's start. It wraps after 71 minutes.
    pub(crate) start_us: u32,
    /// How long it took.
    pub(crate) took_us: u32,
    /// For how long of that it was decompressed here.
    pub(crate) decode_us: u32,
    /// Which worker had it, counted from 1 as they were started; 0 is none.
    pub(crate) worker: u32,
}

/// The workers.
pub(crate) struct Pool {
    workers: Vec<Worker, WORKER_COUNT>,
    /// How many were started.
    started_count: u32,
    /// Where jobs come out, and where they go in.
    jobs: Option<(OwnedFd, OwnedFd)>,
    /// The steps that are with the workers, or wait for one.
    out: Vec<usize, OUT_COUNT>,
    /// The step that a worker is at, counted from 1, by its place: in memory that all have.
    at: &'static [AtomicU32],
    /// A worker is gone. It may have had a job that it did not say it was at.
    lost_one: bool,
}

struct Worker {
    number: u32,
    /// Its place in [`Pool::at`].
    place: usize,
    pid: Option<Pid>,
    answers: OwnedFd,
}

impl Pool {
    /// Starts `count` workers; fewer, or none, where the kernel gives no more.
    pub(crate) fn start(count: u32, sys: &Sys<'_>) -> Pool {
        let jobs = if count > 0 { pipe_with(PipeFlags::CLOEXEC | PipeFlags::DIRECT).ok() } else { None };
        let at = jobs.as_ref().and_then(|_| share()).unwrap_or_default();
        let mut pool = Pool { workers: Vec::new(), started_count: 0, jobs, out: Vec::new(), at, lost_one: false };
        for _ in 0..count {
            pool.add(sys);
        }
        pool
    }

    fn add(&mut self, sys: &Sys<'_>) {
        let is_taken = |place: &usize| self.workers.iter().any(|worker| worker.place == *place);
        let Some(place) = (0..WORKER_COUNT).find(|place| !is_taken(place)) else { return };
        let (Some(at), Ok((from_worker, answers))) = (self.at.get(place), pipe_with(PipeFlags::CLOEXEC)) else {
            return;
        };
        match fork() {
            Ok(None) => {
                // The pipe of jobs has to end with us.
                let Some((jobs, to_workers)) = self.jobs.take() else { exit(1) };
                self.workers.clear();
                drop((to_workers, from_worker));
                work(sys, at, &jobs, &answers)
            }
            Ok(Some(pid)) => {
                self.started_count = self.started_count.saturating_add(1);
                let (number, pid) = (self.started_count, Pid::from_raw(pid));
                let _ = self.workers.push(Worker { number, place, pid, answers: from_worker });
            }
            Err(_) => {}
        }
    }

    /// Says whether modules are loaded here, one after the other.
    pub(crate) fn is_direct(&self) -> bool {
        self.workers.is_empty()
    }

    /// Says whether a job would be taken up at once.
    pub(crate) fn is_free(&self) -> bool {
        self.is_direct() || self.out.len() < self.workers.len()
    }

    /// Says whether a job would be taken, if only to wait until a worker is free.
    pub(crate) fn has_room(&self) -> bool {
        self.is_direct() || self.out.len() < self.workers.len().saturating_mul(2)
    }

    /// Gives the job for the step `at` to the workers; without any it is done at once, and its answer returned.
    pub(crate) fn submit(&mut self, sys: &Sys<'_>, at: usize, errand: &Errand<'_>) -> Option<Answer> {
        let (Some((_, to_workers)), Some(head)) = (self.jobs.as_ref().filter(|_| !self.is_direct()), head(at, errand))
        else {
            return Some(run(sys, at, errand));
        };
        let parts = [&head, errand.text, errand.name, errand.options].map(IoSlice::new);
        // The pipe has room for as many jobs as there may be.
        if rustix::io::writev(to_workers, &parts).is_err() || self.out.push(at).is_err() {
            return Some(run(sys, at, errand));
        }
        None
    }

    /// Waits until a worker answers, `also` can be read or `wait_ms` are over, and calls `each` with the answers.
    pub(crate) fn wait(
        &mut self,
        sys: &Sys<'_>,
        also: Option<BorrowedFd<'_>>,
        wait_ms: u64,
        each: &mut dyn FnMut(Answer),
    ) {
        let ready = self.poll(also, if self.lost_one { wait_ms.min(LOST_MS) } else { wait_ms });
        if self.lost_one && !ready.contains(&true) {
            self.tell_lost(each);
        }
        for (index, _) in ready.iter().enumerate().take(self.workers.len()).filter(|(_, is_ready)| **is_ready) {
            let Some(worker) = self.workers.get(index) else { return };
            let mut words = [0u8; ANSWER_LEN];
            // A pipe takes and gives what is so short as one.
            if rustix::io::read(&worker.answers, &mut words) == Ok(words.len()) {
                let answer = Answer { worker: worker.number, ..decode(&words) };
                if self.returned(answer.at) {
                    each(answer);
                }
                continue;
            }
            // It is gone: so is its module, and another worker takes its place.
            let Worker { number, place, pid, .. } = self.workers.swap_remove(index);
            let killed = crate::device::kernel::child::wait_for(pid).err().unwrap_or(Refusal::Killed(0));
            let at = self.at.get(place).map_or(0, |at| at.load(Ordering::Relaxed));
            match (at as usize).checked_sub(1).filter(|&at| self.returned(at)) {
                Some(at) => each(lost(at, killed, number)),
                None => self.lost_one = true,
            }
            if let Some(at) = self.at.get(place) {
                at.store(0, Ordering::Relaxed);
            }
            self.add(sys);
            if self.is_direct() {
                // Nobody is left to do what waits.
                while let Some(at) = self.out.pop() {
                    each(lost(at, killed, number));
                }
            }
            return; // the places have changed
        }
    }

    /// Tells of the jobs that no worker is at and that no longer wait: whoever took them is gone.
    fn tell_lost(&mut self, each: &mut dyn FnMut(Answer)) {
        let waits = self.jobs.as_ref().is_none_or(|(jobs, _)| rustix::io::ioctl_fionread(jobs) != Ok(0));
        if waits || self.at.iter().any(|at| at.load(Ordering::Relaxed) != 0) {
            return;
        }
        self.lost_one = false;
        while let Some(at) = self.out.pop() {
            each(lost(at, Refusal::Killed(0), 0));
        }
    }

    /// Takes a step from those that are out; says whether it was there.
    fn returned(&mut self, at: usize) -> bool {
        let index = self.out.iter().position(|&out| out == at);
        index.map(|index| self.out.swap_remove(index)).is_some()
    }

    /// Tells of each worker, and of `also` behind them, whether there is something to read.
    fn poll(&self, also: Option<BorrowedFd<'_>>, wait_ms: u64) -> Vec<bool, { WORKER_COUNT + 1 }> {
        let mut fds = Vec::<PollFd<'_>, { WORKER_COUNT + 1 }>::new();
        for fd in self.workers.iter().map(|worker| worker.answers.as_fd()).chain(also) {
            let _ = fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        }
        let timeout = Timespec {
            tv_sec: (wait_ms / 1000) as i64,
            tv_nsec: ((wait_ms % 1000) as i64).saturating_mul(1_000_000) as _,
        };
        // Cut short: nothing is ready, and whoever waits asks again.
        let _ = poll(&mut fds, Some(&timeout));
        fds.iter().map(|fd| !fd.revents().is_empty()).collect()
    }

    /// Lets the workers end. One that is still with the kernel is left to the real init.
    pub(crate) fn stop(&mut self) {
        self.jobs = None;
        while let Some(worker) = self.workers.pop() {
            if self.out.is_empty() {
                let _ = waitpid(worker.pid, WaitOptions::empty());
            }
        }
    }
}

/// Makes the answer of a worker that is gone.
fn lost(at: usize, killed: Refusal, worker: u32) -> Answer {
    Answer { at, result: Err(killed), start_us: 0, took_us: 0, decode_us: 0, worker }
}

/// Runs an errand of the step `at`, and takes its time.
fn run(sys: &Sys<'_>, at: usize, errand: &Errand<'_>) -> Answer {
    let start_us = clock::now_us() as u32;
    let result = if errand.is_command {
        sys.command(errand.text, errand.name, errand.options)
    } else {
        sys.insert(errand.text, errand.options)
    };
    let took_us = (clock::now_us() as u32).wrapping_sub(start_us);
    Answer { at, result, start_us, took_us, decode_us: sys.decode_us.take(), worker: 0 }
}

/// What a worker does until the pipe of jobs ends. It leaves in `place` what it is at.
fn work(sys: &Sys<'_>, place: &AtomicU32, jobs: &OwnedFd, answers: &OwnedFd) -> ! {
    let mut job = [0u8; JOB_LEN];
    loop {
        let job = match rustix::io::read(jobs, &mut job) {
            Ok(0) => exit(0),
            Ok(len) => job.get(..len).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => exit(1),
        };
        let Some((at, errand)) = decode_job(job) else { exit(1) };
        place.store(at.saturating_add(1), Ordering::Relaxed);
        let _ = rustix::io::write(answers, &encode_answer(&run(sys, at as usize, &errand)));
        place.store(0, Ordering::Relaxed);
    }
}

/// Writes the head of a job, which goes to the workers as one message; `None` where it is too long for one.
fn head(at: usize, errand: &Errand<'_>) -> Option<[u8; HEAD_LEN]> {
    let mut head = [0; HEAD_LEN];
    let (at_bytes, rest) = head.split_first_chunk_mut()?;
    *at_bytes = u32::try_from(at).ok()?.to_ne_bytes();
    let (is_command, lens) = rest.split_first_mut()?;
    *is_command = errand.is_command.into();
    let (lens, _) = lens.as_chunks_mut::<2>();
    let mut job_len = HEAD_LEN.saturating_add(errand.options.len());
    for (len, part) in lens.iter_mut().zip([errand.text, errand.name]) {
        *len = u16::try_from(part.len()).ok()?.to_ne_bytes();
        job_len = job_len.saturating_add(part.len());
    }
    Some(head).filter(|_| job_len <= JOB_LEN)
}

/// Reads a job: of which step it is, and what.
fn decode_job(job: &[u8]) -> Option<(u32, Errand<'_>)> {
    let (at, rest) = job.split_first_chunk()?;
    let (&[is_command, ref lens @ ..], mut options) = rest.split_first_chunk::<{ HEAD_LEN - 4 }>()?;
    let (lens, _) = lens.as_chunks::<2>();
    let mut parts = [&[][..]; 2];
    for (part, len) in parts.iter_mut().zip(lens) {
        (*part, options) = options.split_at_checked(u16::from_ne_bytes(*len).into())?;
    }
    let [text, name] = parts;
    Some((u32::from_ne_bytes(*at), Errand { is_command: is_command != 0, text, name, options }))
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
        Err(Refusal::Command(status)) => (7, status),
    };
    let mut words = [0; ANSWER_LEN];
    let (slots, _) = words.as_chunks_mut::<4>();
    let values = [answer.at as u32, kind, value as u32, answer.start_us, answer.took_us, answer.decode_us];
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
    let [at, kind, value, start_us, took_us, decode_us] = values;
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
    Answer { at: at as usize, result, start_us, took_us, decode_us, worker: 0 }
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
            let answer = Answer { at: 65_535, result, start_us: u32::MAX, took_us: 2, decode_us: 1, worker: 0 };
            let back = decode(&encode_answer(&answer));
            assert_eq!((back.at, back.result, back.start_us), (answer.at, result, u32::MAX));
            assert_eq!((back.took_us, back.decode_us), (2, 1));
        }
    }

    #[test]
    fn a_job_that_nobody_is_at_and_that_no_longer_waits_is_lost() {
        let at: &[AtomicU32] = Box::leak(Box::new([const { AtomicU32::new(0) }; 2]));
        let jobs = pipe_with(PipeFlags::CLOEXEC | PipeFlags::DIRECT).unwrap();
        let out = Vec::from_slice(&[7]).unwrap();
        let mut pool = Pool { workers: Vec::new(), started_count: 0, jobs: Some(jobs), out, at, lost_one: true };
        let mut told = std::vec::Vec::new();
        let mut tell = |pool: &mut Pool| {
            pool.tell_lost(&mut |answer| told.push((answer.at, answer.result)));
            told.len()
        };
        at[1].store(8, Ordering::Relaxed);
        assert_eq!(tell(&mut pool), 0, "a worker is at it");
        at[1].store(0, Ordering::Relaxed);
        rustix::io::write(&pool.jobs.as_ref().unwrap().1, b"job").unwrap();
        assert_eq!(tell(&mut pool), 0, "it waits");
        rustix::io::read(&pool.jobs.as_ref().unwrap().0, &mut [0; 8]).unwrap();
        assert_eq!(tell(&mut pool), 1);
        assert_eq!(told, [(7, Err(Refusal::Killed(0)))]);
    }

    #[test]
    fn a_job_that_is_too_long_is_not_cut() {
        let options = [b'x'; JOB_LEN];
        let errand = Errand { is_command: false, text: b"k/a.ko", name: b"a", options: &options };
        assert_eq!(head(0, &errand), None);
        assert!(head(0, &Errand { options: &options[HEAD_LEN + 7..], ..errand }).is_some());
    }

    #[test]
    fn a_job_comes_back_and_a_part_of_its_head_is_none() {
        let errand = Errand { is_command: true, text: b"true", name: b"a", options: b"p=1" };
        let job = [&head(65_535, &errand).unwrap()[..], errand.text, errand.name, errand.options].concat();
        for len in 0..job.len() - errand.options.len() {
            assert!(decode_job(&job[..len]).is_none());
        }
        let (at, back) = decode_job(&job).unwrap();
        assert!(at == 65_535 && back.is_command);
        assert_eq!([back.text, back.name, back.options], [errand.text, errand.name, errand.options]);
    }
}
