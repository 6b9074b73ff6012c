// SPDX-License-Identifier: MIT OR Apache-2.0
//! Look-up from a name or modalias to modules, in the order of kmod's modprobe. The first stage with a match ends it:
//!
//! 1. `alias` lines of modprobe.d
//! 2. modules.dep.bin
//! 3. modules.symbols.bin (`symbol:` names only)
//! 4. `install` and `remove` lines of modprobe.d
//! 5. modules.alias.bin
//! 6. modules.builtin.bin
//! 7. modules.builtin.alias.bin
//!
//! Source: kmod, libkmod-module.c, `kmod_module_new_from_lookup`.

use super::config::Config;
use super::dep_line::DepLine;
use super::index::{Fault, Index, Near, Value};
use super::name::{Alias, normalize};
use crate::bytes::has_byte;
use crate::error::Error;
use heapless::VecView;

/// The index files of a module tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexFile {
    /// From a modname to its line of modules.dep.
    Dep,
    /// From an alias, which is a pattern, to a modname.
    Alias,
    /// From `symbol:NAME` to the modname that exports it.
    Symbols,
    /// The modnames that are built into the kernel.
    Builtin,
    /// From an alias of a built-in module to its modname.
    BuiltinAlias,
}

/// The indexes of one tree, by [`IndexFile`]; a missing one is empty.
#[derive(Clone, Copy, Debug)]
pub struct Indexes<'map>(pub [Index<'map>; 5]);

/// Everything that a look-up depends on: the indexes of a tree, modprobe.d and the command line.
///
/// ```
/// use initmod::modules::config::Config;
/// use initmod::modules::index::{Builder, Index};
/// use initmod::modules::resolve::{Found, Indexes, Match, Resolver};
///
/// let mut dep = Builder::new();
/// dep.insert(b"e1000e", b"kernel/e1000e.ko: kernel/ptp.ko", 0).unwrap();
/// let dep = dep.emit().unwrap();
/// let mut indexes = Indexes([Index::EMPTY; 5]);
/// indexes.0[0] = Index::new(&dep).unwrap();
/// let resolver = Resolver { indexes, config: Config::new(b"alias eth0 e1000e\n", b"quiet") };
///
/// let mut matches = heapless::Vec::<_, 4>::new();
/// assert_eq!(resolver.resolve(b"eth0", &mut matches), Ok(Found::ByAlias));
/// assert!(matches!(matches[0], Match::Module(line) if line.path() == b"kernel/e1000e.ko"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Resolver<'map> {
    /// The tree's indexes.
    pub indexes: Indexes<'map>,
    /// modprobe.d and the command line.
    pub config: Config<'map>,
}

/// One match of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match<'map> {
    /// A module file, by its line of modules.dep.
    Module(DepLine<'map>),
    /// A built-in module: its modname, or empty if that is the name looked up.
    Builtin(&'map [u8]),
    /// The `install` command of modprobe.d for a name that is not a module; empty if it has only a `remove` command.
    Command(&'map [u8]),
    /// The target of an alias, a module that the tree does not have.
    Missing(&'map [u8]),
}

/// Result of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The name is unknown.
    Nothing,
    /// The name is that of a module, a built-in module or a command.
    ByName,
    /// The name matched an alias: the blacklist applies to its targets.
    ByAlias,
}

/// Failure of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An index is damaged.
    Index(IndexFile, Fault),
    /// The name is malformed or too long, or has more matches than the buffer holds.
    Name(Error),
}

impl<'map> Match<'map> {
    /// Returns the dep line that stands for the match in a plan. Without a module file it is the match's name, or else
    /// `asked`, the name looked up.
    pub fn dep_line(self, asked: &'map [u8]) -> DepLine<'map> {
        match self {
            Match::Module(line) => line,
            Match::Builtin(name) | Match::Missing(name) if !name.is_empty() => DepLine::new(name),
            _ => DepLine::new(asked),
        }
    }
}

impl IndexFile {
    /// All index files, in the order of [`Indexes`].
    pub const ALL: [IndexFile; 5] =
        [IndexFile::Dep, IndexFile::Alias, IndexFile::Symbols, IndexFile::Builtin, IndexFile::BuiltinAlias];

    /// Returns the file's name in /lib/modules/KVER.
    pub const fn file_name(self) -> &'static str {
        match self {
            IndexFile::Dep => "modules.dep.bin",
            IndexFile::Alias => "modules.alias.bin",
            IndexFile::Symbols => "modules.symbols.bin",
            IndexFile::Builtin => "modules.builtin.bin",
            IndexFile::BuiltinAlias => "modules.builtin.alias.bin",
        }
    }

    /// Opens the file, like [`Index::with_header`]. kmod's depmod leaves an index of built-in modules empty where the kernel's
    /// build lists none; an empty index of another kind is damaged.
    ///
    /// # Errors
    /// Those of [`Index::new`].
    pub fn open<'map>(self, data: &'map [u8], header: &[u8], near: Near) -> Result<Index<'map>, Fault> {
        if data.is_empty() && !matches!(self, IndexFile::Builtin | IndexFile::BuiltinAlias) {
            return Err(Fault { error: Error::OutOfBounds, off: 0 });
        }
        Index::with_header(data, header, near)
    }
}

