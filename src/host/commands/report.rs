// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report of a build: a table of the modules with sizes and reasons, totals, and notes.

use crate::host::select::selection::{Selection, number_warning};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Write as _;

/// The report of a build.
#[derive(Debug)]
pub struct Report<'a> {
    /// First line: boards, architecture, kernel.
    pub title: String,
    /// Each module: modname, bytes in the image, reason.
    pub modules: Vec<(&'a str, u64, String)>,
    /// Each total: its name, bytes.
    pub totals: Vec<(String, u64)>,
    /// The selection, for built-in and missing modules.
    pub selection: &'a Selection,
    /// The user of each missing firmware file, by its name.
    pub missing_firmware: BTreeMap<String, String>,
    /// Further lines, in prose.
    pub notes: Vec<String>,
}

impl Report<'_> {
    /// Adds a total of `len` bytes.
    pub fn total(&mut self, name: impl Into<String>, len: usize) {
        self.totals.push((name.into(), len as u64));
    }

    /// Renders the report as text with aligned columns, its table cut to `columns`.
    pub fn text(&self, columns: Option<usize>) -> String {
        let mut text = format!("{}\n\n", self.title);
        let names =
            self.modules.iter().map(|(modname, ..)| *modname).chain(self.totals.iter().map(|(name, _)| &**name));
        let width = names.map(str::len).max().unwrap_or(0).max("module".len());
        let sizes = self.modules.iter().map(|(_, len, _)| *len).chain(self.totals.iter().map(|(_, len)| *len));
        let size_width = sizes.map(|len| grouped(len).len()).max().unwrap_or(0).max("bytes".len());
        let mut row = |name: &str, size: &str, reason: &str| {
            let line = format!("{name:width$}  {size:>size_width$}  {reason}");
            writeln!(text, "{}", fitted(line.trim_end(), columns)).expect("writing to a String cannot fail");
        };
        row("module", "bytes", "why");
        for (modname, len, reason) in &self.modules {
            row(modname, &grouped(*len), reason);
        }
        row("", "", "");
        for (name, len) in &self.totals {
            row(name, &grouped(*len), "");
        }
        for (name, reason) in &self.selection.builtin {
            writeln!(text, "built in: {name} ({reason})").expect("writing to a String cannot fail");
        }
        for (softdep, owner) in &self.selection.unknown_softdeps {
            writeln!(text, "missing: {softdep} (softdep of {owner}; modprobe ignores it)")
                .expect("writing to a String cannot fail");
        }
        for (name, key) in &self.selection.absent {
            writeln!(text, "missing: {name} ({key})").expect("writing to a String cannot fail");
        }
        for name in &self.selection.unused_exclusions {
            writeln!(text, "missing: {name} (modules.exclude)").expect("writing to a String cannot fail");
        }
        for (name, user) in &self.missing_firmware {
            writeln!(text, "missing: {name} (firmware of {user})").expect("writing to a String cannot fail");
        }
        for note in self.notes.iter().cloned().chain(number_warning(&self.selection.unnumbered)) {
            writeln!(text, "{note}").expect("writing to a String cannot fail");
        }
        text
    }
}

/// Returns the width of the terminal on standard output, if it is one.
pub fn terminal_columns() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// Returns a line cut to `columns`, with a sign where it goes on.
pub fn fitted(line: &str, columns: Option<usize>) -> String {
    match columns {
        Some(columns) if line.chars().count() > columns => {
            line.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
        }
        _ => line.to_owned(),
    }
}

/// Returns a count of things: `1 module`, `2 modules`.
pub fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Returns a number in decimal, with a comma between groups of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Prints to standard output; ignores a closed pipe.
pub fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::select::reason::Request;

    #[test]
    fn columns_line_up() {
        let selection = Selection {
            builtin: vec![("mmc_block".into(), Request::Load)],
            unknown_softdeps: vec![("gcm".into(), "cifs".into())],
            unused_exclusions: vec!["nuveau".into()],
            ..Selection::default()
        };
        let report = Report {
            title: "A board".into(),
            modules: vec![("ext4", 1_234_567, "load".into()), ("crc16", 999, "needed by ext4".into())],
            totals: vec![("loader".into(), 0)],
            selection: &selection,
            missing_firmware: BTreeMap::from([("x.bin".into(), "ext4".into())]),
            notes: vec!["1 note".into()],
        };
        let want = "A board\n\n\
            module      bytes  why\n\
            ext4    1,234,567  load\n\
            crc16         999  needed by ext4\n\n\
            loader          0\n\
            built in: mmc_block (load)\n\
            missing: gcm (softdep of cifs; modprobe ignores it)\n\
            missing: nuveau (modules.exclude)\n\
            missing: x.bin (firmware of ext4)\n\
            1 note\n";
        assert_eq!(report.text(None), want);
        assert!(report.text(Some(24)).contains("\ncrc16         999  need…\n"));
    }
}
