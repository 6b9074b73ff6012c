// SPDX-License-Identifier: MIT OR Apache-2.0
//! `initmod coldplug`, `wait` and their times: each makes a whole pass, however short its time is.

use crate::support::fakekernel::{Outcome, Troubles, run};
use crate::support::fixture::Fixture;
use crate::support::mkko::Ko;
use crate::support::modprobe::Modprobe;
use std::fs;

/// Number of runs of each command: whether it is cut short is a matter of scheduling.
const RUNS: usize = 50;

const NAMES: [&str; 3] = ["aa", "bb", "cc"];

/// A root with a device for each module, of which the last needs the first.
fn root() -> Fixture {
    let fixture = Fixture::new();
    for name in NAMES {
        let ko = Ko::new(name).alias(&format!("of:N*T*Cacme,{name}"));
        let ko = match name {
            "aa" => ko.export("of_aa"),
            "cc" => ko.import("of_aa"),
            _ => ko,
        };
        fixture.module(&format!("kernel/{name}.ko"), &ko);
        fixture.put(&format!("sys/devices/platform/{name}/uevent"), format!("MODALIAS=of:NxT(null)Cacme,{name}\n"));
    }
    fixture.put("proc/cmdline", "quiet\n");
    fixture.put("run/empty", "");
    fixture.index();
    Modprobe::loader().install(&fixture, "sbin/initmod");
    fixture
}

/// Runs a command on a kernel without modules, and asserts that it loads each module once.
fn run_whole(root: &Fixture, argv: &[&str]) -> Outcome {
    let _ = fs::remove_dir_all(root.root().join("sys/module"));
    let outcome = run(root.root(), "/sbin/initmod", argv, &Troubles::default());
    let mut loaded: Vec<String> = outcome.trace.iter().map(ToString::to_string).collect();
    loaded.sort();
    let of = |name: &str| loaded.iter().filter(|call| call.contains(&format!("/{name}.ko"))).count();
    assert_eq!(NAMES.map(of), [1; 3], "{argv:?}: {loaded:?} {}", outcome.stderr);
    outcome
}

#[test]
fn coldplug_makes_a_whole_pass_in_any_time() {
    let root = root();
    for argv in [&["initmod", "coldplug"][..], &["initmod", "coldplug", "--settle", "1"]] {
        for _ in 0..RUNS {
            assert_eq!(run_whole(&root, argv).status, 0);
        }
    }
}

#[test]
#[ignore = "takes a minute; `cargo test --test it coldplug -- --include-ignored` runs it"]
fn a_thousand_coldplugs_without_settle_are_whole() {
    let root = root();
    let is_whole = |_: &usize| run_whole(&root, &["initmod", "coldplug"]).status == 0;
    assert_eq!((0..1000).filter(is_whole).count(), 1000);
}

#[test]
fn wait_makes_a_whole_pass_in_any_time() {
    let root = root();
    for timeout in ["0", "1"] {
        for _ in 0..RUNS {
            assert_eq!(run_whole(&root, &["initmod", "wait", "--timeout", timeout, "/dev/nosuch"]).status, 3);
        }
    }
}

#[test]
fn load_loads_each_time() {
    let root = root();
    for _ in 0..RUNS {
        assert_eq!(run_whole(&root, &["initmod", "load", "bb", "cc"]).status, 0);
    }
}
