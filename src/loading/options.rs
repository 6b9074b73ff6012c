// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of the kernel command line that the boot reads, and [`WORDS`], their documentation.
//!
//! Words of modules (`MODULE.PARAM=`, blacklists) are in [`crate::modules::cmdline`]. Source: the kernel's
//! init/do_mounts.c for root parameters and their defaults, dracut.cmdline(7) for `rd.` words.

use super::wait::FOREVER_MS;
use crate::bytes::decimal;
use crate::modules::cmdline;
use crate::modules::cmdline::params;

/// The extent of the coldplug: for which devices modules are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coldplug {
    /// Modules of all devices.
    Full,
    /// Until the root is mounted; the real root loads the rest.
    Root,
    /// Listed modules only.
    None,
}

/// The words that list modules to load first, in this order.
pub const LOAD_FIRST: [&[u8]; 3] = [b"rd.driver.pre", b"rd.modules_load", b"modules_load"];

/// The word that lists modules to load after all others.
pub const LOAD_LAST: &[u8] = b"rd.driver.post";

/// The boot's options. Of several words with one key the last counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootOptions<'map> {
    /// `root=`: the root device, as [`crate::root::rootdev::RootDev`] parses it.
    pub root: Option<&'map [u8]>,
    /// `rootfstype=`: file system types to try, separated by commas.
    pub root_types: Option<&'map [u8]>,
    /// `rootflags=`: mount options, separated by commas.
    pub root_flags: &'map [u8],
    /// `ro` or `rw`: whether the root is mounted read-only.
    pub is_read_only: bool,
    /// `rootwait`, `rootwait=S`: idle time after which the wait for the root device ends, ms.
    pub patience_ms: u64,
    /// `rootdelay=S`: time since the start during which the root device is left alone, ms.
    pub delay_ms: u64,
    /// `nfsroot=`: the export of a root on NFS.
    pub nfsroot: &'map [u8],
    /// `ip=`: the address of a root on NFS.
    pub ip: &'map [u8],
    /// `init=`: the real root's init.
    pub init: Option<&'map [u8]>,
    /// `panic=S`: seconds after which a boot without a root reboots; `None` for never.
    pub reboot_after_s: Option<u32>,
    /// `rd.break`: whether a shell is started before the switch to the root.
    pub has_break: bool,
    /// `initmod.coldplug=`.
    pub coldplug: Coldplug,
    /// `initmod.serial=`: `1`, or names of modules that are loaded alone, separated by commas.
    pub serial: &'map [u8],
    /// `initmod.jobs=`: the number of workers.
    pub jobs: Option<u32>,
    /// `initmod.timeout=S`: the longest time that the load of a module may take, ms; 0 for no limit.
    pub limit_ms: u64,
    /// `initmod.free=1`: whether the file of a loaded module is deleted.
    pub frees: bool,
}

/// Whether the words of the features `boot` and `nfs` are read: not by a loader without these, which saves 400 bytes.
const HAS_BOOT: bool = cfg!(any(test, not(feature = "device"), feature = "boot"));
const HAS_NFS: bool = cfg!(any(test, not(feature = "device"), feature = "nfs"));

/// The wait for the root device without `rootwait=`, ms.
const PATIENCE_MS: u64 = 30_000;

/// The longest time for a module without `initmod.timeout=`, ms.
const LIMIT_MS: u64 = 60_000;