impl<'map> Indexes<'map> {
    fn get(&self, file: IndexFile, key: &[u8]) -> Result<Option<&'map [u8]>, Failure> {
        let [dep, alias, symbols, builtin, builtin_alias] = &self.0;
        let index = match file {
            IndexFile::Dep => dep,
            IndexFile::Alias => alias,
            IndexFile::Symbols => symbols,
            IndexFile::Builtin => builtin,
            IndexFile::BuiltinAlias => builtin_alias,
        };
        let value = index.get(key).map_err(|fault| Failure::Index(file, fault))?;
        Ok(value.map(|value| value.text))
    }

    /// Returns the line of modules.dep for a modname.
    ///
    /// # Errors
    /// [`Failure::Index`] for a damaged index.
    pub fn dep(&self, modname: &[u8]) -> Result<Option<DepLine<'map>>, Failure> {
        Ok(self.get(IndexFile::Dep, modname)?.map(DepLine::new))
    }

    /// Whether a modname is that of a built-in module.
    ///
    /// # Errors
    /// [`Failure::Index`] for a damaged index.
    pub fn is_builtin(&self, modname: &[u8]) -> Result<bool, Failure> {
        Ok(self.get(IndexFile::Builtin, modname)?.is_some())
    }
}

impl<'map> Resolver<'map> {
    /// Looks up `name`, a module's name or a modalias, with `-` or `_`, and appends the matches in module order.
    ///
    /// # Errors
    /// [`Failure::Index`] for a damaged index; [`Failure::Name`] for unbalanced brackets, a name over
    /// [`super::name::ALIAS_LEN`], or more matches than fit.
    pub fn resolve(&self, name: &[u8], matches: &mut VecView<Match<'map>>) -> Result<Found, Failure> {
        let mut normal = Alias::new();
        normalize(name, &mut normal).map_err(Failure::Name)?;
        let name = &normal[..];

        let matches_before = matches.len();
        for modname in self.config.aliases(name) {
            push(matches, self.module(modname)?)?;
        }
        if matches.len() > matches_before {
            return Ok(Found::ByAlias);
        }
        if !has_byte(name, b':')
            && let Some(line) = self.indexes.dep(name)?
        {
            return push(matches, Match::Module(line)).map(|()| Found::ByName);
        }
        if name.starts_with(b"symbol:") && self.search(IndexFile::Symbols, name, matches)? {
            return Ok(Found::ByAlias);
        }
        if self.config.knows_command(name) {
            let command = self.config.install(name).unwrap_or_default();
            return push(matches, Match::Command(command)).map(|()| Found::ByName);
        }
        if self.search(IndexFile::Alias, name, matches)? {
            return Ok(Found::ByAlias);
        }
        if self.indexes.is_builtin(name)? {
            return push(matches, Match::Builtin(&[])).map(|()| Found::ByName);
        }
        if self.search(IndexFile::BuiltinAlias, name, matches)? {
            return Ok(Found::ByAlias);
        }
        Ok(Found::Nothing)
    }

    /// Looks up the target of an alias.
    fn module(&self, target: &'map [u8]) -> Result<Match<'map>, Failure> {
        let mut modname = Alias::new();
        normalize(target, &mut modname).map_err(Failure::Name)?;
        Ok(match self.indexes.dep(&modname)? {
            Some(line) => Match::Module(line),
            None if self.indexes.is_builtin(&modname)? => Match::Builtin(target),
            None => Match::Missing(target),
        })
    }

    /// Appends the modules whose aliases in an index match `name`, by priority, each once. Returns whether any matched.
    fn search(&self, file: IndexFile, name: &[u8], matches: &mut VecView<Match<'map>>) -> Result<bool, Failure> {
        let mut hits = heapless::Vec::<Value<'map>, MATCH_COUNT>::new();
        let [_, alias, symbols, _, builtin_alias] = &self.indexes.0;
        let index = match file {
            IndexFile::Symbols => symbols,
            IndexFile::BuiltinAlias => builtin_alias,
            _ => alias,
        };
        let mut collect = |value: Value<'map>| {
            if hits.iter().any(|hit| hit.text == value.text) {
                return Ok(());
            }
            let at = hits.iter().position(|hit| hit.priority >= value.priority).unwrap_or(hits.len());
            hits.insert(at, value).map_err(|_| Error::TooManyMatches)
        };
        index.search(name, &mut collect).map_err(|fault| Failure::Index(file, fault))?;
        for hit in &hits {
            let found = if file == IndexFile::BuiltinAlias { Match::Builtin(hit.text) } else { self.module(hit.text)? };
            push(matches, found)?;
        }
        Ok(!hits.is_empty())
    }
}

