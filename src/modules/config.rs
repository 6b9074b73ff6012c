// SPDX-License-Identifier: MIT OR Apache-2.0
//! modprobe.d and modules-load.d: parses lines into directives that borrow the text, and finds those of a module.
//!
//! All files are in one text, in order of precedence. A line before each file names it (see [`MARK`]), so nothing else
//! is stored per file. Source: modprobe.d(5), modules-load.d(5), kmod's libkmod-config.c.

use super::cmdline;
use super::dep_line::DepLine;
use super::name::{Alias, normalize, same, stem};
use crate::bytes::{split, split_once};
use crate::error::Error;
use crate::glob;

/// First byte of a line that names a file; the lines after it are those of the file.
pub const MARK: u8 = 1;

/// Directories of modprobe.d files; a file name in an earlier one hides the same name in later ones.
pub const MODPROBE_DIRS: &[&[u8]] =
    &[b"/etc/modprobe.d", b"/run/modprobe.d", b"/usr/local/lib/modprobe.d", b"/usr/lib/modprobe.d", b"/lib/modprobe.d"];

/// Directories of modules-load.d files; a file name in an earlier one hides the same name in later ones. Source:
/// modules-load.d(5).
pub const LOAD_DIRS: &[&[u8]] = &[
    b"/etc/modules-load.d",
    b"/run/modules-load.d",
    b"/usr/local/lib/modules-load.d",
    b"/usr/lib/modules-load.d",
    b"/lib/modules-load.d",
];

/// The configuration: the text of all modprobe.d files, and the kernel command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config<'map> {
    /// The text of all files, each after its [`MARK`] line, with continued lines joined by [`join_lines`].
    pub text: &'map [u8],
    /// The content of /proc/cmdline.
    pub cmdline: &'map [u8],
    /// Bit set of the lines' first letters, to skip searches that can't match: each directive has another first letter.
    verbs: u32,
}

/// One line of modprobe.d.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive<'map> {
    /// Another name for a module: pattern, modname.
    Alias(&'map [u8], &'map [u8]),
    /// Options to load a module with: modname, options.
    Options(&'map [u8], &'map [u8]),
    /// A shell command to run instead of loading a module: pattern of modnames, command.
    Install(&'map [u8], &'map [u8]),
    /// A shell command to run instead of removing it: pattern of modnames, command.
    Remove(&'map [u8], &'map [u8]),
    /// A module that is not loaded by an alias of its own: modname.
    Blacklist(&'map [u8]),
    /// Modules to load before and after a module: pattern of modnames, then `pre:` and `post:`, each with modnames.
    Softdep(&'map [u8], &'map [u8]),
    /// Modules that a module may request later, for information only: pattern of modnames, modnames.
    Weakdep(&'map [u8], &'map [u8]),
}

/// A line, with its file and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'map> {
    /// The file's path, from the [`MARK`] line; empty before the first.
    pub file: &'map [u8],
    /// The line's number in its file, counted from 1; of a continued line, that of its first part.
    pub number: u32,
    /// The line, with blanks trimmed.
    pub text: &'map [u8],
}

/// Whether a softdep is loaded before or after its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before.
    Pre,
    /// After.
    Post,
}

/// Joins lines that end in `\` with the next one, in place, and returns the new length. Call it once on the text of each
/// file. The removed line feeds are put behind the joined line, so the lines after it keep their numbers.
///
/// A backslash before any other character is removed too, as in kmod's `freadline_wrapped`.
pub fn join_lines(text: &mut [u8]) -> usize {
    let (mut to, mut owed, mut escaped) = (0usize, 0usize, false);
    for from in 0..text.len() {
        let Some(&byte) = text.get(from) else { break };
        let mut put = |byte| {
            if let Some(slot) = text.get_mut(to) {
                *slot = byte;
                to = to.saturating_add(1);
            }
        };
        match (byte, escaped) {
            (b'\\', false) => escaped = true,
            (b'\n', true) => (owed, escaped) = (owed.saturating_add(1), false),
            (b'\n', false) => {
                for _ in 0..=core::mem::take(&mut owed) {
                    put(b'\n');
                }
            }
            _ => {
                escaped = false;
                put(byte);
            }
        }
    }
    to
}

/// Yields the lines that are neither empty nor comments, with the file and number of each.
pub fn lines(text: &[u8]) -> Lines<'_> {
    Lines { rest: text, file: &[], number: 0 }
}

/// The lines of a configuration; see [`lines`].
#[derive(Clone, Debug)]
pub struct Lines<'map> {
    rest: &'map [u8],
    file: &'map [u8],
    number: u32,
}

