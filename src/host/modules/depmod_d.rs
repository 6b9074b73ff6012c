//! depmod.d: which of two files of one modname counts, which directories outside the tree belong to it, and which
//! entries are never looked at. Source: depmod.d(5); kmod's tools/depmod.c where that is silent.

use crate::host::error::{Error, Result};
use regex_lite::Regex;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Where depmod.d may lie: a file hides those of the same name in the directories behind its own.
pub const DIRS: [&str; 5] =
    ["/etc/depmod.d", "/run/depmod.d", "/usr/local/lib/depmod.d", "/usr/lib/depmod.d", "/lib/depmod.d"];

/// What the configuration says for one kernel.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Best first.
    search: Vec<Place>,
    /// Paths without suffix, relative to the tree: `extra/foo`.
    overrides: Vec<String>,
    /// Absolute directories; of two the first named counts.
    pub externals: Vec<String>,
    /// Names of entries, files or directories.
    pub excludes: Vec<String>,
    /// What was passed over, and why; for people.
    pub warnings: Vec<String>,
}

/// A word of `search`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A directory of the tree.
    Dir(String),
    /// Whatever no other place is named for.
    BuiltIn,
    /// The external directories.
    External,
}

/// How much a module file counts against another of its modname; more counts more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(usize);

impl Rules {
    /// Reads the configuration at `paths`, files or directories, for the kernel `kver`. What does not exist says
    /// nothing; in a directory only `*.conf` counts, and of one file name the first; all are taken in name order.
    ///
    /// # Errors
    /// A file that is there can't be read.
    pub fn read(paths: &[PathBuf], kver: &str) -> Result<Rules> {
        let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for path in paths {
            let Ok(meta) = fs::metadata(path) else { continue };
            if !meta.is_dir() {
                files.entry(path.file_name().unwrap_or_default().into()).or_insert(path.clone());
                continue;
            }
            for entry in fs::read_dir(path).map_err(Error::io(path))? {
                let entry = entry.map_err(Error::io(path))?;
                if is_conf(&entry.file_name()) && !entry.path().is_dir() {
                    files.entry(entry.file_name()).or_insert(entry.path());
                }
            }
        }
        let mut rules = Rules::default();
        for path in files.values() {
            rules.parse(path, &fs::read(path).map_err(Error::io(path))?, kver);
        }
        Ok(rules)
    }

    /// Adds the directives in `text`, the content of `path`. A bad line is told and left out.
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
                ["override", modname, pattern, dir, ..] => match is_for(pattern, kver) {
                    Ok(true) => self.overrides.push(format!("{dir}/{modname}")),
                    Ok(false) => {}
                    Err(what) => warn(what),
                },
                ["external", pattern, dir, ..] => match is_for(pattern, kver) {
                    Ok(true) => self.externals.push(dir.to_owned()),
                    Ok(false) => {}
                    Err(what) => warn(what),
                },
                ["exclude", ref names @ ..] => self.excludes.extend(names.iter().map(|name| (*name).to_owned())),
                [word, ..] => warn(format!("{word}: no such directive, or too few words; the line is left out")),
            }
        }
    }

    /// Ranks the file `path`: relative to the tree, or absolute in an external directory.
    pub fn rank(&self, path: &str) -> Rank {
        // 0: nothing is known of it; then the places of `search`, the last named lowest; on top the overrides.
        let default = [Place::Dir("updates".to_owned())];
        let search = if self.search.is_empty() { &default[..] } else { &self.search };
        let stem = stem(path);
        if let Some(at) = self.overrides.iter().rposition(|over| over == stem) {
            return Rank(1 + search.len() * (1 + self.externals.len()) + 1 + at);
        }
        // Each place has room for all externals, so that these are ranked among themselves.
        let value = |at: usize, external: usize| Rank(1 + (search.len() - at) * (1 + self.externals.len()) - external);
        let named = search.iter().enumerate().find_map(|(at, place)| match place {
            Place::Dir(dir) => is_below(path, dir).then(|| value(at, 0)),
            Place::External => self.externals.iter().position(|dir| is_below(path, dir)).map(|which| value(at, which)),
            Place::BuiltIn => None,
        });
        let built_in = || search.iter().position(|place| *place == Place::BuiltIn).map(|at| value(at, 0));
        named.or_else(built_in).unwrap_or(Rank(0))
    }

    /// Says whether an entry called `name` is passed over; `build` and `source` lead out of every tree.
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

