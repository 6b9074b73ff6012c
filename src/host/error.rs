//! What can go wrong on the host: always the file, and where in it.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// A host error; its text is one line of lower-case prose that begins with the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("{}: {}", path.display(), reason(source))]
    Io {
        /// What was opened, read or written.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file as a whole is not what it should be.
    #[error("{}: {what}", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A binary file is damaged.
    #[error("{}: {what} at offset {off:#x}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Bytes from its start; in a compressed module that was unpacked, from the start of what it holds.
        off: u64,
        /// What is wrong there.
        what: String,
    },
    /// A line of a text file can't be used.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// A key of a structured file can't be used.
    #[error("{}: {key}: {what}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key, dotted: `modules.names`.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// Modules need each other in a circle.
    #[error("modules need each other in a circle: {}", cycles.iter().map(|members| members.join(" -> ")).collect::<Vec<_>>().join("; "))]
    Cycle {
        /// The paths of each circle's members, each needing the next, the last the first.
        cycles: Vec<Vec<String>>,
    },
    /// An index can't be written.
    #[error("{file}: {source}")]
    Index {
        /// Its name: `modules.alias.bin`.
        file: &'static str,
        /// Why.
        source: crate::modules::index::WriteError,
    },
}

/// What host functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Returns the system's reason without its number.
fn reason(source: &io::Error) -> String {
    let text = source.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

impl Error {
    /// Makes the closure for `map_err` that puts `path` before an I/O error.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { path: path.as_ref().to_owned(), source }
    }

    /// Says what is wrong with the file as a whole.
    pub fn input(path: impl Into<PathBuf>, what: impl Display) -> Error {
        Error::Input { path: path.into(), what: what.to_string() }
    }
}
