// SPDX-License-Identifier: MIT OR Apache-2.0
//! The flight recorder's lines: the result of each module and of the whole boot, as text and as JSON.
//!
//! ```text
//! module=ext4 result=loaded alias=ext4 by=/etc/modules-load.d/initmod.conf asked_us=311042 start_us=311470 decode_us=0
//!   kernel_us=20117 worker=1 tries=1                                           one line; result: loaded, present, failed
//! module=dummy result=failed alias=dummy by=modules_load asked_us=298110 error="its file is missing from the tree"
//! modules=23 modules_ms=41 kernel_ms=39 root_ms=310
//! ```
//! As JSON (RFC 8259) a line is one object with these keys. A text value that is more than one word has JSON's quotes.
//! `asked_us` and `start_us` are microseconds since the machine started; all other times are durations.

use crate::bytes::Decimal;
use crate::error::Error;
use heapless::VecView;

/// Length to which a name or alias is cut, bytes.
pub const TEXT_LEN: usize = 320;

/// Length that no line exceeds, bytes: three texts and a file name, each byte escaped as `\u00xx`, and the rest.
pub const LINE_LEN: usize = 8192;

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `key=value` words, for the kernel's log.
    Words,
    /// A JSON object.
    Json,
}

/// The record of one module.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its name, as lsmod prints it.
    pub module: &'a [u8],
    /// Its result.
    pub result: Verdict<'a>,
    /// The name or modalias whose request brought the module, or a module that depends on it.
    pub alias: &'a [u8],
    /// Source of the request: a device's path under /sys, a file of modules-load.d, a word of the command line.
    pub by: &'a [u8],
    /// Time of the request, microseconds since the machine started.
    pub asked_us: u64,
    /// The last attempt to insert it, if there was one.
    pub run: Option<Run>,
}

/// The result of a module.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// The kernel loaded it.
    Loaded,
    /// It was in the kernel before.
    Present,
    /// It is not in the kernel; the reason in two parts.
    Failed(&'a [u8], &'a [u8]),
}

/// The last attempt to insert a module.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Time of its start, microseconds since the machine started.
    pub start_us: u64,
    /// Time of decompression by the loader; 0 if the kernel decompressed, or if the file is plain.
    pub decode_us: u32,
    /// Time that the kernel, or the install command, took.
    pub kernel_us: u32,
    /// Number of the worker, from 1; 0 is the loader itself.
    pub worker: u32,
    /// Number of the attempt, from 1.
    pub tries: u8,
}

/// The summary of a boot, or of a command that loads.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// Number of modules loaded.
    pub modules: u64,
    /// Time from the loader's start until the last module was loaded.
    pub modules_ms: u64,
    /// Time that the kernel took for modules; overlapping times count once.
    pub kernel_ms: u64,
    /// Time from the loader's start until the root was mounted; `None` for a command.
    pub root_ms: Option<u64>,
}

impl Record<'_> {
    /// Appends its line, without a line feed.
    ///
    /// # Errors
    /// [`Error::Full`] if `out` has less than [`LINE_LEN`] bytes of capacity left.
    pub fn emit(&self, style: Style, out: &mut VecView<u8>) -> Result<(), Error> {
        let (result, why): (&[u8], _) = match self.result {
            Verdict::Loaded => (b"loaded", None),
            Verdict::Present => (b"present", None),
            Verdict::Failed(what, detail) => (b"failed", Some([what, detail])),
        };
        let mut line = Line::begin(style, out);
        for (key, text) in [("module", self.module), ("result", result), ("alias", self.alias), ("by", self.by)] {
            line.text(key, &[text]);
        }
        line.numbers(&["asked_us"], &[self.asked_us]);
        if let Some(run) = self.run {
            let values = [run.decode_us.into(), run.kernel_us.into(), run.worker.into(), run.tries.into()];
            line.numbers(&["start_us"], &[run.start_us]);
            line.numbers(&["decode_us", "kernel_us", "worker", "tries"], &values);
        }
        if let Some(why) = why {
            line.text("error", &why);
        }
        line.end()
    }
}

impl Summary {
    /// Appends its line, without a line feed.
    ///
    /// # Errors
    /// [`Error::Full`] if `out` has less than [`LINE_LEN`] bytes of capacity left.
    pub fn emit(&self, style: Style, out: &mut VecView<u8>) -> Result<(), Error> {
        let mut line = Line::begin(style, out);
        line.numbers(&["modules", "modules_ms", "kernel_ms"], &[self.modules, self.modules_ms, self.kernel_ms]);
        if let Some(root_ms) = self.root_ms {
            line.numbers(&["root_ms"], &[root_ms]);
        }
        line.end()
    }
}

struct Line<'out> {
    out: &'out mut VecView<u8>,
    style: Style,
    is_first: bool,
    is_full: bool,
}

