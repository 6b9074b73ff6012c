// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that are cut short between fstat and the first look into their map: no signal, and a line that names the file.

use crate::support::fakekernel::{Troubles, run};
use crate::support::fixture::Fixture;
use crate::support::mkko::Ko;
use crate::support::modprobe::Modprobe;

#[test]
fn a_map_that_shrinks_is_named_and_kills_nothing() {
    for (cut, argv) in [
        ("modules.dep.bin", &["modprobe", "one"][..]),
        ("modules.alias.bin", &["modprobe", "of:NxT(null)Cacme,one"]),
        ("modules.softdep", &["modprobe", "one"]),
        ("one.ko.gz", &["modprobe", "one"]),
        ("one.ko.gz", &["modinfo", "one"]),
        ("modules.dep.bin", &["initmod", "load", "one"]),
        ("modules.alias.bin", &["initmod", "coldplug"]),
        ("serial.conf", &["initmod", "load", "one"]),
        ("one.ko.gz", &["initmod", "load", "one"]),
    ] {
        let fixture = Fixture::new();
        fixture.module("kernel/one.ko.gz", &Ko::new("one").alias("of:N*T*Cacme,one").info("softdep", "pre: two"));
        fixture.module("kernel/two.ko", &Ko::new("two"));
        fixture.put("sys/devices/platform/one/uevent", "MODALIAS=of:NxT(null)Cacme,one\n");
        fixture.put("etc/initmod/serial.conf", "one\n");
        fixture.put("proc/cmdline", "quiet\n").put("run/empty", "");
        fixture.index();
        let exe = format!("sbin/{}", argv[0]);
        Modprobe::loader().install(&fixture, &exe);
        let outcome = run(fixture.root(), &exe, argv, &Troubles { cut: Some(cut), ..Troubles::default() });
        let named = outcome
            .stderr
            .lines()
            .any(|line| line.ends_with(&format!("/{cut}: cut short while in use, or its disk fails")));
        assert!(named, "{argv:?} {cut}: {} {}", outcome.status, outcome.stderr);
        assert_eq!(outcome.status, 1, "{argv:?} {cut}: {}", outcome.stderr);
    }
}
