//! The module set of a board, and for each module the reason it is in: what lies on the way to the root, what else the
//! device tree and the board file ask for, in its order, then all that this needs, by symbols and by softdeps. The first
//! reason wins.
//!
//! Names are resolved by the core, on the whole tree's indexes and the board's modprobe.d: as the device would.

use super::selection::{Pick, Reason, Selection};
use crate::glob;
use crate::host::board::file::{Board, Optional, Scope};
use crate::host::board::kconfig::Kconfig;
use crate::host::dt::driver::Drivers;
use crate::host::dt::needs;
use crate::host::dt::needs::Needs;
use crate::host::dt::root::Root;
use crate::host::dt::tree::Tree as DeviceTree;
use crate::host::error::{Error, Result};
use crate::host::modules::file::modname;
use crate::host::modules::graph::Graph;
use crate::host::modules::module::{Module, ModuleId};
use crate::host::spelling;
use crate::modules::name::{normalize_in_place, same};
use crate::modules::resolve::{Failure, Found, MATCH_COUNT, Match, Resolver};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// A tree as its indexes show it.
#[derive(Debug)]
pub struct Catalogue<'a> {
    /// The tree's directory.
    pub dir: &'a Path,
    /// All modules, in depmod's order.
    pub modules: &'a [Module],
    /// Who needs whom.
    pub graph: &'a Graph,
    /// Resolves names among them, with the board's configuration.
    pub resolver: Resolver<'a>,
    /// How the kernel was configured, if that is known.
    pub kconfig: Option<&'a Kconfig>,
    /// Who serves a node of a device tree.
    pub drivers: Drivers<'a>,
}

/// What a board's modules are selected for.
#[derive(Debug)]
pub struct Wish<'a> {
    /// The board.
    pub board: &'a Board,
    /// Its device tree, and those of the other boards that the image is for.
    pub trees: &'a [DeviceTree],
    /// What the root is on.
    pub root: Option<Root>,
}

/// Selects the modules that are wished for.
///
/// # Errors
/// [`Error::Key`] for what is asked for and found nowhere, and for an exclusion that can't be; [`Error::Input`] for a
/// module whose dependency is missing.
pub fn select(wish: &Wish<'_>, catalogue: &Catalogue<'_>) -> Result<Selection> {
    let board = wish.board;
    let places = catalogue.modules.iter().enumerate().map(|(at, module)| (module.modname.as_str(), at)).collect();
    let picked = vec![false; catalogue.modules.len()];
    let (selection, not_followed) = (Selection::default(), BTreeSet::new());
    let mut selecting = Selecting { board, catalogue, places, picked, not_followed, selection };
    selecting.what_is_loaded_first(wish)?;
    selecting.what_the_board_has(wish);
    selecting.what_is_asked_for()?;
    selecting.what_that_needs()?;
    let idle = board.modules.exclude.iter().filter(|name| {
        !selecting.places.contains_key(&*name.replace('-', "_")) && !selecting.not_followed.contains(*name)
    });
    selecting.selection.idle_exclusions = idle.cloned().collect();
    Ok(selecting.selection)
}

/// A selection in the making.
struct Selecting<'a> {
    board: &'a Board,
    catalogue: &'a Catalogue<'a>,
    places: HashMap<&'a str, usize>,
    picked: Vec<bool>,
    /// Exclusions that kept a softdep or weakdep from being followed.
    not_followed: BTreeSet<String>,
    selection: Selection,
}

/// What one entry of the board file came to.
#[derive(Default)]
struct Hits {
    modules: Vec<usize>,
    is_builtin: bool,
}

impl<'a> Selecting<'a> {
    /// Picks the first lane: what the board file says, the way to the root, the root's file system.
    fn what_is_loaded_first(&mut self, wish: &Wish<'_>) -> Result<()> {
        for name in &self.board.modules.load {
            let hits = self.resolve("modules.load", name, true)?;
            self.take(Must::Be, "modules.load", name, hits, Reason::Load)?;
            self.selection.lane.load(name);
        }
        if let Some(root) = &wish.root {
            for tree in wish.trees {
                let needs = needs::of_root(tree, &self.catalogue.drivers, root)
                    .map_err(|what| self.board.fault("root", what))?;
                self.take_needs(tree, needs, true, |chain| Reason::Node(chain.into()), &format!("root={root}"));
            }
        }
        if let Some(fs) = &self.board.fs {
            self.take_fs(fs)?;
        }
        Ok(())
    }

