//! Workers: child processes that hand modules to the kernel side by side, each with a pipe for its jobs and one for its
//! answers. A crash in one, of a decoder or in the kernel on its behalf, is a failed module and not a dead init.
//!
//! What is to be loaded, and when, is decided by whoever asks; a worker only does it. Without workers (one module at a
//! time was asked for, or no process can be had) a job is done here, at once.
//!
//! ```text
//! job     u8 is_command    u16 text_len    u16 name_len    u16 options_len    text    name    options
//! answer  u32 kind    u32 value    u32 start_us    u32 took_us    u32 decode_us            native byte order
//! ```

use super::rt::{exit, fork};
use super::sys::Sys;
use crate::load::{Errno, Refusal};
use heapless::Vec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::IoSlice;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};

/// Most workers.
const WORKER_COUNT: usize = 16;

/// Longest job, bytes: options at their longest, a long command and the rest.
const JOB_LEN: usize = 16_384;

const HEAD_LEN: usize = 7;
const ANSWER_LEN: usize = 20;

/// A module to hand over, or the command in its place.
#[derive(Clone, Copy)]
pub(super) struct Errand<'a> {
    pub(super) is_command: bool,
    /// The module file's path, or the command.
    pub(super) text: &'a [u8],
    /// The module's name.
    pub(super) name: &'a [u8],
    pub(super) options: &'a [u8],
}

/// What came of an errand.
pub(super) struct Answer {
    /// The plan's step.
    pub(super) at: usize,
    pub(super) result: Result<(), Refusal>,
    /// When it was begun, in microseconds since the machine's start. It wraps after 71 minutes.
    pub(super) start_us: u32,
    /// How long it took.
    pub(super) took_us: u32,
    /// For how long of that it was decompressed here.
    pub(super) decode_us: u32,
    /// Which worker had it, counted from 1 as they were started; 0 is none.
    pub(super) worker: u32,
}

/// The workers.
pub(super) struct Pool {
    workers: Vec<Worker, WORKER_COUNT>,
    /// How many were started.
    started_count: u32,
}

struct Worker {
    number: u32,
    pid: Option<Pid>,
    jobs: OwnedFd,
    answers: OwnedFd,
    /// The step that it is at.
    at: Option<usize>,
}

impl Pool {
    /// Starts `count` workers; fewer, or none, where the kernel gives no more.
    pub(super) fn start(count: u32, sys: &Sys<'_>) -> Pool {
        let mut pool = Pool { workers: Vec::new(), started_count: 0 };
        for _ in 0..count {
            pool.add(sys);
        }
        pool
    }

    fn add(&mut self, sys: &Sys<'_>) {
        let (Ok((jobs, to_worker)), Ok((from_worker, answers))) =
            (pipe_with(PipeFlags::CLOEXEC), pipe_with(PipeFlags::CLOEXEC))
        else {
            return;
        };
        match fork() {
            Ok(None) => {
                // The other workers' pipes have to end with them and us.
                self.workers.clear();
                drop((to_worker, from_worker));
                work(sys, &jobs, &answers)
            }
            Ok(Some(pid)) => {
                self.started_count = self.started_count.saturating_add(1);
                let (number, pid) = (self.started_count, Pid::from_raw(pid));
                let worker = Worker { number, pid, jobs: to_worker, answers: from_worker, at: None };
                // Full: its pipes close here, and it ends.
                let _ = self.workers.push(worker);
            }
            Err(_) => {}
        }
    }

    /// Says whether modules are loaded here, one after the other.
    pub(super) fn is_direct(&self) -> bool {
        self.workers.is_empty()
    }

    /// Says whether a job would be taken.
    pub(super) fn has_room(&self) -> bool {
        self.is_direct() || self.workers.iter().any(|worker| worker.at.is_none())
    }

    /// Gives the job for the step `at` to a worker that has none; without workers it is done at once, and its answer
    /// returned.
    pub(super) fn submit(&mut self, sys: &Sys<'_>, at: usize, errand: &Errand<'_>) -> Option<Answer> {
        let free = self.workers.iter_mut().find(|worker| worker.at.is_none());
        let (Some(worker), Some(head)) = (free, head(errand)) else { return Some(run(sys, at, errand)) };
        worker.at = Some(at);
        let parts = [&head, errand.text, errand.name, errand.options].map(IoSlice::new);
        // A worker that is gone is found gone when its answer is waited for. The pipe is empty and has room for a job.
        let _ = rustix::io::writev(&worker.jobs, &parts);
        None
    }

