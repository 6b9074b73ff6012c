// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that a command reads: one that can't be read is an error that names it, in words of files; only a missing one
//! is absence.

use crate::support::fakekernel::{Outcome, Troubles, run};
use crate::support::fixture::{Fixture, KVER};
use crate::support::mkko::Ko;
use crate::support::modprobe::Modprobe;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// A root with the modules `a` and `b`, their indexes, and the loader in it.
fn root() -> Fixture {
    let fixture = Fixture::new();
    fixture.module("kernel/a.ko", &Ko::new("a").alias("dev:*")).module("kernel/b.ko", &Ko::new("b"));
    fixture.put("proc/cmdline", "quiet\n").put("etc/modprobe.d/a.conf", "blacklist a\n");
    fixture.index();
    Modprobe::loader().install(&fixture, "sbin/modprobe");
    fixture
}

fn modprobe(root: &Fixture, argv: &[&str]) -> Outcome {
    run(root.root(), "/sbin/modprobe", argv, &Troubles::default())
}

#[track_caller]
fn fails(root: &Fixture, argv: &[&str], text: &str) {
    let outcome = modprobe(root, argv);
    assert!(outcome.stderr.contains(text), "{argv:?}: no {text:?} in\n{}", outcome.stderr);
    assert_eq!(outcome.status, 1, "{argv:?}\n{}", outcome.stderr);
}

/// Puts something else in the place of a file.
fn replace(root: &Fixture, name: &str, with: &str) {
    let path = root.root().join(name);
    let _ = fs::remove_file(&path);
    match with {
        "directory" => fs::create_dir(path).unwrap(),
        "loop" => std::os::unix::fs::symlink(path.file_name().unwrap(), &path).unwrap(),
        "fifo" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        _ => fs::write(path, "").unwrap(),
    }
}

#[test]
fn an_index_that_cannot_be_read_is_named_with_the_error_of_the_file() {
    for (with, text) in [
        ("directory", ": is a directory"),
        ("fifo", ": not a regular file"),
        ("loop", ": too many symbolic links"),
        ("empty", ": node at 0 runs past the end"),
    ] {
        for name in ["modules.dep.bin", "modules.alias.bin", "modules.symbols.bin"] {
            let root = root();
            replace(&root, &format!("lib/modules/{KVER}/{name}"), with);
            fails(&root, &["modprobe", "-R", "b"], &format!("/lib/modules/{KVER}/{name}{text}"));
            fails(&root, &["rmmod", "b"], &format!("/lib/modules/{KVER}/{name}{text}"));
        }
    }
}

#[test]
fn a_missing_index_is_absence() {
    for name in ["modules.alias.bin", "modules.symbols.bin", "modules.builtin.bin", "modules.builtin.alias.bin"] {
        let root = root();
        fs::remove_file(root.modules_dir().join(name)).unwrap();
        let outcome = modprobe(&root, &["modprobe", "b"]);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{name}");
        replace(&root, &format!("lib/modules/{KVER}/modules.builtin.bin"), "empty");
        assert_eq!(
            modprobe(&root, &["modprobe", "-R", "b"]).status,
            0,
            "kmod leaves it empty without built-in modules"
        );
    }
}

#[test]
fn a_tree_that_is_a_file_is_an_error() {
    let root = root();
    fs::remove_dir_all(root.modules_dir()).unwrap();
    replace(&root, &format!("lib/modules/{KVER}"), "file");
    fails(&root, &["modprobe", "-R", "b"], "the module tree: not a directory");
}

#[test]
fn configuration_over_the_limit_is_an_error_that_names_it() {
    let root = root();
    root.put("etc/modprobe.d/b.conf", "#\n".repeat(0x10_0000) + "blacklist b\n");
    let outcome = modprobe(&root, &["modprobe", "-b", "b"]);
    assert_eq!((outcome.status, outcome.trace.len()), (0, 0), "2 MiB are read\n{}", outcome.stderr);
    root.put("etc/modprobe.d/b.conf", "#\n".repeat(0x20_0000) + "blacklist b\n");
    fails(&root, &["modprobe", "-R", "b"], "/etc/modprobe.d/b.conf: left out: modprobe.d has over 4 MiB, the limit");
}

#[test]
fn a_place_of_configuration_that_cannot_be_read_is_named() {
    let root = root();
    fs::remove_dir_all(root.root().join("etc/modprobe.d")).unwrap();
    replace(&root, "etc/modprobe.d", "loop");
    fails(&root, &["modprobe", "-R", "b"], "/etc/modprobe.d/: too many symbolic links");
}

#[test]
fn a_directory_of_many_files_is_read_in_their_order() {
    const COUNT: usize = 10_000;
    let root = root();
    for number in 0..COUNT {
        // Made in another order than they are read in.
        let number = number * 7919 % COUNT;
        fs::write(root.root().join(format!("etc/modprobe.d/{number:05}.conf")), format!("options b n={number}\n"))
            .unwrap();
    }
    let start = Instant::now();
    let outcome = modprobe(&root, &["modprobe", "-c"]);
    // In a tenth of a second. In O(n^2) it takes minutes.
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    let numbers = outcome.stdout.lines().filter_map(|line| line.strip_prefix("options b n="));
    assert_eq!(numbers.map(|number| number.parse().unwrap()).collect::<Vec<usize>>(), (0..COUNT).collect::<Vec<_>>());
}

#[test]
fn a_limit_is_named_with_its_number() {
    let root = root();
    root.put("etc/modprobe.d/a.conf", format!("options b p={}\n", "x".repeat(4096)));
    fails(&root, &["modprobe", "b"], "could not insert 'b': has over 4096 bytes of options, the limit");
    let aliases: String = (0..129).map(|number| format!("alias many m{number}\n")).collect();
    root.put("etc/modprobe.d/a.conf", aliases);
    fails(&root, &["modprobe", "many"], "many has over 128 modules, the limit");
}