    fn what_the_board_has(&mut self, wish: &Wish<'_>) {
        let all = self.board.dt.scope.unwrap_or(if wish.root.is_some() { Scope::Root } else { Scope::Board });
        if all == Scope::Root {
            return;
        }
        self.selection.unserved.clear();
        for tree in wish.trees {
            let needs = needs::of_board(tree, &self.catalogue.drivers);
            self.take_needs(tree, needs, false, |chain| Reason::Node(chain.into()), "board");
        }
    }

    /// Picks what a device tree asks for; what it implies may be missing.
    fn take_needs(
        &mut self,
        tree: &DeviceTree,
        needs: Needs,
        is_lane: bool,
        reason: impl Fn(&str) -> Reason,
        what: &str,
    ) {
        for wanted in needs.wanted.iter().filter(|wanted| !self.is_excluded(wanted.at)).collect::<Vec<_>>() {
            self.pick(wanted.at, reason(&wanted.chain));
            self.add_to_lane(wanted.at, is_lane);
        }
        let edges = || needs.edges.iter().filter(|(_, at)| self.picked[*at]);
        self.selection.edges.extend(edges());
        if is_lane {
            let pairs = edges().filter_map(|&(user, at)| Some((user.filter(|&user| self.picked[user])?, at)));
            self.selection.lane.provide(pairs);
        }
        for name in needs.implied {
            let hits = self.resolve("root", name, true).unwrap_or_default();
            let why = Reason::Root(format!("{what} -> {name}"));
            if hits.is_builtin && self.selection.builtin.iter().all(|(known, _)| known != name) {
                self.selection.builtin.push((name.into(), why.clone()));
            }
            for at in hits.modules.into_iter().filter(|&at| !self.is_excluded(at)).collect::<Vec<_>>() {
                self.pick_for_board(at, why.clone());
                self.add_to_lane(at, is_lane);
            }
        }
        self.selection.as_they_come.extend(needs.as_they_come.iter().map(|&id| tree.path(id)));
        self.selection.unserved.extend(needs.unserved.iter().map(|&id| needs::described(tree, id)));
    }

    fn take_fs(&mut self, fs: &str) -> Result<()> {
        let mut hits = self.resolve("fs", &format!("fs-{fs}"), true)?;
        if hits.modules.is_empty() && !hits.is_builtin {
            hits = self.by_name(fs);
            hits.is_builtin |= hits.modules.is_empty() && self.configured(&format!("{fs}_fs")) == Some("y");
        }
        if hits.modules.is_empty() && !hits.is_builtin {
            let all = self.catalogue.modules.iter().filter(|module| module.path.starts_with("kernel/fs/"));
            let near = spelling::closest(fs, all.map(|module| module.modname.as_str()));
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(self.board.fault("fs", format!("neither kernel nor tree has the file system `{fs}`{hint}")));
        }
        for &at in &hits.modules {
            self.add_to_lane(at, true);
        }
        let versions: &[&str] = if fs == "nfs" { &["nfsv3", "nfsv4"] } else { &[] };
        self.take(Must::Be, "fs", fs, hits, Reason::Root(format!("fs={fs}")))?;
        for version in versions {
            let hits = self.by_name(version);
            self.take(Must::Not, "fs", version, hits, Reason::Root(format!("fs={fs}")))?;
        }
        Ok(())
    }

    fn add_to_lane(&mut self, at: usize, is_lane: bool) {
        if is_lane {
            self.selection.lane.load(&self.catalogue.modules[at].modname);
        }
    }

