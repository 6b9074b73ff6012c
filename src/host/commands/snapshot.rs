// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mkinitmod snapshot import`: converts a running board's modules and devices to lines of a board file. Accepts any
//! mixture of lsmod output, /proc/modules, `uevent` files of sysfs, `udevadm info -e`, and modaliases; refuses other lines.

use super::report::print;
use crate::host::error::{Error, Result};
use crate::host::input;
use std::collections::BTreeSet;
use std::path::Path;

/// Modules and devices of a running board.
#[derive(Debug, Default, PartialEq, Eq)]
struct Snapshot {
    /// Modnames of loaded modules.
    names: BTreeSet<String>,
    /// Modaliases of devices.
    aliases: BTreeSet<String>,
}

/// Reads the snapshot at `path`, and prints lines of a board file.
///
/// # Errors
/// It is unreadable or empty, or has a line of another kind.
pub fn import(path: &Path) -> Result<()> {
    let text = input::read_named_text(path)?;
    let snapshot = parse(&text).map_err(|(line, what)| Error::Line { path: path.into(), line, what })?;
    if snapshot == Snapshot::default() {
        return Err(Error::input(path, "no modules or modaliases in this file"));
    }
    print(&render(path, &snapshot));
    Ok(())
}

fn parse(text: &str) -> Result<Snapshot, (usize, String)> {
    let mut snapshot = Snapshot::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        // udevadm prefixes properties by `E: `.
        let line = line.strip_prefix("E: ").unwrap_or(line);
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] | ["Module", "Size", ..] => {}
            _ if line.starts_with('#') => {}
            // A property may have blanks in its value: `KEY=1f0000 0 0 0 0`.
            [name, size, count, ..]
                if !name.contains('=') && is_number(size) && count.trim_start_matches('-').parse::<u32>().is_ok() =>
            {
                _ = snapshot.names.insert(name.replace('-', "_"));
            }
            [word, ..] if word.starts_with("MODALIAS=") => {
                _ = snapshot.aliases.insert(line["MODALIAS=".len()..].to_owned());
            }
            // Other lines of uevent files and of udevadm: `DRIVER=x`, `P: /devices/x`.
            [word, ..] if word.split_once('=').is_some_and(|(key, _)| is_key(key)) => {}
            [word, ..] if word.len() == 2 && word.ends_with(':') => {}
            [word, ..] if word.split_once(':').is_some_and(|(bus, rest)| is_bus(bus) && !rest.is_empty()) => {
                _ = snapshot.aliases.insert(line.to_owned());
            }
            _ => {
                return Err((
                    number,
                    format!("`{line}` is neither a module of lsmod, a line of a uevent file, nor a modalias"),
                ));
            }
        }
    }
    Ok(snapshot)
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_key(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn is_bus(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn render(path: &Path, snapshot: &Snapshot) -> String {
    let list = |entries: &BTreeSet<String>| {
        let lines = entries.iter().map(|entry| format!("    {},\n", toml::Value::String(entry.clone())));
        lines.collect::<String>()
    };
    let mut text = format!("# Imported from {}, a snapshot of a running board.\n", path.display());
    if !snapshot.names.is_empty() {
        text += &format!("\n# Loaded modules.\n[modules]\nnames = [\n{}]\n", list(&snapshot.names));
    }
    if !snapshot.aliases.is_empty() {
        text += "\n# Modaliases of the devices. Some match no module.\n[modules.expected-missing]\n";
        text += &format!("aliases = [\n{}]\n", list(&snapshot.aliases));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_of_a_snapshot_is_parsed() {
        let text = "Module                  Size  Used by\next4                  741376  1\njbd2 131072 1 ext4, Live 0x0\n\n\
            DRIVER=sunxi-mmc\nMODALIAS=of:NmmcT(null)Callwinner,sun7i-a20-mmc\nP: /devices/x\nE: MODALIAS=mmc:block\n\
            usb:v1D6Bp0002d0612dc09dsc00dp01ic09isc00ip00in00\n";
        let snapshot = parse(text).unwrap();
        assert_eq!(snapshot.names.iter().collect::<Vec<_>>(), ["ext4", "jbd2"]);
        assert_eq!(snapshot.aliases.len(), 3);
        let input =
            "PRODUCT=19/0/1/0\nNAME=\"gpio keys 4\"\nKEY=1f0000 0 0 0 0\nE: KEY=10000 0 0\nMODALIAS=input:b0019\n";
        assert_eq!(parse(input).unwrap().names.len(), 0, "a property with numbers is no module");
        let board: crate::host::board::file::Modules =
            toml::from_str::<toml::Table>(&render(Path::new("s"), &snapshot)).unwrap()["modules"]
                .clone()
                .try_into()
                .unwrap();
        assert_eq!((board.names.len(), board.expected_missing.aliases.len()), (2, 3));
    }

    #[test]
    fn other_lines_are_refused() {
        assert_eq!(parse("# x\nhello world").unwrap_err().0, 2);
        assert!(parse("<html>").is_err());
    }
}
