// SPDX-License-Identifier: MIT OR Apache-2.0
//! Output of the commands and its place, beside the cases of tests/trees.

use crate::support::fakekernel::{Outcome, Troubles, run};
use crate::support::fixture::Fixture;
use crate::support::mkko::Ko;
use crate::support::modprobe::Modprobe;
use std::os::unix::net::UnixDatagram;

/// A root with modules of one alias that need the same one, and the loader in it.
fn root() -> Fixture {
    let fixture = Fixture::new();
    fixture.module("kernel/low.ko", &Ko::new("low").export("low_f"));
    for name in ["a", "b"] {
        fixture.module(&format!("kernel/{name}.ko"), &Ko::new(name).alias("dev:*").import("low_f"));
    }
    fixture.put("proc/cmdline", "quiet\n").index();
    Modprobe::loader().install(&fixture, "sbin/modprobe");
    fixture
}

fn call(root: &Fixture, argv: &[&str]) -> Outcome {
    run(root.root(), "/sbin/modprobe", argv, &Troubles::default())
}

/// Returns the names of the module files in the lines of a dry run.
fn listed(outcome: &Outcome) -> Vec<&str> {
    let names = outcome.stdout.lines().filter_map(|line| line.rsplit('/').next()?.split(".ko").next());
    names.collect()
}

#[test]
fn help_and_version_go_to_standard_output_and_an_unknown_command_is_named() {
    let root = root();
    let help = call(&root, &["initmod", "--help"]);
    assert_eq!((help.status, help.stderr.as_str()), (0, ""));
    assert!(
        help.stdout.starts_with("usage: initmod COMMAND") && help.stdout.contains("\nmodprobe  load "),
        "{}",
        help.stdout
    );
    let version = call(&root, &["initmod", "--version"]);
    assert!(version.status == 0 && version.stdout.starts_with("initmod version "), "{}", version.stdout);
    let unknown = call(&root, &["initmod", "nonsense"]);
    assert_eq!((unknown.status, unknown.stdout.as_str()), (1, ""));
    assert!(unknown.stderr.starts_with("initmod: ERROR: unknown command 'nonsense'\nusage: "), "{}", unknown.stderr);
}

#[test]
fn a_dry_run_names_each_module_once_over_all_names() {
    let root = root();
    assert_eq!(listed(&call(&root, &["modprobe", "-D", "dev:1"])), ["low", "a", "b"]);
    assert_eq!(listed(&call(&root, &["modprobe", "-nv", "dev:1"])), ["low", "a", "b"]);
    assert_eq!(listed(&call(&root, &["modprobe", "-D", "-a", "b", "a", "b", "dev:1"])), ["low", "b", "a"]);
}

#[test]
fn a_dry_removal_lists_a_module_that_is_not_loaded() {
    let root = root();
    let outcome = call(&root, &["modprobe", "-r", "-D", "a"]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, "rmmod a\n"), "{}", outcome.stderr);
    let outcome = call(&root, &["modprobe", "-rn", "a"]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, ""), "{}", outcome.stderr);
}

#[test]
fn a_name_that_is_no_file_or_module_is_worded_as_that() {
    let root = root();
    for (argv, text) in [
        (&["modprobe", "--show-exports", "a"][..], "FATAL: Module a not found."),
        (&["rmmod", ""], "could not use module '': no module's name"),
        (&["insmod", "/no/file"], "could not load module /no/file: not found"),
        (&["insmod", "/lib"], "could not load module /lib: is a directory"),
    ] {
        let outcome = call(&root, argv);
        assert!(outcome.stderr.contains(text), "{argv:?}: no {text:?} in\n{}", outcome.stderr);
        assert_eq!((outcome.status, outcome.trace.len()), (1, 0), "{argv:?}");
    }
}

#[test]
fn insmod_and_rmmod_print_nothing_with_v() {
    let root = root();
    let file = format!("/lib/modules/{}/kernel/low.ko", crate::support::fixture::KVER);
    for argv in [&["insmod", "-v", &file][..], &["rmmod", "-v", "low"]] {
        root.put("proc/modules", "low 8192 0 - Live 0x0000000000000000\n");
        let outcome = call(&root, argv);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (0, ""), "{argv:?}\n{}", outcome.stderr);
    }
}

#[test]
fn messages_go_to_syslog_where_there_is_one() {
    let root = root();
    root.put("dev/null", "");
    let log = UnixDatagram::bind(root.root().join("dev/log")).unwrap();
    log.set_nonblocking(true).unwrap();
    let outcome = call(&root, &["modprobe", "-s", "nosuch"]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (1, ""));
    let mut line = [0; 256];
    let len = log.recv(&mut line).unwrap();
    let line = String::from_utf8_lossy(&line[..len]);
    assert!(line.starts_with("<27>modprobe: FATAL: Module nosuch not found"), "{line}");
}
