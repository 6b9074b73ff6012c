// SPDX-License-Identifier: MIT OR Apache-2.0
//! The path of each file in the image. All paths are standard ones, so that kmod works in the image too.

use super::contents::Contents;
use super::cpio::{Archive, Node, PathError};
use super::pack::Packed;
use crate::host::depmod::IndexFile;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Commands that the loader replaces in an image that is appended to. There it is always /usr/bin/initmod too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LoaderAs {
    /// No command: the image's own /init calls initmod
    Helper,
    /// /sbin/modprobe, and every other modprobe of the image
    Modprobe,
    /// /init, /sbin/modprobe and every other modprobe of the image
    Init,
}

/// The image that the files are for.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// A new image, in which the loader is /init and /sbin/modprobe.
    New,
    /// An existing image that is appended to.
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

/// All files of an image.
#[derive(Debug)]
pub struct ImageParts<'a> {
    /// The image that they are for.
    pub destination: Destination<'a>,
    /// The loader's binary.
    pub loader: Vec<u8>,
    /// Kernel release.
    pub kver: &'a str,
    /// The module files.
    pub modules: Vec<Packed>,
    /// The modules.* files.
    pub indexes: Vec<IndexFile>,
    /// Load order of the modules on the way to the root.
    pub load_order: LoadOrderFiles,
    /// In an image for several boards, that of each board, by the first of its device tree's compatible strings.
    pub board_load_orders: BTreeMap<&'a str, LoadOrderFiles>,
    /// /etc/modprobe.d/initmod.conf; left out if empty.
    pub modprobe_conf: String,
    /// Firmware: path, content.
    pub firmware: Vec<(String, Vec<u8>)>,
    /// Other files of the board file: path, permissions, content.
    pub extra: Vec<(String, u32, Vec<u8>)>,
}

/// Mount points of the loader, and /etc.
const DIRS: [&str; 6] = ["dev", "etc", "proc", "root", "run", "sys"];

/// Program that the kernel's request_module runs.
const MODPROBE: &str = "sbin/modprobe";

/// Path of the loader in an image that is appended to.
const HELPER: &str = "usr/bin/initmod";

/// Lays the files out in an archive.
///
/// # Errors
/// The path of an extra file is malformed or already in the archive.
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
            let others =
                others.into_iter().filter(|path| contents.resolve_parent(path) != contents.resolve_parent(MODPROBE));
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
