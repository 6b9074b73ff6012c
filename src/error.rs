// SPDX-License-Identifier: MIT OR Apache-2.0
//! The core's only error type: Copy and fieldless. An absent value is `None`, a malformed one is an `Error`.
//!
//! The callers at the top add file names and offsets, which only they know.

/// Damage in an input, or a limit that it exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The file does not begin with the index magic.
    BadMagic,
    /// The major version of the index is not 2.
    BadVersion,
    /// A read would pass the end of the input.
    OutOfBounds,
    /// A node's fields contradict each other or the format.
    BadNode,
    /// The nodes are not a tree: one is reached twice.
    Cycle,
    /// A name, alias or key is longer than the kernel or depmod can make it.
    TooLong,
    /// `[` without `]`, or the reverse.
    BadBrackets,
    /// A line has an unknown directive, or one without its arguments.
    BadDirective,
    /// Not an ELF file.
    NotElf,
    /// Not a PKCS#7 message of the kind that the kernel's build appends to modules.
    BadSignature,
    /// A buffer of the caller is full.
    Full,
    /// An alias leads to more than [`crate::modules::resolve::MATCH_COUNT`] modules.
    TooManyMatches,
    /// The options of a module are longer than [`crate::loading::run::OPTIONS_LEN`].
    OptionsTooLong,
    /// The plan has more steps than depmod can number modules.
    TooManySteps,
    /// Softdeps are nested deeper than the limit of a plan.
    TooDeep,
    /// `module_blacklist=` of the command line names the module, or one that it needs: the kernel refuses it.
    Barred,
}

impl Error {
    /// Returns the message, without a subject: `runs past the end`.
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
            Error::Full => "does not fit the loader's buffers",
            Error::TooManyMatches => "has over 128 modules, the limit",
            Error::OptionsTooLong => "has over 4096 bytes of options, the limit",
            Error::TooManySteps => "needs over 65536 modules, the limit",
            Error::TooDeep => "has softdeps nested too deep",
            Error::Barred => "is left out: module_blacklist= on the kernel command line names it or a module it needs",
        }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.prose())
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_named_with_its_number() {
        for (error, limit) in [
            (Error::TooManyMatches, crate::modules::resolve::MATCH_COUNT),
            (Error::OptionsTooLong, crate::loading::run::OPTIONS_LEN),
        ] {
            assert!(error.prose().contains(&limit.to_string()), "{error}");
        }
    }
}