impl<'map> Iterator for Lines<'map> {
    type Item = Line<'map>;

    #[inline(never)] // one copy for all callers
    fn next(&mut self) -> Option<Line<'map>> {
        while !self.rest.is_empty() {
            let line;
            (line, self.rest) = split_once(self.rest, b'\n').unwrap_or((self.rest, &[]));
            self.number = self.number.saturating_add(1);
            match (line, line.trim_ascii()) {
                ([MARK, path @ ..], _) => (self.file, self.number) = (path, 0),
                (_, [] | [b'#' | b';', ..]) => {}
                (_, text) => return Some(Line { file: self.file, number: self.number, text }),
            }
        }
        None
    }
}

/// The directives of a configuration; see [`Config::directives`].
#[derive(Clone, Debug)]
pub struct Directives<'map>(Lines<'map>);

impl<'map> Iterator for Directives<'map> {
    type Item = Directive<'map>;

    #[inline(never)] // one copy for all callers
    fn next(&mut self) -> Option<Directive<'map>> {
        self.0.find_map(|line| Directive::parse(line.text).ok())
    }
}

impl<'map> Directive<'map> {
    /// Parses one line of modprobe.d.
    ///
    /// # Errors
    /// [`Error::BadDirective`] for an unknown directive, or one without its arguments.
    pub fn parse(line: &'map [u8]) -> Result<Self, Error> {
        let (verb, rest) = word(line);
        let (name, rest) = word(rest);
        if name.is_empty() {
            return Err(Error::BadDirective);
        }
        match (verb, rest.is_empty()) {
            (b"blacklist", _) => Ok(Directive::Blacklist(name)),
            (b"alias", false) => Ok(Directive::Alias(name, word(rest).0)),
            (b"options", false) => Ok(Directive::Options(name, rest)),
            (b"install", false) => Ok(Directive::Install(name, rest)),
            (b"remove", false) => Ok(Directive::Remove(name, rest)),
            (b"softdep", false) => Ok(Directive::Softdep(name, rest)),
            // Without modnames it has no effect.
            (b"weakdep", _) => Ok(Directive::Weakdep(name, rest)),
            _ => Err(Error::BadDirective),
        }
    }
}

/// Returns the bit of a word's first letter.
const fn initial(word: &[u8]) -> u32 {
    match word {
        [first, ..] => 1 << (*first & 31),
        [] => 0,
    }
}

impl<'map> Config<'map> {
    /// Makes a configuration of `text`, the modprobe.d files, each after its [`MARK`] line and joined by
    /// [`join_lines`], and `cmdline`, the content of /proc/cmdline.
    pub fn new(text: &'map [u8], cmdline: &'map [u8]) -> Self {
        let verbs = lines(text).fold(0, |verbs, line| verbs | initial(line.text));
        Config { text, cmdline, verbs }
    }