    fn what_is_asked_for(&mut self) -> Result<()> {
        let modules = &self.board.modules;
        let required = modules.required();
        let lists = [
            (Must::Be, "modules", &required),
            (Must::Tell, "modules.optional", &modules.optional),
            (Must::Not, "modules.expected-missing", &modules.expected_missing),
        ];
        for (must, key, name) in keyed(&lists, "names", |list| &list.names) {
            let hits = self.by_name(name);
            self.take(must, &key, name, hits, Reason::Name)?;
        }
        for (must, key, pattern) in keyed(&lists, "globs", |list| &list.globs) {
            let hits = self.by_glob(&key, pattern)?;
            self.take(must, &key, pattern, hits, Reason::Glob(pattern.clone()))?;
        }
        for (must, key, dir) in keyed(&lists, "dirs", |list| &list.dirs) {
            let dir = dir.trim_matches('/');
            let hits = self.by_dir(dir);
            self.take(must, &key, dir, hits, Reason::Dir(dir.into()))?;
        }
        for (must, key, alias) in keyed(&lists, "aliases", |list| &list.aliases) {
            let hits = self.resolve(&key, alias, true)?;
            self.take(must, &key, alias, hits, Reason::Alias(alias.clone()))?;
        }
        Ok(())
    }

    /// Picks what an entry of the board file came to, less what is excluded.
    fn take(&mut self, must: Must, key: &str, entry: &str, hits: Hits, reason: Reason) -> Result<()> {
        if hits.is_builtin {
            self.selection.builtin.push((entry.into(), reason.clone()));
        } else if hits.modules.is_empty() {
            match must {
                Must::Be => return Err(self.board.fault(key, self.not_found(entry, &reason))),
                Must::Tell => self.selection.absent.push((entry.into(), key.into())),
                Must::Not => {}
            }
        }
        let (out, wanted): (Vec<usize>, Vec<usize>) = hits.modules.iter().partition(|&&at| self.is_excluded(at));
        if must == Must::Be && wanted.is_empty() && !out.is_empty() {
            let what = format!("`{entry}` leads only to what modules.exclude keeps out");
            return Err(self.board.fault(key, what));
        }
        for &at in &wanted {
            self.pick_for_board(at, reason.clone());
        }
        self.note(entry, &wanted);
        Ok(())
    }

    fn what_that_needs(&mut self) -> Result<()> {
        let mut next = 0;
        while let Some(&Pick { at, .. }) = self.selection.picks.get(next) {
            next += 1;
            self.dependencies(at)?;
            self.softdeps(at)?;
            self.weakdeps(at)?;
        }
        Ok(())
    }

    fn dependencies(&mut self, at: usize) -> Result<()> {
        let module = &self.catalogue.modules[at];
        for name in module.depends() {
            let name = modname(&String::from_utf8_lossy(name));
            if !self.places.contains_key(name.as_str()) && !self.is_builtin(&name)? {
                let what = format!("needs {name}, which the tree does not have");
                return Err(Error::input(self.catalogue.dir.join(&module.path), what));
            }
        }
        for needed in self.catalogue.graph.direct(ModuleId::new(at)).iter().map(|id| id.index()) {
            if self.is_excluded(needed) {
                let needed = &self.catalogue.modules[needed].modname;
                let what = format!("{needed} can't stay out, it is needed: {} -> {needed}", self.chain(at));
                return Err(self.board.fault("modules.exclude", what));
            }
            self.selection.edges.insert((Some(at), needed));
            self.pick(needed, Reason::NeededBy(module.modname.clone()));
        }
        Ok(())
    }

    fn softdeps(&mut self, at: usize) -> Result<()> {
        let owner = &self.catalogue.modules[at].modname;
        let config = self.catalogue.resolver.config;
        for (_, softdep) in config.softdeps(owner.as_bytes()) {
            let softdep = String::from_utf8_lossy(softdep);
            if self.is_not_followed(&softdep) {
                continue;
            }
            let hits = self.resolve("modules.softdep", &softdep, false)?;
            if hits.modules.is_empty() && !hits.is_builtin {
                self.selection.unknown_softdeps.push((softdep.into(), owner.clone()));
            }
            for softdep in hits.modules {
                if !self.is_excluded(softdep) {
                    self.selection.edges.insert((Some(at), softdep));
                    self.pick(softdep, Reason::SoftdepOf(owner.clone()));
                }
            }
        }
        Ok(())
    }

