// SPDX-License-Identifier: MIT OR Apache-2.0
//! `initmod load` with more modules than its plan holds at once: workers load them side by side, and what is done is
//! forgotten but for its name.

use crate::support::fakekernel::{Outcome, Troubles, run};
use crate::support::fixture::Fixture;
use crate::support::mkko::Ko;
use crate::support::modprobe::Modprobe;
use std::collections::BTreeMap;
use std::fs;

/// How many modules there are: a few times what a plan holds.
const COUNT: usize = 300;

fn name(number: usize) -> String {
    format!("m{number:03}")
}

/// What the module of a number needs: a tree in which all needs the first.
fn needed(number: usize) -> Option<usize> {
    number.checked_sub(1).map(|number| number / 3)
}

/// A root with all modules, in which the last but one waits for the last by a softdep.
fn root() -> Fixture {
    let fixture = Fixture::new();
    for number in 0..COUNT {
        let ko = Ko::new(&name(number)).export(&format!("symbol_{number}"));
        let ko = needed(number).map_or(ko.clone(), |needed| ko.import(&format!("symbol_{needed}")));
        fixture.module(&format!("kernel/{}.ko", name(number)), &ko);
    }
    fixture.put("proc/cmdline", "quiet initmod.jobs=4\n");
    fixture.put("run/empty", "");
    fixture.put("etc/modprobe.d/a.conf", format!("softdep {} pre: {}\n", name(COUNT - 2), name(COUNT - 1)));
    fixture.index();
    Modprobe::loader().install(&fixture, "sbin/initmod");
    fixture
}

/// Loads all, the last first, and returns how it went and each module's place among the calls.
fn load(root: &Fixture, troubles: &Troubles) -> (Outcome, BTreeMap<String, usize>) {
    let names: Vec<String> = (0..COUNT).rev().map(name).collect();
    let argv: Vec<&str> = ["initmod", "load"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let outcome = run(root.root(), "/sbin/initmod", &argv, troubles);
    let loads = outcome.trace.iter().filter_map(|asked| {
        let text = asked.to_string();
        let (_, file) = text.split_once("kernel/")?;
        Some(file.split_once('.')?.0.to_owned())
    });
    let mut places = BTreeMap::new();
    for (place, name) in loads.enumerate() {
        assert_eq!(places.insert(name.clone(), place), None, "{name} is handed over twice");
    }
    (outcome, places)
}

/// Returns the lines of the record, by module.
fn record(root: &Fixture) -> BTreeMap<String, serde_json::Value> {
    let text = fs::read_to_string(root.root().join("run/initmod/boot.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut all = BTreeMap::new();
    for line in lines.filter(|line| line["module"].is_string()) {
        let name = line["module"].as_str().unwrap().to_owned();
        assert!(all.insert(name.clone(), line).is_none(), "{name} is written down twice");
    }
    all
}

#[test]
fn each_of_many_modules_is_loaded_once_behind_what_it_needs() {
    let root = root();
    let (outcome, places) = load(&root, &Troubles::default());
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert_eq!(places.len(), COUNT);
    for number in 1..COUNT {
        let needed = name(needed(number).unwrap());
        assert!(places[&needed] < places[&name(number)], "{needed} comes behind {}", name(number));
    }
    assert!(places[&name(COUNT - 1)] < places[&name(COUNT - 2)]);
    let record = record(&root);
    assert_eq!(record.len(), COUNT);
    for (name, line) in &record {
        assert_eq!((line["result"].as_str(), line["by"].as_str()), (Some("loaded"), Some("load")), "{name}");
    }
    assert_eq!(record[&name(COUNT - 1)]["alias"], name(COUNT - 1).as_str());
    assert_eq!(record["m000"]["alias"], name(COUNT - 1).as_str(), "it was asked for by the first that needs it");
}

#[test]
fn what_needs_a_module_that_failed_long_ago_is_not_tried() {
    let root = root();
    // Of the first three that hang on m000 one has no hardware.
    let (outcome, places) =
        load(&root, &Troubles { failing: [("m002".into(), libc::ENODEV)].into(), ..Troubles::default() });
    assert_eq!(outcome.status, 1, "what was asked for is not in");
    let hangs = |number: usize| std::iter::successors(Some(number), |&number| needed(number)).skip(1).any(|at| at == 2);
    let record = record(&root);
    assert_eq!(record.len(), COUNT);
    for number in 0..COUNT {
        let name = name(number);
        assert_eq!(places.contains_key(&name), !hangs(number), "{name}");
        let result = if number == 2 || hangs(number) { "failed" } else { "loaded" };
        assert_eq!(record[&name]["result"], result, "{name}");
    }
}
