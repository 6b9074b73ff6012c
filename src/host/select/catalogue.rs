// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looks up modules by name, alias, pattern and directory.
//!
//! Names and aliases are resolved by the core, on the whole tree's indexes and the board's modprobe.d: as on the device.

use super::builtin::Builtins;
use crate::glob;
use crate::host::board::kconfig::Kconfig;
use crate::host::dt::driver::Drivers;
use crate::host::modules::file::modname;
use crate::host::modules::graph::Graph;
use crate::host::modules::module::{Module, ModuleId};
use crate::modules::name::normalize_in_place;
use crate::modules::resolve::{Failure, Found, MATCH_COUNT, Match, Resolver};
use std::collections::HashMap;
use std::path::Path;

/// The modules of a tree with its indexes and the board's configuration.
#[derive(Debug)]
pub struct Catalogue<'a> {
    /// The tree's directory.
    pub dir: &'a Path,
    /// All modules, in depmod's order.
    pub modules: &'a [Module],
    /// Their dependencies.
    pub graph: &'a Graph,
    /// Resolves names among them, with the board's configuration.
    pub resolver: Resolver<'a>,
    /// The kernel's configuration, if it is known.
    pub kconfig: Option<&'a Kconfig>,
    /// Softdeps of the built-in drivers.
    pub builtins: Builtins<'a>,
    /// The drivers that match the nodes of a device tree.
    pub drivers: Drivers<'a>,
    /// The modules by modname.
    pub ids: HashMap<&'a str, ModuleId>,
}

/// The result of a look-up.
#[derive(Debug, Default)]
pub struct Hits {
    /// The modules.
    pub modules: Vec<ModuleId>,
    /// Modnames of what is built in.
    pub builtins: Vec<String>,
}

impl Hits {
    pub(super) fn is_empty(&self) -> bool {
        self.modules.is_empty() && self.builtins.is_empty()
    }
}

impl<'a> Catalogue<'a> {
    /// Returns the modname of a module.
    pub(super) fn modname(&self, id: ModuleId) -> &'a str {
        &self.modules[id].modname
    }

    /// Returns the modules that a modname or alias resolves to. Like modprobe, leaves out blacklisted modules that were
    /// reached by an alias.
    ///
    /// # Errors
    /// As prose: the name is invalid, or an index is damaged.
    pub(super) fn resolve(&self, name: &str) -> Result<Hits, String> {
        self.resolve_unless(name, |modname| self.resolver.config.blacklists(modname.as_bytes()))
    }

    /// Returns the modules that a softdep or weakdep resolves to. Like modprobe, ignores the blacklist.
    ///
    /// # Errors
    /// As prose: the name is invalid, or an index is damaged.
    pub fn resolve_softdep(&self, name: &str) -> Result<Hits, String> {
        self.resolve_unless(name, |_| false)
    }

    fn resolve_unless(&self, name: &str, is_barred: impl Fn(&str) -> bool) -> Result<Hits, String> {
        let mut matches = heapless::Vec::<Match<'_>, MATCH_COUNT>::new();
        let found = self.resolver.resolve(name.as_bytes(), &mut matches).map_err(|failure| prose(name, failure))?;
        let mut hits = Hits::default();
        for matched in &matches {
            match matched {
                Match::Module(line) => {
                    let name = modname(&String::from_utf8_lossy(line.path()));
                    let is_barred = found == Found::ByAlias && is_barred(&name);
                    hits.modules.extend(self.ids.get(name.as_str()).filter(|_| !is_barred));
                }
                Match::Builtin(modname) => {
                    let modname = if modname.is_empty() { name.as_bytes() } else { modname };
                    hits.builtins.push(String::from_utf8_lossy(modname).replace('-', "_"));
                }
                Match::Command(_) | Match::Missing(_) => {}
            }
        }
        Ok(hits)
    }

    /// Returns the module of that name, with `-` or `_`, or whether the kernel has it built in.
    pub fn by_name(&self, name: &str) -> Hits {
        let name = name.replace('-', "_");
        let modules: Vec<ModuleId> = self.ids.get(name.as_str()).copied().into_iter().collect();
        let is_builtin = || self.is_builtin(&name).unwrap_or(false) || self.config_value(&name) == Some("y");
        let builtins = if modules.is_empty() && is_builtin() { vec![name.clone()] } else { Vec::new() };
        Hits { builtins, modules }
    }

    /// Returns the modules whose names match a shell pattern.
    ///
    /// # Errors
    /// As prose: the pattern is not one of a modname.
    pub(super) fn by_glob(&self, pattern: &str) -> Result<Hits, String> {
        let mut normal = pattern.as_bytes().to_vec();
        normalize_in_place(&mut normal).map_err(|error| format!("`{pattern}` {error}"))?;
        Ok(self.filter(|module| glob::matches(&normal, module.modname.as_bytes())))
    }

    /// Returns the modules below a directory of the tree.
    pub(super) fn by_dir(&self, dir: &str) -> Hits {
        self.filter(|module| module.path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')))
    }

    fn filter(&self, is_wanted: impl Fn(&Module) -> bool) -> Hits {
        let ids = ModuleId::all(self.modules.len()).filter(|&id| is_wanted(&self.modules[id]));
        Hits { modules: ids.collect(), builtins: Vec::new() }
    }

    /// Whether modules.builtin has a modname.
    ///
    /// # Errors
    /// As prose: an index is damaged.
    pub(super) fn is_builtin(&self, name: &str) -> Result<bool, String> {
        self.resolver.indexes.is_builtin(name.as_bytes()).map_err(|failure| prose(name, failure))
    }

    /// Whether a name is an alias or modname of a module.
    pub(super) fn is_alias(&self, name: &str) -> bool {
        self.resolve_softdep(name).is_ok_and(|hits| !hits.modules.is_empty())
    }

    /// Returns the value of the kernel option that a module is named after.
    pub(super) fn config_value(&self, modname: &str) -> Option<&'a str> {
        self.kconfig?.of_module(modname).map(|(_, value)| value)
    }
}

fn prose(name: &str, failure: Failure) -> String {
    match failure {
        Failure::Name(error) => format!("`{name}` {error}"),
        Failure::Index(file, fault) => format!("{}: node at {:#x} {}", file.file_name(), fault.off, fault.error),
    }
}
