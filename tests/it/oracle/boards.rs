// SPDX-License-Identifier: MIT OR Apache-2.0
//! The board files in config/boards and all device trees of stock kernels; `make oracle` runs it and downloads the kernels.

use crate::library::regress::targets::same;
use crate::support::oracle::kernel;
use initmod::host::board::file::Board;
use initmod::host::dt::blob;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The kernel that each architecture's boards are tried with, by the name that a board file has for it.
const KERNELS: [(&str, &str); 3] = [("armv7", "trixie-armhf"), ("aarch64", "trixie-arm64"), ("x86_64", "trixie-amd64")];

/// Kernels with device trees, and how many at least.
const TREES: [(&str, usize); 2] = [("trixie-armhf", 968), ("trixie-arm64", 1023)];

/// All of a package's device trees take no longer than this on two CPUs.
const SECONDS: f64 = 10.0;

fn mkinitmod() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mkinitmod"))
}

#[test]
#[ignore = "downloads kernels; make oracle runs it"]
fn each_board_file_builds_and_has_reasons() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/boards");
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let board = Board::read(&file).unwrap();
        let arch = board.arch.to_string();
        let (_, name) = KERNELS.iter().find(|(known, _)| *known == arch).unwrap();
        let (kernel_dir, kver) = kernel(name);
        let out = tempfile::tempdir().unwrap();
        let (image, manifest) = (out.path().join("image"), out.path().join("manifest"));
        let loader = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dist/lib/initmod").join(&arch).join("initmod");
        let mut build = mkinitmod();
        build.args(["build", "--board"]).arg(&file).arg("--modules").arg(kernel_dir.join("lib/modules").join(&kver));
        build.arg("--dtbs").arg(kernel_dir.join("dtb")).arg("--loader").arg(loader);
        let output = build.arg("--manifest").arg(&manifest).arg("-o").arg(&image).output().unwrap();
        let (text, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success() && told.is_empty(), "{}: {told}", file.display());
        // What no device tree names the file gives a reason for.
        for entry in board.modules.entries() {
            assert!(board.modules.why.contains_key(entry), "{}: no reason for {entry}", file.display());
        }
        let rows = text.lines().skip_while(|line| !line.starts_with("module ")).skip(1);
        let rows: Vec<&str> = rows.take_while(|line| !line.is_empty()).collect();
        assert!(!rows.is_empty() && rows.iter().all(|row| row.split_whitespace().count() > 2), "{text}");
        let manifest: serde_json::Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
        let files = manifest["files"].as_array().unwrap();
        assert!(files.iter().all(|file| !file["why"].as_str().unwrap().is_empty()));
        eprintln!("{}: {} modules, {} bytes", file.display(), rows.len(), fs::metadata(image).unwrap().len());
    }
}

fn trees_below(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension() == Some("dtb".as_ref()) {
            found.push(path);
        }
    }
    found
}

#[test]
#[ignore = "downloads kernels; make oracle runs it"]
fn all_device_trees_are_read_as_another_reader_does() {
    for (name, count) in TREES {
        let files = trees_below(&kernel(name).0.join("dtb"));
        assert!(files.len() >= count, "{name}: {}", files.len());
        for file in files {
            let data = fs::read(&file).unwrap();
            let tree = blob::read(&file).unwrap();
            // Its own checks refuse names of more than 31 letters.
            assert!(same(&tree, dtoolkit::fdt::Fdt::new_unchecked(&data).root()), "{}", file.display());
        }
    }
}

#[test]
#[ignore = "downloads kernels; make oracle runs it"]
fn all_device_trees_select_in_time() {
    for (name, count) in TREES {
        let (kernel_dir, kver) = kernel(name);
        let dtbs = kernel_dir.join("dtb");
        for root in [&[][..], &["--root", "mmc"]] {
            let before = children_s();
            let mut select = mkinitmod();
            select.args(["select", "--each", "--dtb"]).arg(&dtbs).args(root);
            let output = select.arg("--modules").arg(kernel_dir.join("lib/modules").join(&kver)).output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && told.is_empty(), "{name}: {told}");
            let lines = output.stdout.iter().filter(|&&byte| byte == b'\n').count() - 1;
            assert!(lines >= count, "{name}: {lines}");
            let seconds = children_s() - before;
            eprintln!("{name} {}: {lines} device trees, {seconds:.1} s of CPU", root.join(" "));
            assert!(cfg!(debug_assertions) || seconds < 2.0 * SECONDS, "{name}: {seconds} s of CPU");
        }
    }
}

/// CPU seconds of all processes that were waited for: what other work the machine has does not count.
fn children_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // cutime and cstime in hundredths; proc(5).
    (fields[13].parse::<f64>().unwrap() + fields[14].parse::<f64>().unwrap()) / 100.0
}
