// SPDX-License-Identifier: MIT OR Apache-2.0
//! A module whose init does not end, in the steps of a boot as commands.

use crate::support::fakekernel::{Outcome, Troubles, run};
use crate::support::fixture::Fixture;
use crate::support::mkko::Ko;
use crate::support::modprobe::Modprobe;

/// Runs a command where `base` hangs, `top` needs it and `other` does not; a device asks for each.
fn hang(cmdline: &str, argv: &[&str]) -> (Outcome, Vec<String>) {
    let fixture = Fixture::new();
    fixture.module("kernel/base.ko", &Ko::new("base").alias("of:N*T*Cacme,base").export("of_base"));
    fixture.module("kernel/top.ko", &Ko::new("top").import("of_base"));
    fixture.module("kernel/other.ko", &Ko::new("other").alias("of:N*T*Cacme,other"));
    for name in ["base", "other"] {
        fixture.put(&format!("sys/devices/platform/{name}/uevent"), format!("MODALIAS=of:NxT(null)Cacme,{name}\n"));
    }
    fixture.put("proc/cmdline", format!("quiet {cmdline}\n"));
    fixture.put("run/empty", "");
    fixture.index();
    Modprobe::loader().install(&fixture, "sbin/initmod");
    let troubles = Troubles { hanging: ["base".into()].into(), ..Troubles::default() };
    let outcome = run(fixture.root(), "/sbin/initmod", argv, &troubles);
    let calls = outcome.trace.iter().map(ToString::to_string).collect();
    (outcome, calls)
}

#[test]
fn a_hung_module_is_given_up_and_what_needs_it_left_out() {
    // One at a time: the others go on when it is given up.
    for jobs in ["initmod.jobs=2", "initmod.serial=1"] {
        let (outcome, calls) = hang(&format!("initmod.timeout=1 {jobs}"), &["initmod", "load", "top", "other"]);
        assert_eq!(outcome.status, 1);
        assert!(outcome.stderr.contains("initmod: base: given up: "), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("initmod: top: left out, it needs base"), "{}", outcome.stderr);
        assert_eq!(calls.len(), 2, "{calls:?}");
        assert!(calls.iter().any(|call| call.contains("/other.ko")), "{calls:?}");
    }
}

#[test]
fn coldplug_and_wait_end_with_a_hung_module_and_name_its_device() {
    let (outcome, calls) = hang("initmod.timeout=6", &["initmod", "coldplug"]);
    assert_eq!((outcome.status, calls.len()), (1, 2), "{calls:?}");
    // The fixture has no /proc/self/fd, which has the paths of devices.
    let [head, tail] = ["initmod: base: still loading after 5 s; requested by ", " as of:NxT(null)Cacme,base\n"];
    assert!(outcome.stderr.contains(head) && outcome.stderr.contains(tail), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("initmod: base: given up: "), "{}", outcome.stderr);
    // Its own time is shorter, and the module's process is left behind.
    let (outcome, _) = hang("initmod.timeout=10", &["initmod", "wait", "--timeout", "500", "/dev/nosuch"]);
    assert_eq!(outcome.status, 3, "{}", outcome.stderr);
}
