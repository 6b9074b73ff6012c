//! A module file as its name and its inode describe it: path, modname, state. Reads no content. Source: depmod(8).

/// A module file, unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFile {
    /// Relative to the tree's directory: `kernel/fs/ext4/ext4.ko.xz`; absolute if it lies outside.
    pub path: String,
    /// Length as it lies, bytes.
    pub file_len: u64,
    /// Tells this state of the file from any other.
    pub stamp: Stamp,
}

/// Which file it is, and when it and what is known of it were last changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The file system's number.
    pub dev: u64,
    /// The file's number in it.
    pub ino: u64,
    /// When the content was last changed, as the file says: nanoseconds since 1970.
    pub mtime_ns: i128,
    /// When content or metadata were last changed, as the kernel says: nanoseconds since 1970.
    pub ctime_ns: i128,
}

/// The suffixes of module files. The content decides how a file is read, its name only that it is a module.
pub const SUFFIXES: [&str; 4] = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];

/// Returns the modname of a module file: `kernel/net/ipv6/ip6-gre.ko.xz` gives `ip6_gre`.
pub fn modname(path: &str) -> String {
    let base = path.rsplit('/').next().unwrap_or(path);
    base.split('.').next().unwrap_or(base).replace('-', "_")
}

/// Returns `path` without what stands behind `.ko`, which is how modules.order spells it.
pub fn plain_path(path: &str) -> &str {
    let suffix = SUFFIXES.iter().rev().find(|suffix| path.ends_with(**suffix));
    suffix.map_or(path, |suffix| &path[..path.len() - suffix.len() + ".ko".len()])
}

/// Says whether a file of this name is a module.
pub fn is_module(name: &str) -> bool {
    SUFFIXES.iter().any(|suffix| name.len() > suffix.len() && name.ends_with(suffix))
}
