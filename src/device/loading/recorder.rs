// SPDX-License-Identifier: MIT OR Apache-2.0
//! The flight recorder: writes a line for each module as soon as its outcome is known, to the kernel's log and to
//! /run/initmod/boot.jsonl, which the real root can read. Their form is in [`crate::loading::record`].
//!
//! The texts of requests are kept in buffers of fixed size. When these are full, lines lack `alias` and `by`.

use super::coldplug::By;
use super::workers::Answer;
use crate::device::io::log::{Level, line, outcome_prose};
use crate::device::rt::clock;
use crate::loading::kernel::Outcome;
use crate::loading::record::{LINE_LEN, Record, Run, Style, Summary, TEXT_LEN, Verdict};
use crate::loading::step::Step;
use crate::modules::name::{modname, stem};
use heapless::{Vec, VecView};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, mkdir, openat};

/// Most steps of a plan at a time, one for each module of a tree.
const STEP_COUNT: usize = 65_536;

/// The recorder's buffers.
pub(crate) struct RecordBuffers {
    /// The request of each step of the plan.
    origins: Vec<Origin, STEP_COUNT>,
    /// Texts of requests, kept as long as their steps are in the plan.
    texts: Vec<u8, 0x1_0000>,
    /// Files and command-line words that list modules, kept for the whole boot.
    permanent: Vec<u8, 0x4000>,
}

impl RecordBuffers {
    pub(crate) const EMPTY: RecordBuffers =
        RecordBuffers { origins: Vec::new(), texts: Vec::new(), permanent: Vec::new() };
}

/// The request of a step.
#[derive(Clone, Copy, Default)]
struct Origin {
    /// The low 32 bits of its time, us.
    asked_us: u32,
    alias: Kept,
    by: Kept,
}

/// The offset of a kept text, and its length with [`PERMANENT`].
#[derive(Clone, Copy, Default)]
struct Kept(u16, u16);

/// The bit of a length that marks a text in [`RecordBuffers::permanent`].
const PERMANENT: u16 = 0x8000;

/// Records the outcome of each step.
pub(crate) struct Recorder {
    /// The request of each step of the plan.
    origins: &'static mut VecView<Origin>,
    texts: &'static mut VecView<u8>,
    permanent: &'static mut VecView<u8>,
    /// The latest text in `permanent`.
    last_word: Kept,
    file: Option<OwnedFd>,
}

impl Recorder {
    /// Creates the file.
    #[inline(never)]
    pub(crate) fn new(buffers: &'static mut RecordBuffers) -> Recorder {
        // It may exist. Without /run the kernel's log has the lines.
        let _ = mkdir(c"/run/initmod", Mode::from_raw_mode(0o755));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
        let file = openat(CWD, c"/run/initmod/boot.jsonl", flags, Mode::from_raw_mode(0o644)).ok();
        Recorder {
            origins: &mut buffers.origins,
            texts: &mut buffers.texts,
            permanent: &mut buffers.permanent,
            last_word: Kept(0, PERMANENT),
            file,
        }
    }

    /// Records that a request for `alias` has extended the plan to `step_count` steps.
    #[inline(never)]
    pub(crate) fn asked(&mut self, step_count: usize, alias: &[u8], by: By<'_>) {
        if self.origins.len() >= step_count {
            return;
        }
        let alias = keep(self.texts, alias);
        let by = match by {
            // A file may list many modules.
            By::Word(word) if word == self.text(self.last_word) => self.last_word,
            By::Word(word) => {
                self.last_word = keep(self.permanent, word);
                self.last_word.1 |= PERMANENT;
                self.last_word
            }
            By::Path(path) => keep(self.texts, path),
            By::Device(dir) => {
                let fd = crate::bytes::Decimal::new(rustix::fd::AsRawFd::as_raw_fd(dir).unsigned_abs().into());
                let link = crate::device::io::file::link("/proc/self/fd/%", &[fd.text()]);
                let link = link.as_ref().map_or(&b""[..], |link| link.as_bytes());
                keep(self.texts, link.strip_prefix(b"/sys").unwrap_or(link))
            }
        };
        let origin = Origin { asked_us: clock::stamp_us(), alias, by };
        // As long as the plan's steps, which are not full.
        let _ = self.origins.resize(step_count, origin);
    }

