//! The flight recorder's lines: what became of each module of a boot, and of the boot, in words and as JSON.
//!
//! ```text
//! module=ext4 result=loaded alias=ext4 by=/etc/modules-load.d/initmod.conf asked_us=311042 start_us=311470 decode_us=0
//!   kernel_us=20117 worker=1 tries=1                                           one line; result: loaded, present, failed
//! module=dummy result=failed alias=dummy by=modules_load asked_us=298110 error="its file is missing from the tree"
//! modules=23 modules_ms=41 kernel_ms=39 root_ms=310
//! ```
//! As JSON (RFC 8259) a line is one object of the same keys. A value in words stands in JSON's quotes where it would not
//! be one word otherwise. `asked_us` and `start_us` are microseconds since the machine's start; all others are durations.

use crate::bytes::Decimal;
use crate::error::Error;
use heapless::VecView;

/// Longest alias or name that a line has in full, bytes; the rest is cut off.
pub const TEXT_LEN: usize = 320;

/// Room for any line, bytes: three texts and a file's name, each byte as `\u00xx`, and the rest.
pub const LINE_LEN: usize = 8192;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Keys and values with `=` between, for the kernel's log.
    Words,
    /// A JSON object.
    Json,
}

/// What became of a module.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its name, as lsmod has it.
    pub module: &'a [u8],
    /// What came of it.
    pub result: Verdict<'a>,
    /// The name or modalias that it, or what needs it, was asked for by.
    pub alias: &'a [u8],
    /// Who asked: a device's path under /sys, a file of modules-load.d, a word of the command line.
    pub by: &'a [u8],
    /// When.
    pub asked_us: u64,
    /// How it was handed to the kernel, if it was.
    pub run: Option<Run>,
}

/// What came of a module.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// The kernel took it.
    Loaded,
    /// It was in before.
    Present,
    /// It is not in: why, in two parts.
    Failed(&'a [u8], &'a [u8]),
}

/// How a module was handed to the kernel, the last time.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// When.
    pub start_us: u64,
    /// How long it was decompressed here; 0 where the kernel did that, or nobody.
    pub decode_us: u32,
    /// How long it was with the kernel, or the command in its place ran.
    pub kernel_us: u32,
    /// Which worker had it, counted from 1; 0 is the loader itself.
    pub worker: u32,
    /// Which try it was.
    pub tries: u8,
}

/// What a boot came to.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// How many modules were loaded.
    pub modules: u64,
    /// From the loader's start until the last one was in.
    pub modules_ms: u64,
    /// How long modules were with the kernel.
    pub kernel_ms: u64,
    /// From the loader's start until the root was there; `None` of a command.
    pub root_ms: Option<u64>,
}

impl Record<'_> {
    /// Appends its line, without a line feed.
    ///
    /// # Errors
    /// [`Error::Full`] where `out` has not [`LINE_LEN`] bytes of room.
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
    /// [`Error::Full`] where `out` has not [`LINE_LEN`] bytes of room.
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
        // Bytes that are no ASCII are escaped, too: nobody says that they are UTF-8.
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
