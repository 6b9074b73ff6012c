// SPDX-License-Identifier: MIT OR Apache-2.0
//! Picks the modules that picked modules need: by symbols, softdeps and weakdeps.

use super::picker::Picker;
use super::reason::{Reason, Request};
use crate::host::error::{Error, Result};
use crate::host::modules::file::modname;
use crate::host::modules::module::ModuleId;

impl Picker<'_> {
    /// Picks all dependencies of the picked modules, and theirs.
    pub(super) fn add_dependencies(&mut self) -> Result<()> {
        let mut next = 0;
        while let Some(pick) = self.selection.picks.get(next) {
            let id = pick.id;
            next += 1;
            self.add_imports(id)?;
            self.add_softdeps(id)?;
            self.add_weakdeps(id)?;
        }
        Ok(())
    }

    /// Picks the softdeps of built-in drivers. Those of drivers on the way to the root are loaded first.
    pub(super) fn add_softdeps_of_builtins(&mut self) -> Result<()> {
        let mut next = 0;
        while let Some((owner, is_first)) = self.builtins.get(next).cloned() {
            next += 1;
            let configured = self.catalogue.resolver.config.softdeps(owner.as_bytes());
            let configured = configured.map(|(_, name)| String::from_utf8_lossy(name).into_owned());
            let own = self.catalogue.builtins.softdeps(&owner).map(str::to_owned);
            for name in own.chain(configured).collect::<Vec<_>>() {
                if self.excludes_link(&name) {
                    continue;
                }
                let hits = self.catalogue.resolve_softdep(&name).map_err(|what| self.fault("modules.softdep", what))?;
                self.use_builtins(&hits.builtins, is_first);
                if hits.is_empty() {
                    self.selection.unknown_softdeps.push((name, format!("{owner}, built in")));
                    continue;
                }
                for id in hits.modules {
                    if !self.is_excluded(id) {
                        self.pick_requested(id, Request::SoftdepOfBuiltin(owner.clone()));
                        if is_first {
                            self.load_first(id);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Picks the modules whose symbols a module imports.
    fn add_imports(&mut self, id: ModuleId) -> Result<()> {
        let catalogue = self.catalogue;
        let module = &catalogue.modules[id];
        for name in module.depends() {
            let name = modname(&String::from_utf8_lossy(name));
            let is_builtin = || catalogue.is_builtin(&name).map_err(|what| self.fault("tree", what));
            if !catalogue.ids.contains_key(name.as_str()) && !is_builtin()? {
                let what = format!("needs {name}, which the tree does not have");
                return Err(Error::input(catalogue.dir.join(&module.path), what));
            }
        }
        for &needed in catalogue.graph.direct(id) {
            if self.is_excluded(needed) {
                let (needed, trail) = (catalogue.modname(needed), self.selection.trail(catalogue.modules, id));
                let what = format!("{needed} cannot be excluded; it is needed: {trail} -> {needed}");
                return Err(self.fault("modules.exclude", what));
            }
            self.pick_needed(id, needed, Reason::NeededBy(id));
        }
        Ok(())
    }

    fn add_softdeps(&mut self, id: ModuleId) -> Result<()> {
        let owner = self.catalogue.modname(id);
        for (_, name) in self.catalogue.resolver.config.softdeps(owner.as_bytes()) {
            let name = String::from_utf8_lossy(name);
            if !self.add_link("modules.softdep", &name, id, Reason::SoftdepOf(id))? {
                self.selection.unknown_softdeps.push((name.into(), owner.to_owned()));
            }
        }
        Ok(())
    }

    /// Picks the modules that a module may request at run time; missing ones are reported.
    fn add_weakdeps(&mut self, id: ModuleId) -> Result<()> {
        let owner = self.catalogue.modname(id);
        for name in self.catalogue.resolver.config.weakdeps(owner.as_bytes()) {
            let name = String::from_utf8_lossy(name);
            if !self.add_link("modules.weakdep", &name, id, Reason::WeakdepOf(id))? {
                self.selection.absent.push((name.into(), format!("weakdep of {owner}")));
            }
        }
        Ok(())
    }

    /// Picks the modules that a softdep or weakdep resolves to, unless the board excludes its name. Returns false if it
    /// resolves to nothing.
    fn add_link(&mut self, key: &str, name: &str, user: ModuleId, reason: Reason) -> Result<bool> {
        if self.excludes_link(name) {
            return Ok(true);
        }
        let hits = self.catalogue.resolve_softdep(name).map_err(|what| self.fault(key, what))?;
        for &needed in &hits.modules {
            if !self.is_excluded(needed) {
                self.pick_needed(user, needed, reason.clone());
            }
        }
        Ok(!hits.is_empty())
    }
}
