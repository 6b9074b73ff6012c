//! modprobe.d and modules-load.d: lines to typed directives, borrowed from the text; and what they say of a module.
//!
//! All files stand in one text, in the order in which they count, each behind a line that names it (see [`MARK`]), so
//! that nothing has to be kept per file. Source: modprobe.d(5), modules-load.d(5), kmod's libkmod-config.c.

use super::cmdline;
use super::name::{Alias, normalize, same};
use crate::bytes::split_once;
use crate::error::Error;
use crate::glob;

/// First byte of a line that names the file whose lines follow.
pub const MARK: u8 = 1;

/// Directories of modprobe.d files; a file name in an earlier one hides the same name in later ones.
pub const MODPROBE_DIRS: &[&[u8]] =
    &[b"/etc/modprobe.d", b"/run/modprobe.d", b"/usr/local/lib/modprobe.d", b"/usr/lib/modprobe.d", b"/lib/modprobe.d"];

/// Directories of modules-load.d files, same precedence. Source: modules-load.d(5).
pub const LOAD_DIRS: &[&[u8]] = &[
    b"/etc/modules-load.d",
    b"/run/modules-load.d",
    b"/usr/local/lib/modules-load.d",
    b"/usr/lib/modules-load.d",
    b"/lib/modules-load.d",
];

/// What is configured: the text of all modprobe.d files, and the kernel command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config<'map> {
    /// Files joined by [`join_lines`], each behind its [`MARK`] line.
    pub text: &'map [u8],
    /// /proc/cmdline.
    pub cmdline: &'map [u8],
    /// First letters of the text's lines: it is looked through for no other directives. All begin in other ways.
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
    /// A module whose aliases do not count.
    Blacklist(&'map [u8]),
    /// Modules to load before and after a module: pattern of modnames, words with `pre:` and `post:` among them.
    Softdep(&'map [u8], &'map [u8]),
    /// Modules that a module may ask for later, information only: pattern of modnames, words.
    Weakdep(&'map [u8], &'map [u8]),
}

/// A line, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'map> {
    /// The file's path, from the [`MARK`] line; empty before the first.
    pub file: &'map [u8],
    /// Counted from 1; of a continued line the first.
    pub number: u32,
    /// The line without blanks around it.
    pub text: &'map [u8],
}

/// Which side of its module a softdep is loaded on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before.
    Pre,
    /// After.
    Post,
}

/// Joins lines continued by `\` at their end, in place, and returns the new length. Each file's text goes through here
/// once. The line feeds taken out are put back behind the joined line, so that lines keep their numbers.
///
/// Any other `\x` loses its backslash too, as kmod's `freadline_wrapped` has it.
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

    #[inline(never)] // asked for in many places, each of which would hold a copy
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

    #[inline(never)] // as above
    fn next(&mut self) -> Option<Directive<'map>> {
        self.0.find_map(|line| Directive::parse(line.text).ok())
    }
}

impl<'map> Directive<'map> {
    /// Parses one line of modprobe.d.
    ///
    /// # Errors
    /// [`Error::BadDirective`] for a word that is no directive, or one without its arguments.
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
            (b"weakdep", false) => Ok(Directive::Weakdep(name, rest)),
            _ => Err(Error::BadDirective),
        }
    }
}

/// The bit of a word's first letter.
const fn initial(word: &[u8]) -> u32 {
    match word {
        [first, ..] => 1 << (*first & 31),
        [] => 0,
    }
}

impl<'map> Config<'map> {
    /// Takes the text of modprobe.d, files joined by [`join_lines`], each behind its [`MARK`] line, and /proc/cmdline.
    pub fn new(text: &'map [u8], cmdline: &'map [u8]) -> Self {
        let verbs = lines(text).fold(0, |verbs, line| verbs | initial(line.text));
        Config { text, cmdline, verbs }
    }

