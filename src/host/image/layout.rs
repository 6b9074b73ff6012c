//! What lies where in the image. Only standard places: kmod works on this tree as the loader does.

use super::cpio::{Archive, Node, PathError};
use super::pack::Packed;
use crate::host::depmod::IndexFile;

/// All that goes into an image.
#[derive(Debug)]
pub struct Content<'a> {
    /// The loader's binary, which is /init and /sbin/modprobe.
    pub loader: Vec<u8>,
    /// The kernel's version.
    pub kver: &'a str,
    /// The module files.
    pub modules: Vec<Packed>,
    /// The modules.* files.
    pub indexes: Vec<IndexFile>,
    /// The modules on the way to the root.
    pub load: &'a [String],
    /// /etc/modprobe.d/initmod.conf; not there if empty.
    pub modprobe_conf: String,
    /// Firmware: path, content.
    pub firmware: Vec<(String, Vec<u8>)>,
    /// Files to add: path, permissions, content.
    pub extra: Vec<(String, u32, Vec<u8>)>,
}

/// Mount points: what the loader mounts before anything else, and the real root.
const DIRS: [&str; 6] = ["dev", "etc", "proc", "root", "run", "sys"];

/// Lays out an image.
///
/// # Errors
/// An extra file's path is odd, or taken.
pub fn lay_out(content: Content<'_>) -> Result<Archive, PathError> {
    let mut archive = Archive::new();
    for dir in DIRS {
        archive.add(dir, Node::Dir)?;
    }
    // The kernel opens /dev/console for PID 1 before PID 1 can mount devtmpfs.
    archive.add("dev/console", Node::Char { mode: 0o600, major: 5, minor: 1 })?;
    archive.add("dev/null", Node::Char { mode: 0o666, major: 1, minor: 3 })?;
    archive.add("init", Node::File { mode: 0o755, data: content.loader })?;
    // What the kernel's request_module runs.
    archive.add("sbin/modprobe", Node::Symlink("/init".into()))?;
    let file = |data: Vec<u8>| Node::File { mode: 0o644, data };
    let tree = format!("lib/modules/{}", content.kver);
    for packed in content.modules {
        archive.add(&format!("{tree}/{}", packed.module.path), file(packed.data))?;
    }
    for (name, data) in content.indexes {
        archive.add(&format!("{tree}/{name}"), file(data))?;
    }
    if !content.load.is_empty() {
        let list = content.load.iter().map(|name| format!("{name}\n")).collect::<String>();
        archive.add("etc/modules-load.d/initmod.conf", file(list.into()))?;
    }
    if !content.modprobe_conf.is_empty() {
        archive.add("etc/modprobe.d/initmod.conf", file(content.modprobe_conf.into()))?;
    }
    for (path, data) in content.firmware {
        archive.add(&path, file(data))?;
    }
    for (path, mode, data) in content.extra {
        archive.add(&path, Node::File { mode, data })?;
    }
    Ok(archive)
}
