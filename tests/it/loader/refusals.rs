// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the loader says where the kernel refuses a module, and of files that are cut or have a bit flipped: a line that
//! names file and offset, no crash, no hang. kmod says less of the former; of the latter there is nothing to compare.

use crate::support::fakekernel::{Outcome, Troubles, run};
use crate::support::fixture::{Fixture, KVER};
use crate::support::mkko::{Ko, Versions};
use crate::support::modprobe::Modprobe;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs;

/// A root with two modules, their indexes and a configuration, and the loader in it.
fn root() -> Fixture {
    let fixture = Fixture::new();
    let a = Ko::new("a").export("a_symbol").alias("dev:*").info("softdep", "pre: b");
    let a = a.info("vermagic", "6.12.0 SMP mod_unload modversions ");
    fixture.module("kernel/a.ko", &a.signed(&[1, 2, 3]));
    fixture.module("kernel/b.ko", &Ko::new("b").export("b_symbol").versions(Versions::Extended).import("a_symbol"));
    fixture.builtin("kernel/inside.ko", &[("alias", "in:*")]);
    fixture.put("proc/cmdline", "quiet a.p=1 modprobe.blacklist=x\n");
    fixture.put("proc/modules", "b 16384 1 - Live 0x0000000000000000\na 8192 0 b, Live 0x0000000000000000\n");
    fixture.put("etc/modprobe.d/a.conf", "options a o=1\nalias mine a\nsoftdep b pre: a\n");
    fixture.index();
    Modprobe::loader().install(&fixture, "sbin/modprobe");
    fixture
}

fn modprobe(root: &Fixture, argv: &[&str], troubles: &Troubles) -> Outcome {
    let _ = fs::remove_dir_all(root.root().join("sys/module"));
    run(root.root(), "/sbin/modprobe", argv, troubles)
}

fn path(name: &str) -> String {
    format!("lib/modules/{KVER}/{name}")
}

#[test]
fn a_refusal_says_what_the_kernel_meant() {
    let root = root();
    root.put("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
    root.put("proc/sys/kernel/modules_disabled", "1\n");
    for (errno, texts) in [
        (libc::EPERM, &["not permitted", "modules_disabled is 1", "lockdown: none [integrity]"][..]),
        (libc::EKEYREJECTED, &["its signature was rejected", "its signature is damaged"]),
        (libc::ENOKEY, &["its signing key is not known", "its signature is damaged"]),
        (
            libc::ENOEXEC,
            &[
                "not a module for this kernel",
                "built for '6.12.0 SMP mod_unload modversions '",
                "this kernel is '6.12.0-it'",
            ],
        ),
        (libc::ENOENT, &["unknown symbol, or unknown parameter"]),
        (libc::EINVAL, &["invalid parameter"]),
        (libc::ENODEV, &["its hardware is not here"]),
        (libc::ENOMEM, &["out of memory"]),
        (libc::E2BIG, &["refused by the kernel"]),
    ] {
        let troubles = Troubles { failing: [("a".to_owned(), errno)].into(), ..Troubles::default() };
        for argv in [&["modprobe", "a"][..], &["insmod", &format!("/{}", path("kernel/a.ko"))]] {
            let outcome = modprobe(&root, argv, &troubles);
            assert_eq!(outcome.status, 1, "{argv:?} {errno}");
            for text in texts {
                assert!(outcome.stderr.contains(text), "{argv:?} {errno}: no {text:?} in\n{}", outcome.stderr);
            }
        }
    }
    let unsigned = Troubles { failing: [("b".to_owned(), libc::ENOKEY)].into(), ..Troubles::default() };
    let outcome = modprobe(&root, &["insmod", &format!("/{}", path("kernel/b.ko"))], &unsigned);
    assert!(outcome.stderr.contains("it is not signed"), "{}", outcome.stderr);
}

#[test]
fn the_wait_for_users_ends() {
    let root = root();
    let troubles = Troubles { busy: [("a".to_owned(), u32::MAX)].into(), ..Troubles::default() };
    root.put("sys/module/a/initstate", "live\n").put("sys/module/a/refcnt", "0\n");
    let outcome = run(root.root(), "/sbin/modprobe", &["modprobe", "-r", "-w", "30", "a"], &troubles);
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("could not remove 'a': in use"), "{}", outcome.stderr);
    assert!(outcome.trace.len() > 2, "it asks again, less and less often");
}