/// Says whether `pattern`, `*` or a POSIX extended regular expression, is for the kernel `kver`.
fn is_for(pattern: &str, kver: &str) -> Result<bool, String> {
    if pattern == "*" {
        return Ok(true);
    }
    let regex = Regex::new(pattern).map_err(|error| format!("{pattern}: {error}; the line is left out"))?;
    Ok(regex.is_match(kver))
}

/// Yields the lines with the number of each one's first. A backslash is not part of a line: it joins the next one, or
/// stands for the character behind it. Source: kmod, `freadline_wrapped`.
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

    fn rules(text: &str) -> Rules {
        let mut rules = Rules::default();
        rules.parse(Path::new("t.conf"), text.as_bytes(), "6.12.0-test");
        rules
    }

    #[test]
    fn updates_come_first_by_default() {
        let rules = rules("");
        assert!(rules.rank("updates/a.ko") > rules.rank("kernel/a.ko"));
        assert_eq!(rules.rank("updates2/a.ko"), rules.rank("kernel/a.ko"));
    }

    #[test]
    fn search_ranks_left_to_right() {
        let rules = rules("search one built-in two\n");
        assert!(rules.rank("one/a.ko") > rules.rank("kernel/a.ko"));
        assert!(rules.rank("kernel/a.ko") > rules.rank("two/a.ko"));
    }

    #[test]
    fn what_search_leaves_out_comes_last() {
        let rules = rules("search one two");
        assert!(rules.rank("two/a.ko") > rules.rank("kernel/a.ko"));
    }

    #[test]
    fn externals_rank_where_search_says_and_first_named_first() {
        let rules = rules("external * /a\nexternal 6[.].* /b\nexternal ^5 /c\nsearch built-in external");
        assert_eq!(rules.externals, ["/a", "/b"]);
        assert!(rules.rank("/a/x.ko") > rules.rank("/b/x.ko"));
        assert!(rules.rank("kernel/x.ko") > rules.rank("/a/x.ko"));
    }

    #[test]
    fn an_override_beats_all_and_names_the_exact_file() {
        let rules = rules("override a 6.* weak/dir\noverride b ^7 weak/dir");
        assert!(rules.rank("weak/dir/a.ko.xz") > rules.rank("updates/a.ko"));
        assert!(rules.rank("weak/dir/b.ko") < rules.rank("updates/b.ko"));
    }

    #[test]
    fn a_backslash_continues_a_line() {
        let rules = rules("search \\\none\\\n two\n# no \\\nexclude hidden\nexclude gone away\n");
        assert_eq!(rules.search, [Place::Dir("one".into()), Place::Dir("two".into())]);
        assert_eq!(rules.excludes, ["gone", "away"]);
    }

    #[test]
    fn a_backslash_is_not_part_of_a_line() {
        let lines: Vec<_> = joined_lines("a\\b\\\\\nc\\\n d\ne").collect();
        assert_eq!(lines, [(1, "ab\\".into()), (2, "c d".into()), (4, "e".into())]);
    }

    #[test]
    fn a_bad_line_is_told_with_its_number() {
        let rules = rules("\nsearch a\noverride a b\nfrobnicate\noverride a ( c\n");
        assert_eq!(rules.warnings.len(), 3);
        assert!(rules.warnings[0].starts_with("t.conf:3: "), "{:?}", rules.warnings);
    }
}
