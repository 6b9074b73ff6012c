//! What lies where in the image. Only standard places: kmod works on this tree as the loader does.

use super::contents::Contents;
use super::cpio::{Archive, Node, PathError};
use super::pack::Packed;
use crate::host::depmod::IndexFile;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What the loader is in an image that is appended to, beside /usr/bin/initmod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LoaderAs {
    /// Nothing: the image's own /init may call it.
    Helper,
    /// /sbin/modprobe, and modprobe wherever else the image has one.
    Modprobe,
    /// That, and /init.
    Init,
}

/// What the content stands on.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// Nothing: the loader is /init and /sbin/modprobe.
    New,
    /// An image that is there already.
    Existing(&'a Contents, LoaderAs),
}

/// A load order as two configuration files.
#[derive(Debug)]
pub struct LoadOrderFiles {
    /// For modules-load.d: the modules, in order.
    pub modules_load: Vec<u8>,
    /// For modprobe.d: softdeps of consumers on their suppliers.
    pub softdeps: Vec<u8>,
}

/// All that goes into an image.
#[derive(Debug)]
pub struct ImageParts<'a> {
    /// What it stands on.
    pub destination: Destination<'a>,
    /// The loader's binary.
    pub loader: Vec<u8>,
    /// The kernel's version.
    pub kver: &'a str,
    /// The module files.
    pub modules: Vec<Packed>,
    /// The modules.* files.
    pub indexes: Vec<IndexFile>,
    /// Load order of the modules on the way to the root.
    pub load_order: LoadOrderFiles,
    /// In an image for several boards, that of each board, by the first of its device tree's compatible strings.
    pub board_load_orders: BTreeMap<&'a str, LoadOrderFiles>,
    /// /etc/modprobe.d/initmod.conf; not there if empty.
    pub modprobe_conf: String,
    /// Firmware: path, parts.
    pub firmware: Vec<(String, Vec<u8>)>,
    /// Files to add: path, permissions, parts.
    pub extra: Vec<(String, u32, Vec<u8>)>,
}

/// Mount points: what the loader mounts before anything else, and the real root.
const DIRS: [&str; 6] = ["dev", "etc", "proc", "root", "run", "sys"];

/// What the kernel's request_module runs.
const MODPROBE: &str = "sbin/modprobe";

/// Where the loader is in an image that has an /init of its own.
const HELPER: &str = "usr/bin/initmod";

/// Lays out an image.
///
/// # Errors
/// An extra file's path is odd, or taken.
pub fn lay_out(parts: ImageParts<'_>) -> Result<Archive, PathError> {
    let mut archive = Archive::new();
    let loader = Node::File { mode: 0o755, data: parts.loader };
    match parts.destination {
        Destination::New => {
            for dir in DIRS {
                archive.add(dir, Node::Dir)?;
            }
            // The kernel opens /dev/console for PID 1 before PID 1 can mount devtmpfs.
            archive.add("dev/console", Node::Char { mode: 0o600, major: 5, minor: 1 })?;
            archive.add("dev/null", Node::Char { mode: 0o666, major: 1, minor: 3 })?;
            archive.add("init", loader)?;
            archive.add(MODPROBE, Node::Symlink("/init".into()))?;
        }
        Destination::Existing(contents, loader_as) => {
            archive.add(HELPER, loader)?;
            let others = ["bin/modprobe", "usr/bin/modprobe", "usr/sbin/modprobe"];
            let others = others.into_iter().filter(|path| contents.place(path) != contents.place(MODPROBE));
            let others = others.filter(|path| contents.has(path));
            let links: Vec<&str> = match loader_as {
                LoaderAs::Helper => Vec::new(),
                LoaderAs::Modprobe => [MODPROBE].into_iter().chain(others).collect(),
                LoaderAs::Init => ["init", MODPROBE].into_iter().chain(others).collect(),
            };
            for link in links {
                archive.add(link, Node::Symlink(format!("/{HELPER}")))?;
            }
        }
    }
    let file = |data: Vec<u8>| Node::File { mode: 0o644, data };
    let tree = format!("lib/modules/{}", parts.kver);
    for packed in parts.modules {
        archive.add(&format!("{tree}/{}", packed.module.path), file(packed.data))?;
    }
    for (name, data) in parts.indexes {
        archive.add(&format!("{tree}/{name}"), file(data))?;
    }
    if !parts.load_order.modules_load.is_empty() {
        archive.add("etc/modules-load.d/initmod.conf", file(parts.load_order.modules_load))?;
    }
    if !parts.load_order.softdeps.is_empty() {
        archive.add("etc/modprobe.d/initmod-order.conf", file(parts.load_order.softdeps))?;
    }
    for (compatible, files) in parts.board_load_orders {
        archive.add(&format!("etc/initmod/boards/{compatible}.conf"), file(files.modules_load))?;
        archive.add(&format!("etc/initmod/boards/{compatible}.order"), file(files.softdeps))?;
    }
    if !parts.modprobe_conf.is_empty() {
        archive.add("etc/modprobe.d/initmod.conf", file(parts.modprobe_conf.into()))?;
    }
    for (path, data) in parts.firmware {
        archive.add(&path, file(data))?;
    }
    for (path, mode, data) in parts.extra {
        archive.add(&path, Node::File { mode, data })?;
    }
    Ok(archive)
}
