// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reason why a module is selected, as data; prose is made where it is printed.

use crate::host::dt::needs::NodeReason;
use crate::host::dt::root::Root;
use crate::host::modules::module::{Module, ModuleId};
use std::fmt;

/// Why a module is selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The board requests it.
    Requested(Request),
    /// This module imports its symbols.
    NeededBy(ModuleId),
    /// This module has it, or an alias of it, as a softdep.
    SoftdepOf(ModuleId),
    /// This module has it as a weakdep: it may request it at run time.
    WeakdepOf(ModuleId),
}

/// The part of a board file or device tree that requests a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A node of the device tree.
    Node(NodeReason),
    /// The kernel requests this name for root devices of this kind; `root` is `None` for the whole board.
    Implied {
        /// The root.
        root: Option<Root>,
        /// Modalias or modname.
        name: &'static str,
    },
    /// The root's file system.
    Fs(String),
    /// The kernel requests this name when it mounts the root's file system.
    FsRequest {
        /// The file system.
        fs: String,
        /// Modname or alias.
        name: String,
    },
    /// This built-in driver has it, or an alias of it, as a softdep.
    SoftdepOfBuiltin(String),
    /// `modules.load`.
    Load,
    /// A `names` list.
    Name,
    /// This pattern of a `globs` list.
    Glob(String),
    /// This directory of a `dirs` list.
    Dir(String),
    /// This alias of an `aliases` list.
    Alias(String),
}

impl Reason {
    /// Returns the module that brought this one in; `None` if the board requests it.
    pub fn user(&self) -> Option<ModuleId> {
        match self {
            Reason::Requested(_) => None,
            Reason::NeededBy(user) | Reason::SoftdepOf(user) | Reason::WeakdepOf(user) => Some(*user),
        }
    }

    /// Writes the reason: `needed by ext4`. `modules` are those that the ids refer to.
    pub fn prose(&self, modules: &[Module]) -> String {
        let name = |id: &ModuleId| &modules[*id].modname;
        match self {
            Reason::Requested(request) => request.to_string(),
            Reason::NeededBy(user) => format!("needed by {}", name(user)),
            Reason::SoftdepOf(user) => format!("softdep of {}", name(user)),
            Reason::WeakdepOf(user) => format!("weakdep of {}", name(user)),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Node(reason) => write!(f, "{reason}"),
            Request::Implied { root: Some(root), name } => write!(f, "root={root} -> {name}"),
            Request::Implied { root: None, name } => write!(f, "board -> {name}"),
            Request::Fs(fs) => write!(f, "fs={fs}"),
            Request::FsRequest { fs, name } => write!(f, "fs={fs} -> {name}"),
            Request::SoftdepOfBuiltin(modname) => write!(f, "softdep of {modname}, built in"),
            Request::Load => write!(f, "load"),
            Request::Name => write!(f, "names"),
            Request::Glob(pattern) => write!(f, "glob {pattern}"),
            Request::Dir(dir) => write!(f, "dir {dir}"),
            Request::Alias(alias) => write!(f, "alias {alias}"),
        }
    }
}
