//! What a selection came to: the modules, each with the reason it is in, and what else there is to tell.

use super::load_order::Lane;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What was selected.
#[derive(Debug, Default)]
pub struct Selection {
    /// The modules: asked for first, then those that they need.
    pub picks: Vec<Pick>,
    /// What is loaded first.
    pub lane: Lane,
    /// Where there are several boards: what is loaded first on each, by the first of its device tree's compatible strings.
    pub lanes: BTreeMap<String, Lane>,
    /// Who needs whom, by their places; `None` is the board itself.
    pub edges: BTreeSet<(Option<usize>, usize)>,
    /// Names that were optional, and are not there, with their keys.
    pub absent: Vec<(String, String)>,
    /// Nodes of which it is not known who serves them: on the way to the root, or of the board.
    pub unserved: Vec<String>,
    /// Nodes that the root may be on and whose disks may have another number at each boot.
    pub as_they_come: Vec<String>,
    /// Names that were asked for and are built into the kernel.
    pub builtin: Vec<(String, Reason)>,
    /// Exclusions of what the tree does not have: harmless, or a slip.
    pub idle_exclusions: Vec<String>,
    /// Softdeps that stand for nothing in the tree, and whose they are. modprobe ignores them silently.
    pub unknown_softdeps: Vec<(String, String)>,
}

/// Says of nodes whose disks are numbered as they come how these had better not be named; nothing without nodes.
pub fn numbers(nodes: &[String]) -> Option<String> {
    let nodes = nodes.join(", ");
    let advice = "/dev/mmcblkN may be another at each boot, root=UUID=... or PARTUUID=... is not";
    Some(format!("numbered as they come: {nodes}: {advice}")).filter(|_| !nodes.is_empty())
}

/// A selected module.
#[derive(Debug, PartialEq, Eq)]
pub struct Pick {
    /// Its place among the catalogue's modules.
    pub at: usize,
    /// Why it is in.
    pub reason: Reason,
    /// What the board file says of it, in prose.
    pub note: Option<String>,
}

/// Why a module is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A node of the device tree leads to it, and how.
    Node(String),
    /// The root needs it: what it is on, or its file system.
    Root(String),
    /// `modules.load` has it.
    Load,
    /// `names` has it.
    Name,
    /// A pattern of `globs` matches it.
    Glob(String),
    /// It lies in a directory of `dirs`.
    Dir(String),
    /// It serves an alias of `aliases`.
    Alias(String),
    /// A module imports its symbols.
    NeededBy(String),
    /// A module names it, or an alias of it, as a softdep.
    SoftdepOf(String),
    /// A module names it as a weakdep: it may ask for it when it runs.
    WeakdepOf(String),
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.note {
            Some(note) => write!(f, "{}: {note}", self.reason),
            None => write!(f, "{}", self.reason),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Node(chain) => write!(f, "{chain}"),
            Reason::Root(what) => write!(f, "{what}"),
            Reason::Load => write!(f, "load"),
            Reason::Name => write!(f, "names"),
            Reason::Glob(pattern) => write!(f, "glob {pattern}"),
            Reason::Dir(dir) => write!(f, "dir {dir}"),
            Reason::Alias(alias) => write!(f, "alias {alias}"),
            Reason::NeededBy(user) => write!(f, "needed by {user}"),
            Reason::SoftdepOf(user) => write!(f, "softdep of {user}"),
            Reason::WeakdepOf(user) => write!(f, "weakdep of {user}"),
        }
    }
}