/// Most modules that one alias may lead to. [`Error::TooManyMatches`] names the number too.
pub const MATCH_COUNT: usize = 128;

fn push<'map>(matches: &mut VecView<Match<'map>>, found: Match<'map>) -> Result<(), Failure> {
    matches.push(found).map_err(|_| Failure::Name(Error::TooManyMatches))
}

#[cfg(all(test, feature = "host"))]
pub(crate) mod tests {
    use super::*;
    use crate::modules::index::Builder;

    /// A small module tree for tests.
    pub(crate) struct Tree {
        indexes: [Vec<u8>; 5],
        config: String,
        cmdline: String,
    }

    impl Tree {
        /// Indexes `lines` of modules.dep, in module order.
        pub(crate) fn new(lines: &[&str]) -> Self {
            let tree = Tree { indexes: Default::default(), config: String::new(), cmdline: String::new() };
            let keys: Vec<_> = lines.iter().map(|line| DepLine::new(line.as_bytes()).modname().unwrap()).collect();
            let entries = keys.iter().zip(lines).map(|(key, line)| (std::str::from_utf8(key).unwrap(), *line));
            tree.with(IndexFile::Dep, &entries.collect::<Vec<_>>())
        }

        /// Fills an index with keys and values, in module order.
        pub(crate) fn with(mut self, file: IndexFile, entries: &[(&str, &str)]) -> Self {
            let mut builder = Builder::new();
            for (priority, (key, value)) in (0..).zip(entries) {
                builder.insert(key.as_bytes(), value.as_bytes(), priority).unwrap();
            }
            self.indexes[file as usize] = builder.emit().unwrap();
            self
        }

        /// Puts bytes in the place of an index.
        pub(crate) fn with_bytes(mut self, file: IndexFile, bytes: &[u8]) -> Self {
            self.indexes[file as usize] = bytes.into();
            self
        }

        /// Sets the text of modprobe.d.
        pub(crate) fn config(mut self, text: &str) -> Self {
            self.config = text.into();
            self
        }

        /// Sets the kernel command line.
        pub(crate) fn cmdline(mut self, text: &str) -> Self {
            self.cmdline = text.into();
            self
        }