impl<'out> Line<'out> {
    fn begin(style: Style, out: &'out mut VecView<u8>) -> Self {
        let mut line = Line { out, style, is_first: true, is_full: false };
        if style == Style::Json {
            line.put(b"{");
        }
        line
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.style == Style::Json {
            self.put(b"}");
        }
        if self.is_full { Err(Error::Full) } else { Ok(()) }
    }

    fn put(&mut self, text: &[u8]) {
        self.is_full |= self.out.extend_from_slice(text).is_err();
    }

    fn key(&mut self, key: &str) {
        let [between, open, close]: [&[u8]; 3] = match self.style {
            Style::Words => [b" ", b"", b"="],
            Style::Json => [b",", b"\"", b"\":"],
        };
        let between = if core::mem::replace(&mut self.is_first, false) { b"" } else { between };
        [between, open, key.as_bytes(), close].into_iter().for_each(|part| self.put(part));
    }

    fn numbers(&mut self, keys: &[&str], values: &[u64]) {
        for (key, value) in keys.iter().zip(values) {
            self.key(key);
            self.put(Decimal::new(*value).text());
        }
    }

    fn text(&mut self, key: &str, parts: &[&[u8]]) {
        self.key(key);
        let is_word = |part: &&[u8]| part.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        let quote: &[u8] = if self.style == Style::Words && parts.iter().all(is_word) { b"" } else { b"\"" };
        self.put(quote);
        // Non-ASCII bytes are escaped, too: they need not be UTF-8.
        for &byte in parts.iter().flat_map(|part| part.get(..TEXT_LEN).unwrap_or(part)) {
            let digit = |nibble: u8| if nibble < 10 { b'0'.wrapping_add(nibble) } else { b'W'.wrapping_add(nibble) };
            match byte {
                b'"' | b'\\' => self.put(&[b'\\', byte]),
                b' '..=b'~' => self.put(&[byte]),
                _ => self.put(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]),
            }
        }
        self.put(quote);
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const RECORD: Record<'_> = Record {
        module: b"ext4",
        result: Verdict::Loaded,
        alias: b"of:Nmmc\"T\\C\x01\xff",
        by: b"/devices/soc",
        asked_us: u64::MAX,
        run: Some(Run { start_us: 311_470, decode_us: 0, kernel_us: u32::MAX, worker: 1, tries: 2 }),
    };

    fn emitted(style: Style, emit: impl Fn(Style, &mut VecView<u8>) -> Result<(), Error>) -> String {
        let mut out = heapless::Vec::<u8, LINE_LEN>::new();
        emit(style, &mut out).unwrap();
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn parsed(record: &Record<'_>) -> Value {
        serde_json::from_str(&emitted(Style::Json, |style, out| record.emit(style, out))).unwrap()
    }

    #[test]
    fn a_line_is_one_json_object() {
        let want = json!({
            "module": "ext4", "result": "loaded", "alias": "of:Nmmc\"T\\C\u{1}\u{ff}", "by": "/devices/soc",
            "asked_us": u64::MAX, "start_us": 311_470, "decode_us": 0, "kernel_us": u32::MAX, "worker": 1, "tries": 2,
        });
        assert_eq!(parsed(&RECORD), want);
        let summary = Summary { modules: 23, modules_ms: 41, kernel_ms: 39, root_ms: Some(310) };
        let line = emitted(Style::Json, |style, out| summary.emit(style, out));
        assert_eq!(line, r#"{"modules":23,"modules_ms":41,"kernel_ms":39,"root_ms":310}"#);
    }

    #[test]
    fn what_was_not_tried_has_no_times() {
        let record = Record { result: Verdict::Failed(b"left out, it needs ", b"llc"), run: None, ..RECORD };
        let line = parsed(&record);
        assert_eq!((&line["error"], line.get("start_us")), (&json!("left out, it needs llc"), None));
    }

    #[test]
    fn words_are_quoted_where_they_are_several() {
        let record = Record { alias: b"virtio:d2v1", result: Verdict::Failed(b"busy", b""), run: None, ..RECORD };
        let line = emitted(Style::Words, |style, out| record.emit(style, out));
        let want =
            "module=ext4 result=failed alias=virtio:d2v1 by=/devices/soc asked_us=18446744073709551615 error=busy";
        assert_eq!(line, want);
        let record = Record { result: Verdict::Failed(b"not found", b""), ..record };
        assert!(emitted(Style::Words, |style, out| record.emit(style, out)).ends_with(r#" error="not found""#));
    }

    #[test]
    fn the_longest_fits_and_no_room_is_an_error() {
        let long = [b'\n'; 3 * TEXT_LEN];
        let record = Record { alias: &long, by: &long, result: Verdict::Failed(&[b'x'; 99], &long), ..RECORD };
        assert_eq!(parsed(&record)["alias"].as_str().map(str::len), Some(TEXT_LEN));
        assert_eq!(RECORD.emit(Style::Json, &mut heapless::Vec::<u8, 60>::new()), Err(Error::Full));
    }
}