impl<'map> BootOptions<'map> {
    /// Parses a kernel command line. A value that is not understood counts as absent.
    #[inline(never)] // called by the boot and by its steps as commands
    pub fn parse(cmdline: &'map [u8]) -> BootOptions<'map> {
        let value = |key: &[u8]| cmdline::value(cmdline, key);
        let text = |key| value(key).unwrap_or_default();
        let boot_text = |key| if HAS_BOOT { text(key) } else { b"" };
        let nfs_text = |key| if HAS_NFS { text(key) } else { b"" };
        let ms = |key| value(key).and_then(decimal).map(|s| u64::from(s).saturating_mul(1000));
        let access = params(cmdline).map(|param| param.key).filter(|key| matches!(*key, b"ro" | b"rw")).last();
        let default_ms = if cmdline::has(cmdline, b"rootwait") { FOREVER_MS } else { PATIENCE_MS };
        BootOptions {
            root: value(b"root"),
            root_types: value(b"rootfstype"),
            root_flags: text(b"rootflags"),
            is_read_only: access != Some(b"rw"),
            patience_ms: ms(b"rootwait").unwrap_or(default_ms),
            delay_ms: ms(b"rootdelay").unwrap_or(0),
            nfsroot: nfs_text(b"nfsroot"),
            ip: nfs_text(b"ip"),
            init: value(b"init"),
            reboot_after_s: match value(b"panic") {
                None | Some(b"0") => None,
                // Negative: at once, as the kernel does it.
                Some(seconds) => Some(decimal(seconds).unwrap_or(0)),
            },
            has_break: HAS_BOOT && cmdline::has(cmdline, b"rd.break"),
            coldplug: match boot_text(b"initmod.coldplug") {
                b"root" => Coldplug::Root,
                b"none" => Coldplug::None,
                _ => Coldplug::Full,
            },
            serial: boot_text(b"initmod.serial"),
            jobs: decimal(boot_text(b"initmod.jobs")),
            limit_ms: ms(b"initmod.timeout").filter(|_| HAS_BOOT).unwrap_or(LIMIT_MS),
            frees: boot_text(b"initmod.free") == b"1",
        }
    }
}

/// The words of the kernel command line that the loader reads, and their meaning: the list of initmod-boot(7), checked by a test.
pub const WORDS: [(&str, &str); 18] = [
    (
        "`root=`",
        "the root device: /dev/…, `UUID=`, `LABEL=`, `PARTUUID=` (also with `/PARTNROFF=N`), `PARTLABEL=`, `MAJOR:MINOR`, \
         /dev/disk/by-…",
    ),
    (
        "`root=/dev/nfs`, `nfsroot=`, `ip=`",
        "a root on NFS: `nfsroot=[SERVER:]PATH[,OPTIONS]`, in which `%s` is replaced by the client's address; `ip=dhcp` or \
         `ip=CLIENT:SERVER:GATEWAY:NETMASK::DEVICE`. DHCP supplies what is left out",
    ),
    ("`rootfstype=`", "file system types to try, separated by commas; without it all that the kernel knows"),
    ("`rootflags=`, `ro`, `rw`", "mount options; read-only (`ro`) is the default"),
    ("`rootwait`, `rootwait=S`", "wait for the root device for ever, or S seconds (default 30) after the last module"),
    ("`rootdelay=S`", "leave the root device alone for the first S seconds"),
    ("`init=`", "the program to start in the root; if it is missing, the kernel's usual ones"),
    ("`panic=S`", "reboot S seconds after a failed boot, at once if negative; 0: never (default)"),
    ("`quiet`", "for the kernel: keeps notices off the console, errors stay"),
    ("`MODULE.PARAM=VALUE`", "a parameter of a module"),
    (
        "`modprobe.blacklist=`, `rd.driver.blacklist=`, `module_blacklist=`",
        "modules that are not loaded for devices; those of the kernel's `module_blacklist=` are not loaded by name either",
    ),
    ("`modules_load=`, `rd.modules_load=`, `rd.driver.pre=`", "modules to load first"),
    ("`rd.driver.post=`", "modules to load after all others"),
    ("`rd.break`", "start a shell, if the image has one, before the switch to the root"),
    (
        "`initmod.coldplug=`",
        "`full` (default): load the modules of all devices; `root`: stop once the root is mounted, whose own init loads the \
         rest; `none`: load listed modules only",
    ),
    (
        "`initmod.serial=1`, `=NAME,...`, `initmod.jobs=N`",
        "load one module at a time; load these modules alone; the number of workers (at most 16; default two per CPU, at \
         most 8)",
    ),
    (
        "`initmod.timeout=S`",
        "give up a module whose init, or whose install command, does not end within S seconds (default 60); 0: never",
    ),
    (
        "`initmod.free=1`",
        "delete each module's file once it is loaded, on a board whose memory cannot hold both the file and the module",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_its_field() {
        let none = BootOptions {
            root: None,
            root_types: None,
            root_flags: b"",
            is_read_only: true,
            patience_ms: 30_000,
            delay_ms: 0,
            nfsroot: b"",
            ip: b"",
            init: None,
            reboot_after_s: None,
            has_break: false,
            coldplug: Coldplug::Full,
            serial: b"",
            jobs: None,
            limit_ms: 60_000,
            frees: false,
        };
        assert_eq!(BootOptions::parse(b"quiet console=ttyS0 -- root=/dev/vda init=/bin/sh"), none);
        for (cmdline, want) in [
            (&b"root=/dev/vda"[..], BootOptions { root: Some(b"/dev/vda"), ..none }),
            (b"root=8:1 root=UUID=1a", BootOptions { root: Some(b"UUID=1a"), ..none }),
            (b"root=8:1 root", none),
            (b"rootfstype=ext4,btrfs", BootOptions { root_types: Some(b"ext4,btrfs"), ..none }),
            (b"rootflags=\"noatime,x=a b\"", BootOptions { root_flags: b"noatime,x=a b", ..none }),
            (b"ro rw", BootOptions { is_read_only: false, ..none }),
            (b"rw ro", none),
            (b"rootwait", BootOptions { patience_ms: FOREVER_MS, ..none }),
            (b"rootwait=5", BootOptions { patience_ms: 5000, ..none }),
            (b"rootwait=5 rootwait=soon", BootOptions { patience_ms: FOREVER_MS, ..none }),
            (b"rootdelay=2", BootOptions { delay_ms: 2000, ..none }),
            (b"rootdelay=2 rootdelay", none),
            (
                b"root=/dev/nfs nfsroot=/srv ip=dhcp",
                BootOptions { root: Some(b"/dev/nfs"), nfsroot: b"/srv", ip: b"dhcp", ..none },
            ),
            (b"init=/bin/sh", BootOptions { init: Some(b"/bin/sh"), ..none }),
            (b"panic=10", BootOptions { reboot_after_s: Some(10), ..none }),
            (b"panic=-1", BootOptions { reboot_after_s: Some(0), ..none }),
            (b"panic=10 panic=0", none),
            (b"panic", none),
            (b"rd.break", BootOptions { has_break: true, ..none }),
            (b"rd.break=pre-mount", BootOptions { has_break: true, ..none }),
            (b"initmod.coldplug=root", BootOptions { coldplug: Coldplug::Root, ..none }),
            (b"initmod.coldplug=none", BootOptions { coldplug: Coldplug::None, ..none }),
            (b"initmod.coldplug=none initmod.coldplug=full", none),
            (b"initmod.serial=1", BootOptions { serial: b"1", ..none }),
            (b"initmod.serial=a,b", BootOptions { serial: b"a,b", ..none }),
            (b"initmod.jobs=4", BootOptions { jobs: Some(4), ..none }),
            (b"initmod.jobs=many", none),
            (b"initmod.timeout=5", BootOptions { limit_ms: 5000, ..none }),
            (b"initmod.timeout=0", BootOptions { limit_ms: 0, ..none }),
            (b"initmod.timeout=soon", none),
            (b"initmod.free=1", BootOptions { frees: true, ..none }),
            (b"initmod.free=yes", none),
        ] {
            assert_eq!(BootOptions::parse(cmdline), want, "{}", String::from_utf8_lossy(cmdline));
        }
    }

    /// INITMOD_BLESS=1 rewrites the page.
    #[test]
    fn the_manual_has_the_list_of_words() {
        const HEAD: &str = "# THE KERNEL COMMAND LINE\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/doc/initmod-boot.7.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (_, section) = page.split_once(HEAD).expect("the page has the section");
        let (section, _) = section.split_once("\n# ").expect("another section follows");
        let list = &section[section.find("\n`").expect("the section has the list")..];
        let want: String = WORDS.iter().map(|(word, meaning)| format!("\n{word}\n: {meaning}\n")).collect();
        if std::env::var_os("INITMOD_BLESS").is_some() {
            std::fs::write(path, page.replace(list, &want)).unwrap();
        } else {
            assert_eq!(
                list, want,
                "rewrite it with: INITMOD_BLESS=1 cargo test --lib the_manual_has_the_list_of_words"
            );
        }
    }
}
