// SPDX-License-Identifier: MIT OR Apache-2.0
//! Module files: how their names are read, and how a changed file is recognised. Reads no content. Source: depmod(8).

/// A module file, unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFile {
    /// Relative to the tree's directory: `kernel/fs/ext4/ext4.ko.xz`; absolute if the file is outside the tree.
    pub path: String,
    /// Length of the file, compressed or not, bytes.
    pub file_len: u64,
    /// Changes whenever the file is written or replaced.
    pub stamp: Stamp,
}

/// The inode of a file, and when it was last changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Device number of the file system.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Last change of the content, nanoseconds since 1970. A program can set it to any time.
    pub mtime_ns: i128,
    /// Last change of content or metadata, nanoseconds since 1970. Only the kernel sets it.
    pub ctime_ns: i128,
}

/// The suffixes of module files. They mark a file as a module; its compression is recognised by its content.
pub const SUFFIXES: [&str; 4] = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];

/// Returns the modname of a module file: `kernel/net/ipv6/ip6-gre.ko.xz` gives `ip6_gre`.
pub fn modname(path: &str) -> String {
    let base = path.rsplit('/').next().unwrap_or(path);
    base.split('.').next().unwrap_or(base).replace('-', "_")
}

/// Returns `path` without the suffix of its compression, as modules.order spells it.
pub fn plain_path(path: &str) -> &str {
    let suffix = SUFFIXES.iter().rev().find(|suffix| path.ends_with(**suffix));
    suffix.map_or(path, |suffix| &path[..path.len() - suffix.len() + ".ko".len()])
}

/// Whether a file of this name is a module.
pub fn is_module(name: &str) -> bool {
    SUFFIXES.iter().any(|suffix| name.len() > suffix.len() && name.ends_with(suffix))
}

/// Start of the name of depmod's temporary directory beside the indexes; the process id follows.
pub(crate) const STAGE: &str = ".depmod.";

/// Whether a directory entry of this name is a temporary directory of depmod, which is not part of the tree.
pub(crate) fn is_stage(name: &[u8]) -> bool {
    let digits = name.strip_prefix(STAGE.as_bytes());
    digits.is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}
