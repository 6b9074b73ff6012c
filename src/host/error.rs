// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host's error: the file, the place in it, and the reason.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// An error of the host. Its text is one line that begins with the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{}: {}", path.display(), reason(source))]
    Io {
        /// The file that was opened, read or written.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// Several errors, in a fixed order: a line each.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<Error>),
    /// A file cannot be used, as a whole.
    #[error("{}: {what}", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// The reason.
        what: String,
    },
    /// A binary file is damaged.
    #[error("{}: {what} at offset {off:#x}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Offset of the damage, bytes: from the start of the file; in a compressed module, of its unpacked content.
        off: u64,
        /// The damage.
        what: String,
    },
    /// A line of a text file cannot be used.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// The reason.
        what: String,
    },
    /// A key of a TOML file cannot be used.
    #[error("{}: {key}: {what}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key with its tables: `modules.names`.
        key: String,
        /// The reason.
        what: String,
    },
    /// Modules depend on each other in a cycle.
    #[error("modules depend on each other: {}", cycles.iter().map(|members| chain(members)).collect::<Vec<_>>().join("; "))]
    Cycle {
        /// For each cycle its modnames. Each module needs the next, and the last needs the first.
        cycles: Vec<Vec<String>>,
    },
    /// An index cannot be written.
    #[error("{file}: {source}")]
    Index {
        /// The name of its file: `modules.alias.bin`.
        file: &'static str,
        /// The reason.
        source: crate::modules::index::WriteError,
    },
}

/// The path of a board that has no board file: its keys come from options.
pub const COMMAND_LINE: &str = "command line";

/// The result of the host's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Returns the system's reason without the error number.
fn reason(source: &io::Error) -> String {
    let text = source.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Writes a cycle as a chain that ends where it begins: `a -> b -> a`.
pub fn chain(members: &[String]) -> String {
    members.iter().chain(members.first()).map(String::as_str).collect::<Vec<_>>().join(" -> ")
}

impl Error {
    /// Whether the command line is wrong, and not what it leads to.
    pub fn is_usage(&self) -> bool {
        match self {
            Error::Usage(_) => true,
            Error::Several(errors) => errors.iter().all(Error::is_usage),
            _ => false,
        }
    }

    /// Returns a closure for `map_err` that adds `path` to an I/O error.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { path: path.as_ref().to_owned(), source }
    }

    /// Returns an error with all of `errors`, unless there are none.
    ///
    /// # Errors
    /// The only one, or [`Error::Several`].
    pub fn all(mut errors: Vec<Error>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Error::Several(errors)),
        }
    }

    /// Makes an [`Error::Input`].
    pub fn input(path: impl Into<PathBuf>, what: impl Display) -> Error {
        Error::Input { path: path.into(), what: what.to_string() }
    }
}
