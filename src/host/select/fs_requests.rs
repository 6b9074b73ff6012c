// SPDX-License-Identifier: MIT OR Apache-2.0
//! Modules that the kernel requests by name when a file system is mounted: no symbol and no softdep leads to them.

use crate::host::board::kconfig::Kconfig;

/// A file system, and the names that its mount requests in its default state. `nls_` of a name is resolved by
/// the configuration: see [`Request`].
const TABLE: [(&str, &[Request]); 10] = [
    // fs/fat/inode.c, fat_fill_super: load_nls of both; fs/nls/nls_base.c, load_nls: request_module("nls_%s")
    ("vfat", &[Request::Codepage, Request::Charset("FAT_DEFAULT_IOCHARSET", true)]),
    ("msdos", &[Request::Codepage]),
    // fs/exfat/super.c, __exfat_fill_super: load_nls, unless it is utf8
    ("exfat", &[Request::Charset("EXFAT_DEFAULT_IOCHARSET", false)]),
    // fs/ntfs3/super.c, ntfs_load_nls: unless it is utf8
    ("ntfs3", &[Request::Charset("NLS_DEFAULT", false)]),
    // fs/isofs/inode.c, isofs_fill_super, for Joliet: unless it is utf8
    ("iso9660", &[Request::Charset("NLS_DEFAULT", false)]),
    // fs/hfsplus/super.c, hfsplus_fill_super: load_nls("utf8"), then load_nls_default
    ("hfsplus", &[Request::Name("nls_utf8"), Request::Charset("NLS_DEFAULT", true)]),
    // fs/ubifs/compress.c, compr_init: crypto_alloc_comp; crypto/api.c: request_module("crypto-%s")
    ("ubifs", &[Request::Name("crypto-deflate"), Request::Name("crypto-lzo"), Request::Name("crypto-zstd")]),
    // fs/f2fs/super.c, f2fs_fill_super: crypto_alloc_shash("crc32"), before Linux 6.14
    ("f2fs", &[Request::Name("crypto-crc32")]),
    // net/9p/mod.c, v9fs_get_trans_by_name: request_module("9p-%s"); a virtual machine's root is on virtio
    ("9p", &[Request::Name("9p-virtio")]),
    // fs/nfs/client.c, find_nfs_version: request_module("nfsv%d")
    ("nfs", &[Request::Name("nfsv3"), Request::Name("nfsv4")]),
];

/// A request of a mount.
#[derive(Debug, Clone, Copy)]
enum Request {
    /// A module's name or alias.
    Name(&'static str),
    /// The code page of CONFIG_FAT_DEFAULT_CODEPAGE.
    Codepage,
    /// The character set of an option of the configuration. Whether utf8 is requested too, which most file systems do
    /// themselves.
    Charset(&'static str, bool),
}

/// The kernel's default of CONFIG_FAT_DEFAULT_CODEPAGE. Source: fs/fat/Kconfig.
const CODEPAGE: &str = "437";

/// Character sets that kernels have as their default: fs/fat/Kconfig's, and Debian's.
const CHARSETS: [&str; 2] = ["iso8859-1", "ascii"];

/// A name that a mount requests.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Requested {
    /// A module's name or alias.
    pub(crate) name: String,
    /// Whether the kernel surely requests it; otherwise its configuration is unknown.
    pub(crate) is_sure: bool,
}

/// Returns the names that the mount of `fs` requests.
pub(crate) fn of(fs: &str, kconfig: Option<&Kconfig>) -> Vec<Requested> {
    let requests = TABLE.iter().filter(|(known, _)| *known == fs).flat_map(|(_, requests)| *requests);
    requests.flat_map(|request| requested(*request, kconfig)).collect()
}

fn requested(request: Request, kconfig: Option<&Kconfig>) -> Vec<Requested> {
    let set = |option: &str| kconfig.and_then(|kconfig| kconfig.value(option));
    match request {
        Request::Name(name) => vec![Requested { name: name.into(), is_sure: false }],
        Request::Codepage => {
            let codepage = set("FAT_DEFAULT_CODEPAGE");
            vec![Requested { name: format!("nls_cp{}", codepage.unwrap_or(CODEPAGE)), is_sure: codepage.is_some() }]
        }
        Request::Charset(option, takes_utf8) => {
            let charset = set(option);
            let charsets = charset.map_or(CHARSETS.to_vec(), |charset| vec![charset]);
            let charsets = charsets.into_iter().filter(|charset| takes_utf8 || *charset != "utf8");
            charsets.map(|name| Requested { name: format!("nls_{name}"), is_sure: charset.is_some() }).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_pages_are_those_of_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        let text =
            "CONFIG_FAT_DEFAULT_CODEPAGE=850\nCONFIG_FAT_DEFAULT_IOCHARSET=\"ascii\"\nCONFIG_NLS_DEFAULT=\"utf8\"\n";
        std::fs::write(&path, text).unwrap();
        let kconfig = Kconfig::read(&path).unwrap();
        let names = |fs, kconfig| of(fs, kconfig).into_iter().map(|request| request.name).collect::<Vec<_>>();
        assert_eq!(names("vfat", Some(&kconfig)), ["nls_cp850", "nls_ascii"]);
        assert_eq!(names("vfat", None), ["nls_cp437", "nls_iso8859-1", "nls_ascii"]);
        assert_eq!(names("ntfs3", Some(&kconfig)), [""; 0]);
        assert_eq!(names("ext4", None), [""; 0]);
    }
}
