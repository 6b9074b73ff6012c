// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whole module trees of stock kernels, ours against kmod 34, byte for byte; `make oracle` runs it and downloads them.

use crate::support::oracle::presentable;
use crate::support::oracle::{kernel, tool};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Kernels as qemu/kernel names them: plain modules and .ko.xz, 64 and 32 bits, many modules and few.
const KERNELS: [&str; 5] = ["bookworm-amd64", "trixie-amd64", "trixie-arm64", "trixie-armhf", "trixie-cloud"];

/// Runs both on the tree at `root`, and says which files are not the same.
fn compare(root: &Path, kver: &str) -> Vec<String> {
    let oracle = tool("depmod").expect("INITMOD_ORACLE is the directory of kmod's tools");
    let run = |command: &mut Command| {
        let out = tempfile::tempdir().unwrap();
        command.arg("-b").arg(root).arg("-o").arg(out.path()).args(["-C", "/nonexistent", kver]);
        assert!(command.status().expect("depmod runs").success());
        let files = fs::read_dir(out.path().join("lib/modules").join(kver)).unwrap();
        let files = files.map(|entry| entry.unwrap().path()).map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let data = presentable(&name, &fs::read(path).unwrap(), "no root");
            (name, data)
        });
        files.collect::<BTreeMap<String, Vec<u8>>>()
    };
    let theirs = run(&mut Command::new(oracle));
    let ours = run(Command::new(env!("CARGO_BIN_EXE_mkinitmod")).args(["depmod", "--no-cache"]));
    assert_eq!(theirs.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>());
    theirs.into_iter().filter(|(name, data)| ours.get(name) != Some(data)).map(|(name, _)| name).collect()
}

/// Makes a tree of some of the modules, and with its own modules.order or none.
fn subset(root: &Path, kver: &str, seed: u64, one_in: u64) -> tempfile::TempDir {
    let (from, to) = (root.join("lib/modules").join(kver), tempfile::tempdir().unwrap());
    let dir = to.path().join("lib/modules").join(kver);
    let tree = initmod::host::modules::tree::Tree::open(&from).unwrap();
    let mut state = seed;
    for file in &tree.files {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (state >> 33).is_multiple_of(one_in) {
            let path = dir.join(&file.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let module = from.join(&file.path);
            fs::hard_link(&module, &path).or_else(|_| fs::copy(&module, &path).map(drop)).unwrap();
        }
    }
    fs::create_dir_all(&dir).unwrap();
    for name in ["modules.builtin", "modules.builtin.modinfo"] {
        fs::copy(from.join(name), dir.join(name)).unwrap();
    }
    if seed.is_multiple_of(3) {
        fs::write(dir.join("modules.order"), "").unwrap();
    } else {
        fs::copy(from.join("modules.order"), dir.join("modules.order")).unwrap();
    }
    to
}

#[test]
#[ignore = "downloads kernels; make oracle runs it"]
fn whole_trees_are_the_same() {
    for name in KERNELS {
        let (root, kver) = kernel(name);
        assert_eq!(compare(&root, &kver), [""; 0], "{name}");
    }
}

#[test]
#[ignore = "downloads kernels; make oracle runs it"]
fn trimmed_trees_are_the_same() {
    for name in ["trixie-armhf", "bookworm-amd64"] {
        let (root, kver) = kernel(name);
        for (seed, one_in) in [(1, 2), (2, 10), (3, 4), (4, 50), (6, 100), (7, 1000)] {
            let tree = subset(&root, &kver, seed, one_in);
            assert_eq!(compare(tree.path(), &kver), [""; 0], "{name}, one module in {one_in}, seed {seed}");
        }
    }
}