    /// Takes along what a module may ask for when it runs; what is not there is told.
    fn weakdeps(&mut self, at: usize) -> Result<()> {
        let owner = &self.catalogue.modules[at].modname;
        let config = self.catalogue.resolver.config;
        for weakdep in config.weakdeps(owner.as_bytes()) {
            let weakdep = String::from_utf8_lossy(weakdep);
            if self.is_not_followed(&weakdep) {
                continue;
            }
            let hits = self.resolve("modules.weakdep", &weakdep, false)?;
            if hits.modules.is_empty() && !hits.is_builtin {
                self.selection.absent.push((weakdep.into(), format!("weakdep of {owner}")));
            }
            for weakdep in hits.modules {
                if !self.is_excluded(weakdep) {
                    self.selection.edges.insert((Some(at), weakdep));
                    self.pick(weakdep, Reason::WeakdepOf(owner.clone()));
                }
            }
        }
        Ok(())
    }

    /// The board file excludes the name that a softdep or weakdep is asked for by.
    fn is_not_followed(&mut self, name: &str) -> bool {
        let exclusion = self.board.modules.exclude.iter().find(|known| same(known.as_bytes(), name.as_bytes()));
        exclusion.is_some_and(|exclusion| {
            self.not_followed.insert(exclusion.clone());
            true
        })
    }

    fn pick_for_board(&mut self, at: usize, reason: Reason) {
        self.selection.edges.insert((None, at));
        self.pick(at, reason);
    }

    /// Puts what the board file says of an entry beside the modules that the entry came to.
    fn note(&mut self, entry: &str, places: &[usize]) {
        if let Some(note) = self.board.modules.why.get(entry) {
            for pick in self.selection.picks.iter_mut().filter(|pick| places.contains(&pick.at)) {
                pick.note.get_or_insert_with(|| note.clone());
            }
        }
    }

    fn pick(&mut self, at: usize, reason: Reason) {
        if !std::mem::replace(&mut self.picked[at], true) {
            self.selection.picks.push(Pick { at, reason, note: None });
        }
    }

    /// Finds all modules that a name or alias stands for. What is blacklisted and reached by alias does not count, for a
    /// softdep excepted: modprobe's rules.
    fn resolve(&self, key: &str, name: &str, blacklist_counts: bool) -> Result<Hits> {
        let resolver = &self.catalogue.resolver;
        let mut matches = heapless::Vec::<Match<'_>, MATCH_COUNT>::new();
        let found = resolver
            .resolve(name.as_bytes(), &mut matches)
            .map_err(|failure| self.board.fault(key, prose(name, failure)))?;
        let mut hits = Hits::default();
        for found_as in &matches {
            match found_as {
                Match::Module(line) => {
                    let name = modname(&String::from_utf8_lossy(line.path()));
                    let at = self.places.get(name.as_str()).copied();
                    let by_alias = blacklist_counts && found == Found::ByAlias;
                    let blacklisted = by_alias && resolver.config.blacklists(name.as_bytes());
                    hits.modules.extend(at.filter(|_| !blacklisted));
                }
                Match::Builtin(_) => hits.is_builtin = true,
                Match::Command(_) | Match::Missing(_) => {}
            }
        }
        Ok(hits)
    }

    fn by_name(&self, name: &str) -> Hits {
        let name = name.replace('-', "_");
        let modules: Vec<usize> = self.places.get(name.as_str()).copied().into_iter().collect();
        let is_builtin = || self.is_builtin(&name).unwrap_or(false) || self.configured(&name) == Some("y");
        Hits { is_builtin: modules.is_empty() && is_builtin(), modules }
    }

    fn by_glob(&self, key: &str, pattern: &str) -> Result<Hits> {
        let mut normal = pattern.as_bytes().to_vec();
        normalize_in_place(&mut normal).map_err(|error| self.board.fault(key, format!("`{pattern}` {error}")))?;
        Ok(self.all(|module| glob::matches(&normal, module.modname.as_bytes())))
    }

