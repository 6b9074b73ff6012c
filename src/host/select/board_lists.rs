// SPDX-License-Identifier: MIT OR Apache-2.0
//! Picks the modules that the board file lists: by name, pattern, directory or alias, and the root's file system.

use super::catalogue::Hits;
use super::fs_requests;
use super::fs_requests::Requested;
use super::picker::Picker;
use super::reason::Request;
use crate::host::board::file::Lists;
use crate::host::error::Result;
use crate::host::modules::module::ModuleId;
use crate::host::spelling;
use std::collections::BTreeSet;

/// Handling of an entry that resolves to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IfAbsent {
    Fail,
    Report,
    Ignore,
}

impl Picker<'_> {
    /// Picks the modules of `modules.load`; they are loaded first.
    pub(super) fn add_load_list(&mut self) -> Result<()> {
        let board = self.board;
        for name in &board.modules.load {
            let mut hits = self.catalogue.resolve(name).map_err(|what| self.fault("modules.load", what))?;
            if hits.is_empty() {
                hits = self.catalogue.by_name(name);
            }
            self.use_builtins(&hits.builtins, true);
            self.add_entry(IfAbsent::Fail, "modules.load", name, hits, Request::Load)?;
            self.selection.load_list.push(name);
        }
        Ok(())
    }

    /// Picks the root's file systems, if the board names any; they are loaded first.
    pub(super) fn add_fs(&mut self) -> Result<()> {
        let board = self.board;
        board.fs.iter().try_for_each(|fs| self.add_one_fs(fs))
    }

    fn add_one_fs(&mut self, fs: &str) -> Result<()> {
        let mut hits = self.catalogue.resolve(&format!("fs-{fs}")).map_err(|what| self.fault("fs", what))?;
        if hits.is_empty() {
            hits = self.catalogue.by_name(fs);
            let is_in_config = || self.catalogue.config_value(&format!("{fs}_fs")) == Some("y");
            if hits.is_empty() && is_in_config() {
                hits.builtins.push(fs.replace('-', "_"));
            }
        }
        if hits.is_empty() {
            return Err(self.fault("fs", self.no_fs(fs)));
        }
        hits.modules.iter().for_each(|&id| self.load_first(id));
        self.use_builtins(&hits.builtins, true);
        self.add_entry(IfAbsent::Fail, "fs", fs, hits, Request::Fs(fs.to_owned()))?;
        self.add_fs_requests(fs)
    }

    /// Picks the modules that the kernel requests when it mounts the root's file system.
    fn add_fs_requests(&mut self, fs: &str) -> Result<()> {
        for Requested { name, is_sure } in fs_requests::of(fs, self.catalogue.kconfig) {
            let mut hits = self.catalogue.resolve(&name).map_err(|what| self.fault("fs", what))?;
            if hits.is_empty() {
                hits = self.catalogue.by_name(&name);
            }
            if hits.is_empty() && is_sure {
                self.selection.absent.push((name.clone(), format!("fs={fs} requests it")));
            }
            self.use_builtins(&hits.builtins, false);
            hits.builtins.clear(); // the report names only what the board requests
            self.add_entry(
                IfAbsent::Ignore,
                "fs",
                &name,
                hits,
                Request::FsRequest { fs: fs.into(), name: name.clone() },
            )?;
        }
        Ok(())
    }

    /// Picks the modules of `[modules]`, `[modules.optional]` and `[modules.expected-missing]`.
    pub(super) fn add_lists(&mut self) -> Result<()> {
        let modules = &self.board.modules;
        let required = modules.required();
        let tables = [
            (IfAbsent::Fail, "modules", &required),
            (IfAbsent::Report, "modules.optional", &modules.optional),
            (IfAbsent::Ignore, "modules.expected-missing", &modules.expected_missing),
        ];
        for (if_absent, key, name) in entries(&tables, "names", |lists| &lists.names) {
            let hits = self.catalogue.by_name(name);
            self.add_entry(if_absent, &key, name, hits, Request::Name)?;
        }
        for (if_absent, key, pattern) in entries(&tables, "globs", |lists| &lists.globs) {
            let hits = self.catalogue.by_glob(pattern).map_err(|what| self.fault(&key, what))?;
            self.add_entry(if_absent, &key, pattern, hits, Request::Glob(pattern.clone()))?;
        }
        for (if_absent, key, dir) in entries(&tables, "dirs", |lists| &lists.dirs) {
            let dir = dir.trim_matches('/');
            let hits = self.catalogue.by_dir(dir);
            self.add_entry(if_absent, &key, dir, hits, Request::Dir(dir.into()))?;
        }
        for (if_absent, key, alias) in entries(&tables, "aliases", |lists| &lists.aliases) {
            let hits = self.catalogue.resolve(alias).map_err(|what| self.fault(&key, what))?;
            self.add_entry(if_absent, &key, alias, hits, Request::Alias(alias.clone()))?;
        }
        Ok(())
    }

    /// Picks the modules of one entry, but for excluded ones.
    fn add_entry(&mut self, if_absent: IfAbsent, key: &str, entry: &str, hits: Hits, request: Request) -> Result<()> {
        if hits.is_empty() {
            match if_absent {
                IfAbsent::Fail => {
                    let error = self.fault(key, self.not_found(entry, &request));
                    self.faults.push(error);
                    return Ok(());
                }
                IfAbsent::Report => self.selection.absent.push((entry.into(), key.into())),
                IfAbsent::Ignore => {}
            }
        }
        let (excluded, wanted): (Vec<ModuleId>, Vec<ModuleId>) =
            hits.modules.iter().partition(|&&id| self.is_excluded(id));
        if if_absent == IfAbsent::Fail && wanted.is_empty() && !excluded.is_empty() {
            let what =
                format!("`{entry}` resolves to modules of modules.exclude only; remove it from one of the lists");
            return Err(self.fault(key, what));
        }
        self.use_builtins(&hits.builtins, false);
        if !hits.builtins.is_empty() {
            self.selection.add_builtin(entry, request.clone());
        }
        for &id in &wanted {
            self.pick_requested(id, request.clone());
        }
        if let Some(note) = self.board.modules.why.get(entry) {
            for pick in self.selection.picks.iter_mut().filter(|pick| wanted.contains(&pick.id)) {
                pick.note.get_or_insert_with(|| note.clone());
            }
        }
        Ok(())
    }

    fn no_fs(&self, fs: &str) -> String {
        let modules = self.catalogue.modules.iter().filter(|module| module.path.starts_with("kernel/fs/"));
        let near = spelling::closest(fs, modules.map(|module| module.modname.as_str()));
        let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        format!("neither the kernel nor the tree has the file system `{fs}`{hint}")
    }

    /// Returns the message for an entry that resolves to nothing: with the kernel option that decides, or else the most
    /// similar name.
    fn not_found(&self, entry: &str, request: &Request) -> String {
        let (what, near) = match request {
            Request::Glob(_) => (format!("no module matches `{entry}`"), None),
            Request::Alias(_) => (format!("no module matches the alias `{entry}`"), None),
            Request::Dir(_) => {
                let dirs = self.catalogue.modules.iter().flat_map(|module| dirs_above(&module.path));
                let dirs: BTreeSet<&str> = dirs.collect();
                (format!("the tree has no module in `{entry}`"), spelling::closest(entry, dirs))
            }
            Request::Name if self.catalogue.is_alias(entry) => {
                return format!("`{entry}` is an alias, not a modname; move it to modules.aliases");
            }
            _ => {
                let modnames = self.catalogue.modules.iter().map(|module| module.modname.as_str());
                (format!("the tree has no module `{entry}`"), spelling::closest(entry, modnames))
            }
        };
        let option = match request {
            Request::Name | Request::Load => self.catalogue.kconfig.and_then(|kconfig| kconfig.of_module(entry)),
            _ => None,
        };
        match (option, near) {
            (Some((option, "n")), _) => format!("{what}: {option} is not set"),
            (Some((option, value)), _) => format!("{what} although {option}={value}: the tree is incomplete"),
            (None, Some(near)) => format!("{what}; did you mean `{near}`?"),
            (None, None) => what,
        }
    }
}

/// Yields the entries of one list of each table, with the handling of absent ones and the key.
fn entries<'a>(
    tables: &'a [(IfAbsent, &'static str, &'a Lists)],
    key: &'static str,
    list: impl Fn(&Lists) -> &Vec<String> + Copy + 'a,
) -> impl Iterator<Item = (IfAbsent, String, &'a String)> {
    tables.iter().flat_map(move |(if_absent, table, lists)| {
        list(lists).iter().map(move |entry| (*if_absent, format!("{table}.{key}"), entry))
    })
}

/// Yields all directories above `path`.
fn dirs_above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(slash, _)| &path[..slash])
}
