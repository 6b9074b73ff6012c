// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a module file cannot be decoded.

use crate::loading::kernel::Refusal;

/// Why a file can't be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodecError {
    /// The data contradicts its format or its checksum, or it ends too early.
    Damaged,
    /// It uses a part of its format that no module needs: a preset dictionary, a filter for another kind of machine.
    Unsupported,
    /// This loader was built without the decoder.
    NotBuiltIn,
    /// The kernel gives no memory, or the content is past all bounds.
    NoMemory,
}

impl CodecError {
    /// Returns the exit status of a process that failed by it. The kernel's errnos stay below 134.
    pub(crate) fn status(self) -> i32 {
        match self {
            CodecError::Damaged => 200,
            CodecError::Unsupported | CodecError::NotBuiltIn => 201,
            CodecError::NoMemory => 202,
        }
    }

    /// Returns the error that ends a process with this exit status.
    pub(crate) fn of_status(status: i32) -> Option<CodecError> {
        match status {
            200 => Some(CodecError::Damaged),
            201 => Some(CodecError::Unsupported),
            202 => Some(CodecError::NoMemory),
            _ => None,
        }
    }
}

impl From<CodecError> for Refusal {
    fn from(error: CodecError) -> Refusal {
        match error {
            CodecError::Damaged => Refusal::Damaged,
            CodecError::Unsupported | CodecError::NotBuiltIn => Refusal::NoDecoder,
            CodecError::NoMemory => Refusal::NoMemory,
        }
    }
}