    /// Yields every directive that parses; [`Config::bad_lines`] yields the other lines.
    pub fn directives(&self) -> Directives<'map> {
        Directives(lines(self.text))
    }

    /// Whether a parameter named `key` of the command line lists the module; dashes equal underscores.
    pub fn cmdline_lists(&self, key: &'static [u8], modname: &[u8]) -> bool {
        cmdline::lists(self.cmdline, key, modname)
    }

    /// Whether `module_blacklist=` names the module of a line of modules.dep, or one that it needs.
    pub fn bars(&self, line: DepLine<'_>) -> bool {
        cmdline::names(self.cmdline, b"module_blacklist")
            .any(|name| line.deps().chain([line.path()]).any(|path| same(stem(path), name)))
    }

    /// Yields a superset of the directives with these verbs.
    #[inline(never)] // makes the loader smaller
    fn directives_of(&self, verbs: u32) -> Directives<'map> {
        Directives(lines(if self.verbs & verbs == 0 { &[] } else { self.text }))
    }

    /// Yields the lines that are not valid directives.
    pub fn bad_lines(&self) -> impl Iterator<Item = Line<'map>> + use<'map> {
        lines(self.text).filter(|line| Directive::parse(line.text).is_err())
    }

    /// Yields the targets of the `alias` lines that match a normalized name, in order.
    pub fn aliases(&self, name: &[u8]) -> impl Iterator<Item = &'map [u8]> {
        self.directives_of(initial(b"alias")).filter_map(move |directive| match directive {
            Directive::Alias(pattern, modname) if matches_name(pattern, name) => Some(modname),
            _ => None,
        })
    }

    /// Whether a `blacklist` line or `modprobe.blacklist=` names the module.
    pub fn blacklists(&self, modname: &[u8]) -> bool {
        self.directives_of(initial(b"blacklist"))
            .any(|directive| matches!(directive, Directive::Blacklist(name) if same(name, modname)))
            || cmdline::blacklists(self.cmdline, modname)
    }

    /// Yields the softdeps in all lines that match the module, in order. Source: modprobe.d(5); kmod itself stops at the
    /// first line that matches.
    pub fn softdeps<'name>(&self, modname: &'name [u8]) -> Softdeps<'map, 'name> {
        Softdeps { directives: self.directives_of(initial(b"softdep")), words: softdep_words(b""), modname }
    }

    /// Yields the modnames in the weakdep lines that match the module: those that it may request at run time.
    pub fn weakdeps<'name>(&self, modname: &'name [u8]) -> impl Iterator<Item = &'map [u8]> + use<'map, 'name> {
        let lines = self.directives().filter_map(move |directive| match directive {
            Directive::Weakdep(pattern, names) if matches_name(pattern, modname) => Some(names),
            _ => None,
        });
        lines.flat_map(crate::bytes::words)
    }

    /// Whether a softdep line matches the module.
    pub fn has_softdeps(&self, modname: &[u8]) -> bool {
        self.directives_of(initial(b"softdep"))
            .any(|directive| matches!(directive, Directive::Softdep(pattern, _) if matches_name(pattern, modname)))
    }

    /// Whether an `install` or `remove` line has exactly this name, which then need not be a modname. Source: kmod,
    /// libkmod-module.c, `kmod_lookup_alias_from_commands`.
    pub fn knows_command(&self, name: &[u8]) -> bool {
        self.directives_of(initial(b"install") | initial(b"remove")).any(|directive| match directive {
            Directive::Install(pattern, _) | Directive::Remove(pattern, _) => same(pattern, name),
            _ => false,
        })
    }

    /// Returns the command that replaces loading the module: that of the first `install` line that matches.
    pub fn install(&self, modname: &[u8]) -> Option<&'map [u8]> {
        self.directives_of(initial(b"install")).find_map(|directive| match directive {
            Directive::Install(pattern, command) if matches_name(pattern, modname) => Some(command),
            _ => None,
        })
    }

    /// Returns the command that replaces removing the module: that of the first `remove` line that matches.
    pub fn remove(&self, modname: &[u8]) -> Option<&'map [u8]> {
        self.directives_of(initial(b"remove")).find_map(|directive| match directive {
            Directive::Remove(pattern, command) if matches_name(pattern, modname) => Some(command),
            _ => None,
        })
    }

    /// Appends the module's options to `out`, each followed by a blank: first those of `options` lines with its modname
    /// or with `asked_as`, the alias that it was requested by, then those of the command line.
    ///
    /// # Errors
    /// [`Error::OptionsTooLong`] if `out` is too small.
    pub fn options(
        &self,
        modname: &[u8],
        asked_as: Option<&[u8]>,
        out: &mut heapless::VecView<u8>,
    ) -> Result<(), Error> {
        let mut put = |part: &[u8]| out.extend_from_slice(part).map_err(|_| Error::OptionsTooLong);
        let is_for = |name: &[u8]| same(name, modname) || asked_as.is_some_and(|alias| same(name, alias));
        for directive in self.directives_of(initial(b"options")) {
            if let Directive::Options(name, options) = directive
                && is_for(name)
            {
                for part in split(options, b'\t') {
                    put(part)?;
                    put(b" ")?;
                }
            }
        }
        for (_, param) in cmdline::options(self.cmdline).filter(|(name, _)| is_for(name)) {
            for part in param.parts() {
                put(part)?;
            }
            put(b" ")?;
        }
        Ok(())
    }
}

/// Yields the modnames of a softdep line, each with its side; words before the first `pre:` or `post:` are ignored.
pub fn softdep_words(text: &[u8]) -> SoftdepWords<'_> {
    SoftdepWords { rest: text, side: None }
}

/// The words of a softdep line; see [`softdep_words`].
#[derive(Clone, Debug)]
pub struct SoftdepWords<'map> {
    rest: &'map [u8],
    side: Option<Side>,
}

impl<'map> Iterator for SoftdepWords<'map> {
    type Item = (Side, &'map [u8]);

    #[inline(never)] // one copy for all callers
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let name;
            (name, self.rest) = word(self.rest);
            match (name, self.side) {
                (b"", _) => return None,
                (b"pre:", _) => self.side = Some(Side::Pre),
                (b"post:", _) => self.side = Some(Side::Post),
                (_, Some(side)) => return Some((side, name)),
                (_, None) => {}
            }
        }
    }
}

