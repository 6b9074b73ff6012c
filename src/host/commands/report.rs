//! What was built, for people: a table of the modules with sizes and reasons, and totals.

use crate::host::select::selection::{Selection, numbers};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Write as _;

/// What an image came to.
#[derive(Debug)]
pub struct Report<'a> {
    /// Board, architecture and kernel, for the first line.
    pub title: String,
    /// Each module: modname, length in the image in bytes, why it is in.
    pub modules: Vec<(&'a str, u64, String)>,
    /// Totals, in bytes.
    pub totals: Vec<(String, u64)>,
    /// What the selection came to beside modules.
    pub selection: &'a Selection,
    /// Firmware that was not found, and who asks for it.
    pub missing_firmware: BTreeMap<String, String>,
    /// What else there is to say, in prose.
    pub notes: Vec<String>,
}

impl Report<'_> {
    /// Adds a total of `len` bytes.
    pub fn total(&mut self, name: impl Into<String>, len: usize) {
        self.totals.push((name.into(), len as u64));
    }

    /// Renders the report as aligned text.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        let names =
            self.modules.iter().map(|(modname, ..)| *modname).chain(self.totals.iter().map(|(what, _)| &**what));
        let width = names.map(str::len).max().unwrap_or(0).max("module".len());
        let sizes = self.modules.iter().map(|(_, len, _)| *len).chain(self.totals.iter().map(|(_, len)| *len));
        let size_width = sizes.map(|len| grouped(len).len()).max().unwrap_or(0).max("bytes".len());
        let mut row = |name: &str, size: &str, reason: &str| {
            let line = format!("{name:width$}  {size:>size_width$}  {reason}");
            writeln!(text, "{}", line.trim_end()).expect("a String takes it");
        };
        row("module", "bytes", "why");
        for (modname, len, reason) in &self.modules {
            row(modname, &grouped(*len), reason);
        }
        row("", "", "");
        for (what, len) in &self.totals {
            row(what, &grouped(*len), "");
        }
        for (name, reason) in &self.selection.builtin {
            writeln!(text, "built in: {name} ({reason})").expect("a String takes it");
        }
        for (softdep, owner) in &self.selection.unknown_softdeps {
            writeln!(text, "not there: {softdep} (softdep of {owner}; modprobe ignores it)")
                .expect("a String takes it");
        }
        for (name, key) in &self.selection.absent {
            writeln!(text, "not there: {name} ({key})").expect("a String takes it");
        }
        for name in &self.selection.idle_exclusions {
            writeln!(text, "not there: {name} (modules.exclude)").expect("a String takes it");
        }
        for (name, who) in &self.missing_firmware {
            writeln!(text, "not there: {name} (firmware of {who})").expect("a String takes it");
        }
        for note in self.notes.iter().cloned().chain(numbers(&self.selection.as_they_come)) {
            writeln!(text, "{note}").expect("a String takes it");
        }
        text
    }
}

/// Writes a number with a comma before each three digits.
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

/// Prints to a reader that may have gone away.
pub fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::select::selection::Reason;

    #[test]
    fn columns_line_up() {
        let selection = Selection {
            builtin: vec![("mmc_block".into(), Reason::Load)],
            unknown_softdeps: vec![("gcm".into(), "cifs".into())],
            idle_exclusions: vec!["nuveau".into()],
            ..Selection::default()
        };
        let report = Report {
            title: "A board".into(),
            modules: vec![("ext4", 1_234_567, "load".into()), ("crc16", 999, "needed by ext4".into())],
            totals: vec![("loader".into(), 0)],
            selection: &selection,
            missing_firmware: BTreeMap::from([("x.bin".into(), "ext4".into())]),
            notes: vec!["1 thing to say".into()],
        };
        let want = "A board\n\n\
            module      bytes  why\n\
            ext4    1,234,567  load\n\
            crc16         999  needed by ext4\n\n\
            loader          0\n\
            built in: mmc_block (load)\n\
            not there: gcm (softdep of cifs; modprobe ignores it)\n\
            not there: nuveau (modules.exclude)\n\
            not there: x.bin (firmware of ext4)\n\
            1 thing to say\n";
        assert_eq!(report.text(), want);
    }
}