    /// Yields every directive that parses; [`Config::bad_lines`] tells the others.
    pub fn directives(&self) -> Directives<'map> {
        Directives(lines(self.text))
    }

    /// Says whether a parameter `key` of the command line lists the module; dashes count as underscores.
    pub fn cmdline_lists(&self, key: &'static [u8], modname: &[u8]) -> bool {
        cmdline::lists(self.cmdline, key, modname)
    }

    /// Yields at least those of some verbs.
    #[inline(never)] // smaller so
    fn directives_of(&self, verbs: u32) -> Directives<'map> {
        Directives(lines(if self.verbs & verbs == 0 { &[] } else { self.text }))
    }

    /// Yields the lines that are not understood.
    pub fn bad_lines(&self) -> impl Iterator<Item = Line<'map>> + use<'map> {
        lines(self.text).filter(|line| Directive::parse(line.text).is_err())
    }

    /// Yields the modules that `alias` lines give for a normalized name, in order.
    pub fn aliases(&self, name: &[u8]) -> impl Iterator<Item = &'map [u8]> {
        self.directives_of(initial(b"alias")).filter_map(move |directive| match directive {
            Directive::Alias(pattern, modname) if matches_name(pattern, name) => Some(modname),
            _ => None,
        })
    }

    /// Says whether a `blacklist` line or `modprobe.blacklist=` names the module.
    pub fn blacklists(&self, modname: &[u8]) -> bool {
        self.directives_of(initial(b"blacklist"))
            .any(|directive| matches!(directive, Directive::Blacklist(name) if same(name, modname)))
            || cmdline::blacklists(self.cmdline, modname)
    }

    /// Yields the softdeps of a module, of all lines that match it, in order. Source: modprobe.d(5); kmod itself stops
    /// at the first line that matches.
    pub fn softdeps<'name>(&self, modname: &'name [u8]) -> Softdeps<'map, 'name> {
        Softdeps { directives: self.directives_of(initial(b"softdep")), words: softdep_words(b""), modname }
    }

    /// Yields the names of the weakdep lines that match the module: what it may ask for when it runs.
    pub fn weakdeps<'name>(&self, modname: &'name [u8]) -> impl Iterator<Item = &'map [u8]> + use<'map, 'name> {
        let lines = self.directives().filter_map(move |directive| match directive {
            Directive::Weakdep(pattern, names) if matches_name(pattern, modname) => Some(names),
            _ => None,
        });
        lines.flat_map(crate::bytes::words)
    }

    /// Says whether a softdep line matches the module.
    pub fn has_softdeps(&self, modname: &[u8]) -> bool {
        self.directives_of(initial(b"softdep"))
            .any(|directive| matches!(directive, Directive::Softdep(pattern, _) if matches_name(pattern, modname)))
    }

    /// Says whether an `install` or `remove` line is for this very name, which then need not be a module's. Source:
    /// kmod, libkmod-module.c, `kmod_lookup_alias_from_commands`.
    pub fn knows_command(&self, name: &[u8]) -> bool {
        self.directives_of(initial(b"install") | initial(b"remove")).any(|directive| match directive {
            Directive::Install(pattern, _) | Directive::Remove(pattern, _) => same(pattern, name),
            _ => false,
        })
    }

    /// Returns the command that stands in for loading the module: the first `install` line that matches.
    pub fn install(&self, modname: &[u8]) -> Option<&'map [u8]> {
        self.directives_of(initial(b"install")).find_map(|directive| match directive {
            Directive::Install(pattern, command) if matches_name(pattern, modname) => Some(command),
            _ => None,
        })
    }

    /// Returns the command that stands in for removing the module: the first `remove` line that matches.
    pub fn remove(&self, modname: &[u8]) -> Option<&'map [u8]> {
        self.directives_of(initial(b"remove")).find_map(|directive| match directive {
            Directive::Remove(pattern, command) if matches_name(pattern, modname) => Some(command),
            _ => None,
        })
    }

    /// Appends the module's options to `out`: of `options` lines for its name or for the alias it was asked by, in
    /// order, then of the command line, each followed by a blank.
    ///
    /// # Errors
    /// [`Error::Full`] when `out` can't hold them.
    pub fn options(
        &self,
        modname: &[u8],
        asked_as: Option<&[u8]>,
        out: &mut heapless::VecView<u8>,
    ) -> Result<(), Error> {
        let mut put = |part: &[u8]| out.extend_from_slice(part).map_err(|_| Error::Full);
        for directive in self.directives_of(initial(b"options")) {
            if let Directive::Options(name, options) = directive
                && (same(name, modname) || asked_as.is_some_and(|alias| same(name, alias)))
            {
                for part in options.split(|&byte| byte == b'\t') {
                    put(part)?;
                    put(b" ")?;
                }
            }
        }
        for param in cmdline::options(self.cmdline, modname) {
            for part in param.parts() {
                put(part)?;
            }
            put(b" ")?;
        }
        Ok(())
    }
}

/// Yields the names of a softdep line with the side each stands on; words before the first `pre:` or `post:` count for
/// nothing.
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

    #[inline(never)] // as above
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

    #[inline(never)] // as above
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

/// Splits off the first word, and the one blank behind it: more of them belong to the rest.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let len = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(len).unwrap_or_default();
    (word, rest.get(1..).unwrap_or_default())
}

/// Matches a normalized name against the pattern of a line.
fn matches_name(pattern: &[u8], name: &[u8]) -> bool {
    // Most lines are of other modules, and begin with another letter.
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
    fn bad_lines_are_told_with_file_and_number() {
        let bad: Vec<_> = config().bad_lines().collect();
        assert_eq!(bad, [Line { file: b"/etc/modprobe.d/a.conf", number: 4, text: b"bogus line" }]);
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
        assert_eq!(config().options(b"snd_hda", None, &mut small), Err(Error::Full));
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