    /// Waits until a worker answers, `also` can be read or `wait_ms` are over, and calls `each` with the answers.
    pub(super) fn wait(
        &mut self,
        sys: &Sys<'_>,
        also: Option<BorrowedFd<'_>>,
        wait_ms: u64,
        each: &mut dyn FnMut(Answer),
    ) {
        let ready = self.poll(also, wait_ms);
        let mut place = 0;
        for is_ready in ready.iter().take(self.workers.len()) {
            let Some(worker) = self.workers.get_mut(place) else { return };
            if !is_ready {
                place = place.saturating_add(1);
                continue;
            }
            let mut words = [0u8; ANSWER_LEN];
            // A pipe takes and gives what is so short as one.
            let whole = rustix::io::read(&worker.answers, &mut words) == Ok(words.len());
            let (at, pid, number) = (worker.at.take(), worker.pid, worker.number);
            if whole {
                if let Some(at) = at {
                    each(Answer { at, worker: number, ..decode(&words) });
                }
                place = place.saturating_add(1);
                continue;
            }
            // It is gone: so is its module, and another worker takes its place.
            self.workers.swap_remove(place);
            let killed = super::sys::wait_for(pid).err().unwrap_or(Refusal::Killed(0));
            if let Some(at) = at {
                each(Answer { at, result: Err(killed), start_us: 0, took_us: 0, decode_us: 0, worker: number });
            }
            self.add(sys);
            return; // the places have changed
        }
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
    pub(super) fn stop(&mut self) {
        while let Some(worker) = self.workers.pop() {
            let Worker { pid, jobs, answers, at, .. } = worker;
            drop((jobs, answers));
            if at.is_none() {
                let _ = waitpid(pid, WaitOptions::empty());
            }
        }
    }
}

/// Runs an errand of the step `at`, and takes its time.
fn run(sys: &Sys<'_>, at: usize, errand: &Errand<'_>) -> Answer {
    let start_us = super::now_us() as u32;
    let result = if errand.is_command {
        sys.command(errand.text, errand.name, errand.options)
    } else {
        sys.insert(errand.text, errand.options)
    };
    let took_us = (super::now_us() as u32).wrapping_sub(start_us);
    Answer { at, result, start_us, took_us, decode_us: sys.decode_us.take(), worker: 0 }
}

/// What a worker does until its pipe ends.
fn work(sys: &Sys<'_>, jobs: &OwnedFd, answers: &OwnedFd) -> ! {
    let mut job = [0u8; JOB_LEN];
    loop {
        let mut len = 0;
        let errand = loop {
            let room = job.get_mut(len..).unwrap_or_default();
            match rustix::io::read(jobs, room) {
                Ok(0) => exit(0),
                Ok(more) => len = len.saturating_add(more),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => exit(1),
            }
            // Most jobs come whole with the first read.
            if let Some(errand) = decode_job(job.get(..len).unwrap_or_default()) {
                break errand;
            }
        };
        let _ = rustix::io::write(answers, &encode_answer(&run(sys, 0, &errand)));
    }
}

/// Writes the head of a job, which goes to a worker as one message; `None` where it is too long for one.
fn head(errand: &Errand<'_>) -> Option<[u8; HEAD_LEN]> {
    let mut head = [0; HEAD_LEN];
    let (is_command, lens) = head.split_first_mut()?;
    *is_command = errand.is_command.into();
    let (lens, _) = lens.as_chunks_mut::<2>();
    let mut job_len = HEAD_LEN;
    for (len, part) in lens.iter_mut().zip([errand.text, errand.name, errand.options]) {
        *len = u16::try_from(part.len()).ok()?.to_ne_bytes();
        job_len = job_len.saturating_add(part.len());
    }
    Some(head).filter(|_| job_len <= JOB_LEN)
}

/// Reads a job; `None` where it is not whole yet.
fn decode_job(job: &[u8]) -> Option<Errand<'_>> {
    let (&[is_command, ref lens @ ..], mut rest) = job.split_first_chunk::<HEAD_LEN>()?;
    let (lens, _) = lens.as_chunks::<2>();
    let mut parts = [&[][..]; 3];
    for (part, len) in parts.iter_mut().zip(lens) {
        (*part, rest) = rest.split_at_checked(u16::from_ne_bytes(*len).into())?;
    }
    let [text, name, options] = parts;
    Some(Errand { is_command: is_command != 0, text, name, options })
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
    let values = [kind, value as u32, answer.start_us, answer.took_us, answer.decode_us];
    for (slot, word) in slots.iter_mut().zip(values) {
        *slot = word.to_ne_bytes();
    }
    words
}

fn decode(words: &[u8; ANSWER_LEN]) -> Answer {
    let mut values = [0; 5];
    let (slots, _) = words.as_chunks::<4>();
    for (value, slot) in values.iter_mut().zip(slots) {
        *value = u32::from_ne_bytes(*slot);
    }
    let [kind, value, start_us, took_us, decode_us] = values;
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
    Answer { at: 0, result, start_us, took_us, decode_us, worker: 0 }
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
            let answer = Answer { at: 0, result, start_us: u32::MAX, took_us: 2, decode_us: 1, worker: 0 };
            let back = decode(&encode_answer(&answer));
            assert_eq!((back.result, back.start_us, back.took_us, back.decode_us), (result, u32::MAX, 2, 1));
        }
    }

    #[test]
    fn a_job_that_is_too_long_is_not_cut() {
        let options = [b'x'; JOB_LEN];
        let errand = Errand { is_command: false, text: b"k/a.ko", name: b"a", options: &options };
        assert_eq!(head(&errand), None);
        assert!(head(&Errand { options: &options[HEAD_LEN + 7..], ..errand }).is_some());
    }

    #[test]
    fn a_job_comes_back_when_it_is_whole() {
        let errand = Errand { is_command: true, text: b"true", name: b"a", options: b"p=1" };
        let job = [&head(&errand).unwrap()[..], errand.text, errand.name, errand.options].concat();
        for len in 0..job.len() {
            assert!(decode_job(&job[..len]).is_none());
        }
        let back = decode_job(&job).unwrap();
        assert!(back.is_command);
        assert_eq!([back.text, back.name, back.options], [errand.text, errand.name, errand.options]);
    }
}