/// Files, commands that read them, and what these say, with an offset behind it, where the file is cut short.
const READERS: [(&str, &[&str], &str); 9] = [
    ("modules.dep.bin", &["modprobe", "-R", "a"], "modules.dep.bin: node at "),
    ("modules.alias.bin", &["modprobe", "-R", "dev:1"], "modules.alias.bin: node at "),
    ("modules.symbols.bin", &["modprobe", "-R", "symbol:a_symbol"], "modules.symbols.bin: node at "),
    ("modules.builtin.bin", &["modprobe", "-R", "inside"], "modules.builtin.bin: node at "),
    ("modules.builtin.alias.bin", &["modprobe", "-R", "in:1"], "modules.builtin.alias.bin: node at "),
    ("modules.softdep", &["modprobe", "-D", "a"], ""),
    ("kernel/b.ko", &["modinfo", "b"], "kernel/b.ko"),
    ("/etc/modprobe.d/a.conf", &["modprobe", "-c"], ""),
    ("/proc/modules", &["lsmod"], "/proc/modules: at "),
];

#[test]
fn a_file_cut_short_is_told_with_its_offset() {
    for (name, argv, tells) in READERS.into_iter().filter(|(_, _, tells)| !tells.is_empty()) {
        let root = root();
        let file = name.strip_prefix('/').map_or_else(|| path(name), str::to_owned);
        let whole = fs::read(root.root().join(&file)).unwrap();
        let before = modprobe(&root, argv, &Troubles::default());
        assert_eq!(before.status, 0, "{argv:?}\n{}", before.stderr);
        // Indexes: behind the header. The module: in its header. /proc/modules: in the first line.
        root.put(&file, &whole[..if name.ends_with(".bin") { 13 } else { 5 }]);
        let outcome = modprobe(&root, argv, &Troubles::default());
        assert_eq!(outcome.status, 1, "{argv:?}\n{}", outcome.stderr);
        assert!(outcome.stderr.contains(tells), "{argv:?}: no {tells:?} in\n{}", outcome.stderr);
        assert!(outcome.stderr.contains(|c: char| c.is_ascii_digit()), "{argv:?}\n{}", outcome.stderr);
    }
}

#[test]
fn a_fifo_in_the_place_of_a_file_blocks_no_command() {
    let module = format!("/{}", path("kernel/b.ko"));
    let loads = [
        ("kernel/b.ko", &["modprobe", "b"][..], "not a regular file"),
        ("kernel/b.ko", &["insmod", &module], "not a regular file"),
        ("kernel/b.ko", &["modinfo", "b"], "not a regular file"),
        ("/etc/modprobe.d/a.conf", &["modprobe", "-c"], "a.conf: not a regular file"),
        ("modules.softdep", &["modprobe", "-D", "a"], "modules.softdep: not a regular file"),
    ];
    // How an index that cannot be read is reported has tests of its own.
    let indexes =
        READERS.into_iter().filter(|(name, ..)| name.ends_with(".bin")).map(|(name, argv, _)| (name, argv, ""));
    for (name, argv, message) in loads.into_iter().chain(indexes) {
        let root = root();
        let file = name.strip_prefix('/').map_or_else(|| path(name), str::to_owned);
        let place = root.root().join(&file);
        fs::remove_file(&place).unwrap();
        mknodat(CWD, &place, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let outcome = modprobe(&root, argv, &Troubles::default());
        assert!(outcome.stderr.contains(message), "{argv:?}: no {message:?} in\n{}", outcome.stderr);
    }
}

#[test]
fn damage_that_the_answer_does_not_need_counts_too() {
    for (argv, what) in [
        (&["modprobe", "-R", "a"][..], "look-up"),
        (&["modprobe", "b"], "load"),
        (&["modprobe", "-r", "a"], "removal"),
        (&["modprobe", "-c"], "listing"),
    ] {
        let root = root();
        let before = modprobe(&root, argv, &Troubles::default());
        assert_eq!(before.status, 0, "{what}\n{}", before.stderr);
        let file = path("modules.builtin.alias.bin");
        root.put(&file, b"\xb0\x07\xf4\x57\0\x09\0\x01");
        let outcome = modprobe(&root, argv, &Troubles::default());
        assert!(outcome.stderr.contains("modules.builtin.alias.bin: node at 4 "), "{what}\n{}", outcome.stderr);
        assert_eq!(outcome.status, 1, "{what}");
    }
}

#[test]
fn no_damage_crashes_or_hangs_a_command() {
    let root = root();
    for (name, argv, _) in READERS {
        let file = name.strip_prefix('/').map_or_else(|| path(name), str::to_owned);
        let whole = fs::read(root.root().join(&file)).unwrap();
        let step = (whole.len() / 24).max(1);
        let cut = (0..whole.len()).step_by(step).map(|len| whole[..len].to_vec());
        let flipped = (0..whole.len()).step_by(step).map(|at| {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            flipped
        });
        for damaged in cut.chain(flipped) {
            root.put(&file, &damaged);
            let outcome = modprobe(&root, argv, &Troubles::default());
            assert!(matches!(outcome.status, 0 | 1), "{argv:?} ends with {} of {name} as {damaged:?}", outcome.status);
            assert!(
                outcome.status == 0 || !outcome.stderr.is_empty(),
                "{argv:?} says nothing of {name} as {damaged:?}"
            );
        }
        root.put(&file, &whole);
    }
}