    /// Drops the requests of the first `count` steps, which the plan retired.
    pub(crate) fn retire(&mut self, count: usize) {
        let count = count.min(self.origins.len());
        self.origins.copy_within(count.., 0);
        self.origins.truncate(self.origins.len().saturating_sub(count));
        // Texts are in the order of their steps.
        let text_len = u16::try_from(self.texts.len()).unwrap_or(u16::MAX);
        let cut = self.origins.first().map_or(text_len, |origin| origin.alias.0);
        self.texts.copy_within(usize::from(cut).., 0);
        self.texts.truncate(self.texts.len().saturating_sub(cut.into()));
        for origin in self.origins.iter_mut() {
            for kept in [&mut origin.alias, &mut origin.by].into_iter().filter(|kept| kept.1 & PERMANENT == 0) {
                kept.0 = kept.0.saturating_sub(cut);
            }
        }
    }

    /// Returns the low 32 bits of the time of a step's request, us, its alias and its source.
    #[inline(never)]
    pub(crate) fn request(&self, at: usize) -> (u32, &[u8], &[u8]) {
        let Origin { asked_us, alias, by } = self.origins.get(at).copied().unwrap_or_default();
        (asked_us, self.text(alias), self.text(by))
    }

    fn text(&self, Kept(off, len): Kept) -> &[u8] {
        let texts = if len & PERMANENT == 0 { &self.texts } else { &self.permanent };
        texts.get(off.into()..).and_then(|text| text.get(..(len & !PERMANENT).into())).unwrap_or_default()
    }

    /// Records the outcome of the step `at`.
    pub(crate) fn done(&self, at: usize, step: &Step<'_>, outcome: Outcome<'_>, answer: Option<&Answer>) {
        let (asked_us, alias, by) = self.request(at);
        let now_us = clock::now_us();
        let whole_us = |last_bits: u32| now_us.saturating_sub(clock::stamp(now_us).wrapping_sub(last_bits).into());
        let run = answer.filter(|answer| answer.took_us > 0).map(|answer| Run {
            start_us: whole_us(answer.start_us),
            decode_us: answer.decode_us,
            kernel_us: answer.took_us.saturating_sub(answer.decode_us),
            worker: answer.worker,
            tries: step.tries,
        });
        let result = match outcome_prose(outcome) {
            None if outcome == Outcome::Loaded => Verdict::Loaded,
            None => Verdict::Present,
            Some([cause, detail]) => Verdict::Failed(cause, detail),
        };
        let asked_us = whole_us(asked_us);
        let modname = modname(step.path());
        let module = modname.as_ref().map_or(stem(step.path()), |name| name);
        let record = Record { module, result, alias, by, asked_us, run };
        self.write(&mut |style, out| record.emit(style, out).is_ok());
    }

    /// Records the boot's numbers.
    #[inline(never)]
    pub(crate) fn sum_up(&self, summary: &Summary) {
        self.write(&mut |style, out| summary.emit(style, out).is_ok());
    }

    fn write(&self, emit: &mut dyn FnMut(Style, &mut VecView<u8>) -> bool) {
        let mut text = heapless::Vec::<u8, LINE_LEN>::new();
        if emit(Style::Words, &mut text) {
            line(Level::Debug, "%", &[&text]);
        }
        text.clear();
        if let Some(file) = &self.file
            && emit(Style::Json, &mut text)
            && text.push(b'\n').is_ok()
        {
            // If /run is full, the kernel's log has the line.
            let _ = rustix::io::write(file, &text);
        }
    }
}

fn keep(texts: &mut VecView<u8>, text: &[u8]) -> Kept {
    let text = text.get(..TEXT_LEN).unwrap_or(text);
    match (u16::try_from(texts.len()), u16::try_from(text.len())) {
        (Ok(off), Ok(len)) if texts.extend_from_slice(text).is_ok() => Kept(off, len),
        _ => Kept(0, 0), // full
    }
}
