// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each source file names its licence in its first line, or in the second below `#!`.

use std::fs;
use std::path::{Path, PathBuf};

const LINE: &str = "SPDX-License-Identifier: MIT OR Apache-2.0";

/// Whether a file is source: Rust, a script, the Makefile, the linker script.
fn is_source(path: &Path, text: &[u8]) -> bool {
    let has_end = |end: &str| path.extension().is_some_and(|found| found == end);
    text.starts_with(b"#!/") || ["rs", "sh", "ld"].iter().any(|end| has_end(end)) || path.ends_with("Makefile")
}

#[test]
fn each_source_file_names_its_licence() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut places: Vec<PathBuf> =
        ["Makefile", ".ci", ".githooks", "config", "qemu", "src", "tests"].map(|name| root.join(name)).into();
    let mut count = 0;
    while let Some(path) = places.pop() {
        if path.is_symlink() || !path.exists() || path.ends_with("tests/trees") || path.ends_with("tests/fuzz/target") {
            continue;
        }
        if path.is_dir() {
            places.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read(&path).unwrap();
        if is_source(&path, &text) {
            let head: Vec<&[u8]> = text.splitn(3, |&byte| byte == b'\n').take(2).collect();
            let at = usize::from(text.starts_with(b"#!/"));
            let line = String::from_utf8_lossy(head.get(at).unwrap_or(&&b""[..])).into_owned();
            assert!(line.contains(LINE), "{}: line {} is not `{LINE}`, but: {line}", path.display(), at + 1);
            count += 1;
        }
    }
    assert!(count > 300, "only {count} source files were found");
}
