// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manifest of an image as JSON: the length, SHA-256 and reason of each file.

use crate::host::image::cpio::{Archive, Node};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

#[derive(Serialize)]
struct Manifest<'a> {
    board: &'a str,
    kernel: &'a str,
    files: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    path: String,
    bytes: usize,
    sha256: String,
    why: &'a str,
}

/// Renders the manifest of `archives`. `reasons` are by path in the archive.
pub fn render(title: &str, kver: &str, archives: &[&Archive], reasons: &HashMap<String, String>) -> String {
    let files = archives.iter().flat_map(|archive| archive.nodes()).filter_map(|(path, node)| {
        let Node::File { data, .. } = node else { return None };
        let sha256 = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
        let why = reasons.get(path).map_or_else(|| fixed_reason(path), String::as_str);
        Some(Entry { path: format!("/{path}"), bytes: data.len(), sha256, why })
    });
    let manifest = Manifest { board: title, kernel: kver, files: files.collect() };
    serde_json::to_string_pretty(&manifest).expect("strings and numbers are JSON") + "\n"
}

/// Returns the reason of a file that does not depend on the selection.
fn fixed_reason(path: &str) -> &'static str {
    match path {
        "init" | "usr/bin/initmod" => "the loader",
        "etc/modules-load.d/initmod.conf" => "load list: the modules on the way to the root",
        _ if path.starts_with("etc/initmod/boards/") && path.ends_with(".order") => {
            "softdeps for the load order of this board"
        }
        _ if path.starts_with("etc/initmod/boards/") => "load list of this board",
        "etc/modprobe.d/initmod-order.conf" => "softdeps for the load order, from the device tree",
        "etc/modprobe.d/initmod.conf" => "[modprobe] of the board file",
        _ if path.starts_with("lib/modules/") => "module index",
        _ => "image.files of the board file",
    }
}