    fn by_dir(&self, dir: &str) -> Hits {
        self.all(|module| module.path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')))
    }

    fn all(&self, wanted: impl Fn(&Module) -> bool) -> Hits {
        let modules = self.catalogue.modules.iter().enumerate();
        Hits { modules: modules.filter(|(_, module)| wanted(module)).map(|(at, _)| at).collect(), is_builtin: false }
    }

    fn is_builtin(&self, name: &str) -> Result<bool> {
        let is = self.catalogue.resolver.indexes.is_builtin(name.as_bytes());
        is.map_err(|failure| self.board.fault("tree", prose(name, failure)))
    }

    /// Returns how the kernel's configuration sets the option that a module is named for.
    fn configured(&self, modname: &str) -> Option<&'a str> {
        self.catalogue.kconfig?.of_module(modname).map(|(_, value)| value)
    }

    fn is_alias(&self, name: &str) -> bool {
        self.resolve("", name, false).is_ok_and(|hits| !hits.modules.is_empty())
    }

    fn is_excluded(&self, at: usize) -> bool {
        let modname = self.catalogue.modules[at].modname.as_bytes();
        self.board.modules.exclude.iter().any(|name| same(name.as_bytes(), modname))
    }

    /// Says how the module at `at` came in: `ext4 (load) -> jbd2`.
    fn chain(&self, at: usize) -> String {
        let modname = &self.catalogue.modules[at].modname;
        let pick = self.selection.picks.iter().find(|pick| pick.at == at);
        match pick.map(|pick| &pick.reason) {
            Some(Reason::NeededBy(user)) => format!("{} -> {modname}", self.chain(self.places[user.as_str()])),
            Some(Reason::WeakdepOf(user)) => format!("{} -weakdep-> {modname}", self.chain(self.places[user.as_str()])),
            Some(Reason::SoftdepOf(user)) => format!("{} -softdep-> {modname}", self.chain(self.places[user.as_str()])),
            Some(reason) => format!("{modname} ({reason})"),
            None => modname.clone(),
        }
    }

    fn not_found(&self, entry: &str, reason: &Reason) -> String {
        let modnames = || self.catalogue.modules.iter().map(|module| module.modname.as_str());
        let (what, near) = match reason {
            Reason::Glob(_) => (format!("no module matches `{entry}`"), None),
            Reason::Alias(_) => (format!("no module serves the alias `{entry}`"), None),
            Reason::Dir(_) => {
                let dirs: BTreeSet<&str> =
                    self.catalogue.modules.iter().flat_map(|module| dirs(&module.path)).collect();
                (format!("no module lies in `{entry}`"), spelling::closest(entry, dirs))
            }
            Reason::Name if self.is_alias(entry) => {
                return format!("`{entry}` is an alias, not a module's name; modules.aliases takes it");
            }
            _ => (format!("the tree has no module `{entry}`"), spelling::closest(entry, modnames())),
        };
        let configured = match reason {
            Reason::Name | Reason::Load => self.catalogue.kconfig.and_then(|kconfig| kconfig.of_module(entry)),
            _ => None,
        };
        match (configured, near) {
            (Some((option, "n")), _) => format!("{what}: {option} is not set"),
            (Some((option, value)), _) => format!("{what}, though {option}={value}: the tree is not whole"),
            (None, Some(near)) => format!("{what}; did you mean `{near}`?"),
            (None, None) => what,
        }
    }
}

/// What it means that something is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    /// It is an error.
    Be,
    /// It is told.
    Tell,
    /// Nothing.
    Not,
}

/// Pairs each entry of one kind of list with its key, and with what it means that it is not there.
fn keyed<'a>(
    lists: &'a [(Must, &'static str, &'a Optional)],
    key: &'static str,
    of: impl Fn(&Optional) -> &Vec<String> + Copy + 'a,
) -> impl Iterator<Item = (Must, String, &'a String)> {
    lists
        .iter()
        .flat_map(move |(must, table, list)| of(list).iter().map(move |entry| (*must, format!("{table}.{key}"), entry)))
}

/// Yields all directories above `path`.
fn dirs(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(slash, _)| &path[..slash])
}

fn prose(name: &str, failure: Failure) -> String {
    match failure {
        Failure::Name(error) => format!("`{name}` {error}"),
        Failure::Index(file, fault) => format!("{}: node at {:#x} {}", file.file_name(), fault.off, fault.error),
    }
}
