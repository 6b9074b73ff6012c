//! The one error of the core: Copy and fieldless. Absent is `None`, malformed or unfit is an `Error`.
//!
//! Prose, file names and offsets are added at the top, by whoever knows them.

/// Why an input, or a buffer that was lent, can't serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The file does not begin with the index magic.
    BadMagic,
    /// The index is of a major version that is not 2.
    BadVersion,
    /// A read would pass the end of the input.
    OutOfBounds,
    /// A node's fields contradict each other or the format.
    BadNode,
    /// The nodes do not form a tree: one is reached twice.
    Cycle,
    /// A name, alias or key is longer than any the kernel or depmod makes.
    TooLong,
    /// `[` without `]`, or the reverse.
    BadBrackets,
    /// A directive has the wrong words.
    BadDirective,
    /// The file is no ELF file.
    NotElf,
    /// The signature is no PKCS#7 message of a kind that modules have.
    BadSignature,
    /// A buffer that the caller lent is full.
    Full,
    /// Softdeps lead on for longer than any sane chain.
    TooDeep,
}

impl Error {
    /// Says what is wrong, without subject: `runs past the end`.
    pub const fn prose(self) -> &'static str {
        match self {
            Error::BadMagic => "is not a module index (wrong magic)",
            Error::BadVersion => "is an index of an unknown version",
            Error::OutOfBounds => "runs past the end",
            Error::BadNode => "is no valid index node",
            Error::Cycle => "is reached twice: the index is no tree",
            Error::TooLong => "is too long",
            Error::BadBrackets => "has unbalanced brackets",
            Error::BadDirective => "is not understood",
            Error::NotElf => "is no ELF file",
            Error::BadSignature => "is no signature of a known kind",
            Error::Full => "needs more room than is set aside",
            Error::TooDeep => "has softdeps nested too deep",
        }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.prose())
    }
}

impl core::error::Error for Error {}