/// The softdeps of a module; see [`Config::softdeps`].
#[derive(Clone, Debug)]
pub struct Softdeps<'map, 'name> {
    directives: Directives<'map>,
    words: SoftdepWords<'map>,
    modname: &'name [u8],
}

impl<'map> Iterator for Softdeps<'map, '_> {
    type Item = (Side, &'map [u8]);

    #[inline(never)] // one copy for all callers
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.words.next() {
                return Some(found);
            }
            if let Directive::Softdep(pattern, text) = self.directives.next()?
                && matches_name(pattern, self.modname)
            {
                self.words = softdep_words(text);
            }
        }
    }
}

/// Splits off the first word and one blank after it; more blanks stay in the rest.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let len = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(len).unwrap_or_default();
    (word, rest.get(1..).unwrap_or_default())
}

/// Whether the pattern of a line, once normalized, matches a normalized name.
fn matches_name(pattern: &[u8], name: &[u8]) -> bool {
    // Fast path: most lines are for other modules and differ in the first letter.
    let is_other = |(&first, &wanted): (&u8, &u8)| first.is_ascii_alphanumeric() && first != wanted;
    if pattern.first().zip(name.first()).is_some_and(is_other) {
        return false;
    }
    let mut normal = Alias::new();
    normalize(pattern, &mut normal).is_ok_and(|()| glob::matches(&normal, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] =
        b"\x01/etc/modprobe.d/a.conf\n# comment\noptions snd-hda model=\ta\n\nbogus line\nalias eth* e1000e\n\
        softdep ext4 crc8 pre: crc32c post: x y\nsoftdep ext? pre: second\nblacklist pc-spkr\ninstall foo /bin/true\n";

    fn config() -> Config<'static> {
        Config::new(TEXT, b"snd_hda.x=1 snd_hda.y=\"b c\"")
    }

    fn joined(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let len = join_lines(&mut bytes);
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    }

    #[test]
    fn continued_lines_join_and_keep_their_numbers() {
        assert_eq!(joined("options a \\\nb=1\nc\n"), "options a b=1\n\nc\n");
        assert_eq!(joined("a\\\n\\\nb\n"), "ab\n\n\n");
        assert_eq!(joined("a\\bc"), "abc", "a backslash before anything else is dropped");
        assert_eq!(joined("a\\"), "a");
    }

    #[test]
    fn bad_lines_are_reported_with_file_and_number() {
        let bad: Vec<_> = config().bad_lines().collect();
        assert_eq!(bad, [Line { file: b"/etc/modprobe.d/a.conf", number: 4, text: b"bogus line" }]);
    }

    #[test]
    fn a_line_without_arguments_is_bad_but_for_weakdep() {
        for verb in ["alias", "options", "install", "remove", "softdep"] {
            assert_eq!(Directive::parse(format!("{verb} a").as_bytes()), Err(Error::BadDirective), "{verb}");
        }
        assert_eq!(Directive::parse(b"weakdep a"), Ok(Directive::Weakdep(b"a", b"")));
        assert_eq!(Directive::parse(b"weakdep"), Err(Error::BadDirective));
    }

    #[test]
    fn softdeps_of_all_lines_count() {
        let got: Vec<_> = config().softdeps(b"ext4").collect();
        let (pre, post) = (Side::Pre, Side::Post);
        assert_eq!(got, [(pre, &b"crc32c"[..]), (post, b"x"), (post, b"y"), (pre, b"second")]);
    }

    #[test]
    fn options_of_files_come_before_the_command_line() {
        let mut out = heapless::Vec::<u8, 64>::new();
        config().options(b"snd_hda", None, &mut out).unwrap();
        assert_eq!(out, b"model= a x=1 y=\"b c\" ");
        let mut small = heapless::Vec::<u8, 8>::new();
        assert_eq!(config().options(b"snd_hda", None, &mut small), Err(Error::OptionsTooLong));
    }

    #[test]
    fn names_match_with_dashes_and_patterns() {
        assert!(config().blacklists(b"pc_spkr"));
        assert_eq!(config().aliases(b"eth0").collect::<Vec<_>>(), [b"e1000e"]);
        assert_eq!(config().install(b"foo"), Some(&b"/bin/true"[..]));
    }

    #[test]
    fn every_prefix_parses() {
        for len in 0..TEXT.len() {
            lines(&TEXT[..len]).for_each(|line| assert!(Directive::parse(line.text).is_ok() || !line.text.is_empty()));
            joined(std::str::from_utf8(&TEXT[..len]).unwrap());
        }
    }
}
