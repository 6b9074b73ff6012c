// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loader against kmod 34 on whole stock trees: 200 aliases of each, picked at random; `make oracle` runs it.

use crate::support::fakekernel::{Troubles, run};
use crate::support::fixture::{Fixture, KVER};
use crate::support::modprobe::Modprobe;
use crate::support::oracle::{kernel, tool};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Kernels as qemu/kernel names them.
const KERNELS: [&str; 7] = [
    "bookworm-amd64",
    "trixie-amd64",
    "bookworm-arm64",
    "trixie-arm64",
    "bookworm-armhf",
    "trixie-armhf",
    "trixie-cloud",
];

const COUNT: usize = 200;

/// Fills a root with the tree of a stock kernel, by links where that can be, and both programs.
pub fn root(name: &str) -> Fixture {
    let (dir, kver) = kernel(name);
    let fixture = Fixture::new();
    link(&dir.join("lib/modules").join(kver), &fixture.modules_dir());
    let depmod = tool("depmod").expect("INITMOD_ORACLE is the directory of kmod's tools");
    let status = Command::new(&depmod).arg("-b").arg(fixture.root()).args(["-C", "/nonexistent", KVER]).status();
    assert!(status.expect("depmod runs").success());
    Modprobe::kmod().install(&fixture, "sbin/kmod");
    Modprobe::loader().install(&fixture, "sbin/modprobe");
    fixture.put("proc/cmdline", "quiet\n");
    fixture
}

fn link(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the root can be written");
    for entry in fs::read_dir(from).expect("the kernel's tree is there") {
        let entry = entry.expect("and can be read");
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            link(&path, &to);
        } else {
            let _ = fs::remove_file(&to);
            fs::hard_link(&path, &to).or_else(|_| fs::copy(&path, &to).map(drop)).expect("the root can be written");
        }
    }
}

/// Makes of a pattern a string that it matches.
fn modalias(pattern: &str) -> String {
    let (mut out, mut in_set) = (String::new(), false);
    for c in pattern.chars() {
        match c {
            '[' => in_set = true,
            ']' => in_set = false,
            _ if in_set => {
                // The first of a set stands for it.
                if out.ends_with('\u{1}') {
                    continue;
                }
                out.push(c);
                out.push('\u{1}');
            }
            '*' => out.push_str("00"),
            '?' => out.push('0'),
            _ => out.push(c),
        }
        if !in_set {
            out = out.replace('\u{1}', "");
        }
    }
    out
}

/// Picks patterns of a root's modules.alias at random, the same each time, and makes modaliases of them.
pub fn modaliases(root: &Fixture, count: usize) -> Vec<String> {
    let text = fs::read_to_string(root.modules_dir().join("modules.alias")).expect("depmod made it");
    let patterns: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("alias ")?.split(' ').next()).collect();
    let mut state = 34u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        modalias(patterns[(state >> 33) as usize % patterns.len()])
    };
    (0..count).map(|_| next()).collect()
}

/// Runs one program on one modalias, in a kernel that has nothing yet.
fn transcript(root: &Fixture, exe: &str, args: &[&str]) -> String {
    let _ = fs::remove_dir_all(root.root().join("sys/module"));
    root.put("sys/module/compression", "xz\n");
    let argv = [&["modprobe"], args].concat();
    let outcome = run(root.root(), exe, &argv, &Troubles::default());
    let mut lines: Vec<_> = outcome.stdout.lines().map(|line| line.trim_end().to_owned()).collect();
    // kmod names a module again for each of its aliases that match.
    if args.len() > 1 {
        let mut seen = std::collections::BTreeSet::new();
        lines.retain(|line| seen.insert(line.clone()));
    }
    lines.extend(outcome.trace.iter().map(ToString::to_string));
    format!("exit {}\n{}", outcome.status, lines.join("\n"))
}

#[test]
#[ignore = "downloads kernels and wants kmod 34: make oracle"]
fn random_aliases_of_stock_trees() {
    let mut differences = Vec::new();
    for name in KERNELS {
        let root = root(name);
        for (at, modalias) in modaliases(&root, COUNT).into_iter().enumerate() {
            let mut commands = vec![vec![modalias.as_str()]];
            if at % 4 == 0 {
                commands.extend([vec!["-D", &modalias], vec!["-R", &modalias]]);
            }
            for args in commands {
                let (theirs, ours) =
                    (transcript(&root, "/sbin/kmod", &args), transcript(&root, "/sbin/modprobe", &args));
                if theirs != ours {
                    differences.push(format!("{name}: modprobe {args:?}\n--- kmod\n{theirs}\n--- ours\n{ours}\n"));
                }
            }
        }
        eprintln!("{name}: {COUNT} aliases");
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn a_pattern_becomes_a_string_that_it_matches() {
    for (pattern, want) in [("pci:v1d*sv?", "pci:v1d00sv0"), ("usb:d0[1-9]*[ab]x", "usb:d0100ax"), ("plain", "plain")] {
        assert_eq!(modalias(pattern), want);
        assert!(initmod::glob::matches(pattern.as_bytes(), want.as_bytes()));
    }
}
