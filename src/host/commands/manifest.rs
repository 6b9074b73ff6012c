//! The manifest of an image: each file with length, SHA-256 and the reason it is in, as JSON.

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

/// Renders the manifest of archives; `reasons` are by path in them.
pub fn render(title: &str, kver: &str, archives: &[&Archive], reasons: &HashMap<String, String>) -> String {
    let files = archives.iter().flat_map(|archive| archive.nodes()).filter_map(|(path, node)| {
        let Node::File { data, .. } = node else { return None };
        let sha256 = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
        let why = reasons.get(path).map_or_else(|| standing(path), String::as_str);
        Some(Entry { path: format!("/{path}"), bytes: data.len(), sha256, why })
    });
    let manifest = Manifest { board: title, kernel: kver, files: files.collect() };
    serde_json::to_string_pretty(&manifest).expect("strings and numbers are JSON") + "\n"
}

/// Says why a file is in each image.
fn standing(path: &str) -> &'static str {
    match path {
        "init" | "usr/bin/initmod" => "the loader",
        "etc/modules-load.d/initmod.conf" => "what is loaded first: the way to the root",
        _ if path.starts_with("etc/initmod/boards/") && path.ends_with(".order") => "what waits for what on this board",
        _ if path.starts_with("etc/initmod/boards/") => "what is loaded first on this board",
        "etc/modprobe.d/initmod-order.conf" => "what waits for what, as the device tree has it",
        "etc/modprobe.d/initmod.conf" => "modprobe.conf of the board",
        _ if path.starts_with("lib/modules/") => "index of the modules",
        _ => "image.files of the board",
    }
}
