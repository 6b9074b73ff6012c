//! From a name or modalias to modules: the look-up order of kmod's modprobe.
//!
//! 1 `alias` lines of modprobe.d, 2 modules.dep.bin, 3 modules.symbols.bin (`symbol:` names only), 4 `install` lines,
//! 5 modules.alias.bin, 6 modules.builtin.bin, 7 modules.builtin.alias.bin. The first stage that knows the name ends
//! the search. Source: kmod, libkmod-module.c, `kmod_module_new_from_lookup`.

use crate::config::Config;
use crate::error::Error;
use crate::index::{Fault, Index, Value};
use crate::name::{ALIAS_LEN, normalize};
use heapless::VecView;

/// The index files of a module tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexFile {
    /// Modname to `path: dependencies`.
    Dep,
    /// Pattern to modname.
    Alias,
    /// `symbol:NAME` to modname.
    Symbols,
    /// Names of what is built in.
    Builtin,
    /// Patterns of what is built in.
    BuiltinAlias,
}

/// The indexes of one tree, by [`IndexFile`]; a missing one is empty.
#[derive(Clone, Copy, Debug)]
pub struct Indexes<'map>(pub [Index<'map>; 5]);

/// All that decides what a name means.
#[derive(Clone, Copy, Debug)]
pub struct Resolver<'map> {
    /// The tree's indexes.
    pub indexes: Indexes<'map>,
    /// modprobe.d and the command line.
    pub config: Config<'map>,
}

/// One thing that a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match<'map> {
    /// A module file: its line of modules.dep, `path: dependencies`.
    Module(&'map [u8]),
    /// In the kernel already; the text is its modname, empty where only the name asked for says it.
    Builtin(&'map [u8]),
    /// A shell command of modprobe.d for a name that is no module.
    Command(&'map [u8]),
    /// What an alias leads to, but the tree does not have.
    Missing(&'map [u8]),
}

/// What a look-up came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing knows the name.
    Nothing,
    /// The name itself is that of a module, a built-in or a command.
    ByName,
    /// The name is an alias: what it leads to is subject to the blacklist.
    ByAlias,
}

/// Why a look-up failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An index is damaged.
    Index(IndexFile, Fault),
    /// The name can't be looked up, or has more matches than there is room for.
    Name(Error),
}

impl IndexFile {
    /// All of them, in the order of [`Indexes`].
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
    pub fn dep(&self, modname: &[u8]) -> Result<Option<&'map [u8]>, Failure> {
        self.get(IndexFile::Dep, modname)
    }

    /// Says whether a modname is that of something built in.
    ///
    /// # Errors
    /// [`Failure::Index`] for a damaged index.
    pub fn is_builtin(&self, modname: &[u8]) -> Result<bool, Failure> {
        Ok(self.get(IndexFile::Builtin, modname)?.is_some())
    }
}

impl<'map> Resolver<'map> {
    /// Finds all that `name` (a module's name, an alias or a modalias, dashes or not) stands for and appends it to
    /// `matches`, in module order.
    ///
    /// # Errors
    /// [`Failure::Index`] where an index is damaged; [`Failure::Name`] for unbalanced brackets, a name over a page, or
    /// more matches than fit.
    pub fn resolve(&self, name: &[u8], matches: &mut VecView<Match<'map>>) -> Result<Found, Failure> {
        let mut buf = [0; ALIAS_LEN];
        let name = normalize(name, &mut buf).map_err(Failure::Name)?;

        let matches_before = matches.len();
        for modname in self.config.aliases(name) {
            push(matches, self.module(modname)?)?;
        }
        if matches.len() > matches_before {
            return Ok(Found::ByAlias);
        }
        if !name.contains(&b':')
            && let Some(line) = self.indexes.dep(name)?
        {
            return push(matches, Match::Module(line)).map(|()| Found::ByName);
        }
        if name.starts_with(b"symbol:") && self.search(IndexFile::Symbols, name, matches)? {
            return Ok(Found::ByAlias);
        }
        if let Some(command) = self.config.install(name) {
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

    /// Tells what the target of an alias is.
    fn module(&self, target: &'map [u8]) -> Result<Match<'map>, Failure> {
        let mut buf = [0; ALIAS_LEN];
        let modname = normalize(target, &mut buf).map_err(Failure::Name)?;
        Ok(match self.indexes.dep(modname)? {
            Some(line) => Match::Module(line),
            None if self.indexes.is_builtin(modname)? => Match::Builtin(target),
            None => Match::Missing(target),
        })
    }

    /// Appends what the patterns of an index say of `name`, by priority, each module once; says whether there was any.
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
            hits.insert(at, value).map_err(|_| Error::Full)
        };
        index.search(name, &mut collect).map_err(|fault| Failure::Index(file, fault))?;
        for hit in &hits {
            let found = if file == IndexFile::BuiltinAlias { Match::Builtin(hit.text) } else { self.module(hit.text)? };
            push(matches, found)?;
        }
        Ok(!hits.is_empty())
    }
}

/// Most modules that one alias may lead to.
pub const MATCH_COUNT: usize = 128;

fn push<'map>(matches: &mut VecView<Match<'map>>, found: Match<'map>) -> Result<(), Failure> {
    matches.push(found).map_err(|_| Failure::Name(Error::Full))
}