        pub(crate) fn resolver(&self) -> Resolver<'_> {
            let indexes = self.indexes.each_ref().map(|data| Index::new(data).unwrap());
            let config = Config::new(self.config.as_bytes(), self.cmdline.as_bytes());
            Resolver { indexes: Indexes(indexes), config }
        }
    }

    fn resolve<'a>(tree: &'a Tree, name: &str) -> (Found, Vec<Match<'a>>) {
        let mut matches = heapless::Vec::<Match<'a>, 200>::new();
        let found = tree.resolver().resolve(name.as_bytes(), &mut matches).unwrap();
        (found, matches.to_vec())
    }

    fn module(line: &str) -> Match<'_> {
        Match::Module(DepLine::new(line.as_bytes()))
    }

    /// Returns a tree in which the `known` indexes match `x` or `symbol:x`; each test removes stages from the front.
    fn stages(config: &str, known: &[IndexFile]) -> Tree {
        let entries = |file| match file {
            IndexFile::Dep => [("x", "k/x.ko:"), ("a", "k/a.ko:")],
            IndexFile::Symbols => [("symbol:x", "a"), ("symbol:y", "a")],
            IndexFile::Alias => [("*x", "a"), ("nothing", "a")],
            IndexFile::Builtin => [("x", ""), ("b", "")],
            IndexFile::BuiltinAlias => [("*x", "b"), ("y", "b")],
        };
        let tree = Tree::new(&["k/a.ko:"]).config(config);
        known.iter().fold(tree, |tree, &file| tree.with(file, &entries(file)))
    }

    #[test]
    fn the_first_stage_that_knows_the_name_ends_the_search() {
        use IndexFile::*;
        let (a, x) = (module("k/a.ko:"), module("k/x.ko:"));
        let install = "install x cmd\ninstall symbol:x cmd\n";
        let all = stages(&format!("alias x a\n{install}"), &IndexFile::ALL);
        assert_eq!(resolve(&all, "x"), (Found::ByAlias, vec![a]), "1: alias lines");
        let no_alias = stages(install, &IndexFile::ALL);
        assert_eq!(resolve(&no_alias, "x"), (Found::ByName, vec![x]), "2: modules.dep");
        assert_eq!(resolve(&no_alias, "symbol:x"), (Found::ByAlias, vec![a]), "3: modules.symbols");
        let no_symbols = stages(install, &[Alias, Builtin, BuiltinAlias]);
        assert_eq!(resolve(&no_symbols, "x"), (Found::ByName, vec![Match::Command(b"cmd")]), "4: install lines");
        assert_eq!(resolve(&stages("", &[Alias, Builtin]), "x"), (Found::ByAlias, vec![a]), "5: modules.alias");
        assert_eq!(
            resolve(&stages("", &[Builtin, BuiltinAlias]), "x"),
            (Found::ByName, vec![Match::Builtin(b"")]),
            "6"
        );
        assert_eq!(resolve(&stages("", &[BuiltinAlias]), "x"), (Found::ByAlias, vec![Match::Builtin(b"b")]), "7");
        assert_eq!(resolve(&stages("", &[]), "x"), (Found::Nothing, vec![]));
    }

    #[test]
    fn a_name_with_a_colon_is_no_module() {
        let tree = Tree::new(&[]).with(IndexFile::Dep, &[("a:b", "k/a:b.ko:")]);
        assert_eq!(resolve(&tree, "a:b").0, Found::Nothing);
    }

    #[test]
    fn dashes_are_underscores_in_names_and_alias_lines() {
        let tree =
            Tree::new(&["k/snd-hda.ko:"]).config("alias my-card snd-hda\nalias other gone\nalias third in-kernel\n");
        let tree = tree.with(IndexFile::Builtin, &[("in_kernel", "")]);
        let module = module("k/snd-hda.ko:");
        assert_eq!(resolve(&tree, "snd-hda"), (Found::ByName, vec![module]));
        assert_eq!(resolve(&tree, "my_card"), (Found::ByAlias, vec![module]));
        assert_eq!(resolve(&tree, "other"), (Found::ByAlias, vec![Match::Missing(b"gone")]));
        assert_eq!(resolve(&tree, "third"), (Found::ByAlias, vec![Match::Builtin(b"in-kernel")]));
        assert!(tree.resolver().resolve(b"a[", &mut heapless::Vec::<_, 1>::new()).is_err());
    }

    #[test]
    fn all_modules_of_an_alias_come_once_in_module_order() {
        let tree = Tree::new(&["k/a.ko:", "k/b.ko:", "k/c.ko:"]);
        let tree = tree.with(
            IndexFile::Alias,
            &[("pci:*z", "a"), ("pci:v1*", "b"), ("pci:*", "c"), ("pci:v*z", "a"), ("usb:*", "b")],
        );
        let modules = ["k/a.ko:", "k/b.ko:", "k/c.ko:"].map(module).to_vec();
        assert_eq!(resolve(&tree, "pci:v1z"), (Found::ByAlias, modules));
    }

    #[test]
    fn too_many_matches_and_damage_are_failures() {
        let names: Vec<_> = (0..MATCH_COUNT + 1).map(|at| format!("m{at}")).collect();
        let entries: Vec<_> = names.iter().map(|name| ("pci:*", name.as_str())).collect();
        let tree = Tree::new(&["k/a.ko:"]).with(IndexFile::Alias, &entries);
        let mut matches = heapless::Vec::<_, 200>::new();
        let failure = tree.resolver().resolve(b"pci:x", &mut matches).unwrap_err();
        assert!(matches!(failure, Failure::Index(IndexFile::Alias, Fault { error: Error::TooManyMatches, .. })));

        let tree = Tree::new(&["k/a.ko:"]).config("alias x a\nalias x a\n");
        let failure = tree.resolver().resolve(b"x", &mut heapless::Vec::<_, 1>::new()).unwrap_err();
        assert_eq!(failure, Failure::Name(Error::TooManyMatches));

        let mut bytes = Tree::new(&["k/a.ko:"]).indexes[0].clone();
        bytes.truncate(20);
        let tree = Tree::new(&[]).with_bytes(IndexFile::Dep, &bytes);
        let failure = tree.resolver().resolve(b"a", &mut heapless::Vec::<_, 1>::new()).unwrap_err();
        assert_eq!(failure, Failure::Index(IndexFile::Dep, Fault { error: Error::OutOfBounds, off: 18 }));
    }

    #[test]
    fn an_install_pattern_makes_no_name_known() {
        let tree = Tree::new(&[]).config("install virt* cmd\ninstall virtual-x other\n");
        assert_eq!(resolve(&tree, "virtual"), (Found::Nothing, vec![]), "only its very name does");
        assert_eq!(resolve(&tree, "virtual_x"), (Found::ByName, vec![Match::Command(b"cmd")]), "the first match runs");
    }
}
