// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration in depmod.d: which of two files of one modname is taken, which directories outside the tree belong
//! to it, and which entries are skipped. Source: depmod.d(5); kmod's tools/depmod.c for cases it does not mention.

use crate::host::error::{Error, Result};
use crate::host::input;
use crate::host::root::Root;
use regex_lite::Regex;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// The places of depmod.d. A file hides those of its name in later directories.
pub const DIRS: [&str; 5] =
    ["/etc/depmod.d", "/run/depmod.d", "/usr/local/lib/depmod.d", "/usr/lib/depmod.d", "/lib/depmod.d"];

/// Returns the places of depmod.d in a target's root.
pub fn dirs_of_target(root: &Root) -> Vec<PathBuf> {
    DIRS.map(|dir| root.join(Path::new(dir))).into()
}

/// The configuration of depmod for one kernel.
#[derive(Debug, Clone, Default)]
pub struct DepmodConfig {
    /// The places to search, the preferred one first; if empty, `updates`.
    search: Vec<Place>,
    /// Paths without suffix, relative to the tree: `extra/foo`.
    overrides: Vec<String>,
    /// Directories outside the tree, absolute; the first is preferred.
    pub externals: Vec<String>,
    /// Names of files and directories that are skipped.
    pub excludes: Vec<String>,
    /// Lines that were ignored, and the reasons, for the user.
    pub warnings: Vec<String>,
}

/// A place that `search` names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A directory of the tree.
    Dir(String),
    /// All directories of the tree that no other place names.
    BuiltIn,
    /// The external directories.
    External,
}

/// The preference for a module file among those of its modname. The highest is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(usize);

impl DepmodConfig {
    /// Reads the configuration at `paths`, files or directories, for the kernel `kver`. Missing paths are ignored. Of a
    /// directory the `*.conf` files are read; of two files of one name, the first. Files are read in name order. Links
    /// are resolved below `root`; one to /dev/null disables its name.
    ///
    /// # Errors
    /// A path exists and cannot be read.
    pub fn read(root: &Root, paths: &[PathBuf], kver: &str) -> Result<DepmodConfig> {
        let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for path in paths {
            let real = root.follow(path).map_err(Error::io(path))?;
            let Some(meta) = input::metadata(&real)? else { continue };
            if !meta.is_dir() {
                files.entry(path.file_name().unwrap_or_default().into()).or_insert(path.clone());
                continue;
            }
            for entry in fs::read_dir(&real).map_err(Error::io(path))? {
                let name = entry.map_err(Error::io(path))?.file_name();
                if is_conf(&name) && !real.join(&name).is_dir() {
                    files.entry(name.clone()).or_insert(real.join(name));
                }
            }
        }
        let mut config = DepmodConfig::default();
        for path in files.values() {
            if fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null")) {
                continue;
            }
            let real = root.follow(path).map_err(Error::io(path))?;
            let text = if paths.contains(path) { input::read_named(&real)? } else { input::read(&real)? };
            config.parse(path, &text, kver);
        }
        Ok(config)
    }

    /// Adds the directives in `text`, the content of `path`. A bad line is ignored with a warning.
    pub fn parse(&mut self, path: &Path, text: &[u8], kver: &str) {
        for (number, line) in joined_lines(&String::from_utf8_lossy(text)) {
            let line = line.trim_end_matches('\r');
            if line.starts_with('#') {
                continue;
            }
            let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            let mut warn = |what: String| {
                let path = path.to_owned();
                self.warnings.push(Error::Line { path, line: number, what }.to_string());
            };
            match words[..] {
                [] | ["include" | "make_map_files", ..] => {}
                ["search", ref places @ ..] => self.search.extend(places.iter().map(|place| match *place {
                    "built-in" => Place::BuiltIn,
                    "external" => Place::External,
                    dir => Place::Dir(dir.to_owned()),
                })),
                ["override", modname, pattern, dir, ..] => match matches_kver(pattern, kver) {
                    Ok(true) => self.overrides.push(format!("{dir}/{modname}")),
                    Ok(false) => {}
                    Err(what) => warn(what),
                },
                ["external", pattern, dir, ..] => match matches_kver(pattern, kver) {
                    Ok(true) => self.externals.push(dir.to_owned()),
                    Ok(false) => {}
                    Err(what) => warn(what),
                },
                ["exclude", ref names @ ..] => self.excludes.extend(names.iter().map(|name| (*name).to_owned())),
                [word, ..] => warn(format!("line ignored: unknown directive `{word}`, or too few words")),
            }
        }
    }

    /// Returns the preference for the file at `path`, relative to the tree or absolute in an external directory.
    pub fn rank(&self, path: &str) -> Rank {
        // Rank 0: no directive names it. Above it the places of `search` in reverse order; at the top the overrides.
        let default = [Place::Dir("updates".to_owned())];
        let search = if self.search.is_empty() { &default[..] } else { &self.search };
        let stem = stem(path);
        if let Some(at) = self.overrides.iter().rposition(|over| over == stem) {
            return Rank(1 + search.len() * (1 + self.externals.len()) + 1 + at);
        }
        // Each place spans as many ranks as there are externals, so that these can be ranked among themselves.
        let value = |at: usize, external: usize| Rank(1 + (search.len() - at) * (1 + self.externals.len()) - external);
        let named = search.iter().enumerate().find_map(|(at, place)| match place {
            Place::Dir(dir) => is_below(path, dir).then(|| value(at, 0)),
            Place::External => self.externals.iter().position(|dir| is_below(path, dir)).map(|which| value(at, which)),
            Place::BuiltIn => None,
        });
        let built_in = || search.iter().position(|place| *place == Place::BuiltIn).map(|at| value(at, 0));
        named.or_else(built_in).unwrap_or(Rank(0))
    }

    /// Whether an entry named `name` is skipped. `build` and `source` are links out of the tree.
    pub fn excludes(&self, name: &str) -> bool {
        matches!(name, "build" | "source") || self.excludes.iter().any(|excluded| excluded == name)
    }
}

