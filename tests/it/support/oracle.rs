// SPDX-License-Identifier: MIT OR Apache-2.0
//! References of the tests: kmod's tools, stock kernels, and depmod's files in a form that can be compared.

use initmod::modules::index::Index;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Returns the path of one of kmod's tools, or prints why there is none.
pub fn tool(name: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("INITMOD_ORACLE").filter(|dir| !dir.is_empty());
    if dir.is_none() {
        eprintln!("skipped: INITMOD_ORACLE does not name kmod 34's tools; `make test` and `make oracle` set it");
    }
    Some(PathBuf::from(dir?).join(name))
}

/// Returns the directory and the version of a stock kernel; downloads it the first time.
pub fn kernel(name: &str) -> (PathBuf, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("qemu/kernel")).arg(name).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "qemu/kernel {name}");
    let dir = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end());
    let kver = fs::read_to_string(dir.join("kver")).unwrap().trim_end().to_owned();
    (dir, kver)
}

/// Rewrites a file of depmod's so that neither the root's path nor kmod's hash order shows: an index that holds the path
/// becomes a list, and modules.symbols is sorted.
pub fn presentable(name: &str, data: &[u8], root: &str) -> Vec<u8> {
    let holds_root = data.windows(root.len()).any(|window| window == root.as_bytes());
    if name.ends_with(".bin") {
        if !holds_root {
            return data.to_vec();
        }
        let mut list = Vec::new();
        let mut each = |key: &[u8], value: initmod::modules::index::Value<'_>| {
            let (key, text) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value.text));
            list.extend(format!("{key} {} {text}\n", value.priority).bytes());
        };
        Index::new(data).unwrap().walk(&mut each).unwrap();
        return String::from_utf8(list).unwrap().replace(root, "@ROOT@").into();
    }
    let Ok(text) = String::from_utf8(data.to_vec()) else { return data.to_vec() };
    let text = text.replace(root, "@ROOT@");
    if name != "modules.symbols" {
        return text.into();
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}