/// Returns `path` up to the first `.` of its base name.
fn stem(path: &str) -> &str {
    let base = path.rfind('/').map_or(0, |slash| slash + 1);
    path[base..].find('.').map_or(path, |dot| &path[..base + dot])
}

fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

fn is_conf(name: &OsString) -> bool {
    name.to_str().is_some_and(|name| !name.starts_with('.') && name.len() > ".conf".len() && name.ends_with(".conf"))
}

/// Whether `pattern`, `*` or a POSIX extended regular expression, matches the kernel `kver`.
fn matches_kver(pattern: &str, kver: &str) -> Result<bool, String> {
    if pattern == "*" {
        return Ok(true);
    }
    let regex = Regex::new(pattern).map_err(|error| format!("line ignored: bad pattern `{pattern}`: {error}"))?;
    Ok(regex.is_match(kver))
}

/// Yields the logical lines, each with the number of its first line. A backslash before a newline joins two lines;
/// before another character it is dropped. Source: kmod, `freadline_wrapped`.
fn joined_lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    let (mut letters, mut number) = (text.chars().peekable(), 0);
    std::iter::from_fn(move || {
        letters.peek()?;
        number += 1;
        let (first, mut line) = (number, String::new());
        while let Some(letter) = letters.next().filter(|letter| *letter != '\n') {
            match letter {
                '\\' if letters.next_if_eq(&'\n').is_some() => number += 1,
                '\\' => line.extend(letters.next()),
                _ => line.push(letter),
            }
        }
        Some((first, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> DepmodConfig {
        let mut config = DepmodConfig::default();
        config.parse(Path::new("t.conf"), text.as_bytes(), "6.12.0-test");
        config
    }

    #[test]
    fn updates_come_first_by_default() {
        let config = config("");
        assert!(config.rank("updates/a.ko") > config.rank("kernel/a.ko"));
        assert_eq!(config.rank("updates2/a.ko"), config.rank("kernel/a.ko"));
    }

    #[test]
    fn search_ranks_left_to_right() {
        let config = config("search one built-in two\n");
        assert!(config.rank("one/a.ko") > config.rank("kernel/a.ko"));
        assert!(config.rank("kernel/a.ko") > config.rank("two/a.ko"));
    }

    #[test]
    fn places_outside_search_come_last() {
        let config = config("search one two");
        assert!(config.rank("two/a.ko") > config.rank("kernel/a.ko"));
    }

    #[test]
    fn externals_rank_as_in_search_and_the_first_before_others() {
        let config = config("external * /a\nexternal 6[.].* /b\nexternal ^5 /c\nsearch built-in external");
        assert_eq!(config.externals, ["/a", "/b"]);
        assert!(config.rank("/a/x.ko") > config.rank("/b/x.ko"));
        assert!(config.rank("kernel/x.ko") > config.rank("/a/x.ko"));
    }

    #[test]
    fn an_override_is_preferred_to_all_and_names_the_exact_file() {
        let config = config("override a 6.* weak/dir\noverride b ^7 weak/dir");
        assert!(config.rank("weak/dir/a.ko.xz") > config.rank("updates/a.ko"));
        assert!(config.rank("weak/dir/b.ko") < config.rank("updates/b.ko"));
    }

    #[test]
    fn a_backslash_continues_a_line() {
        let config = config("search \\\none\\\n two\n# no \\\nexclude hidden\nexclude gone away\n");
        assert_eq!(config.search, [Place::Dir("one".into()), Place::Dir("two".into())]);
        assert_eq!(config.excludes, ["gone", "away"]);
    }

    #[test]
    fn a_backslash_is_not_part_of_a_line() {
        let lines: Vec<_> = joined_lines("a\\b\\\\\nc\\\n d\ne").collect();
        assert_eq!(lines, [(1, "ab\\".into()), (2, "c d".into()), (4, "e".into())]);
    }

    #[test]
    fn a_bad_line_is_reported_with_its_number() {
        let config = config("\nsearch a\noverride a b\nfrobnicate\noverride a ( c\n");
        assert_eq!(config.warnings.len(), 3);
        assert!(config.warnings[0].starts_with("t.conf:3: "), "{:?}", config.warnings);
    }
}
