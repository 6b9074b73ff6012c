// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mkinitmod depmod` beside kmod 34: each file that it writes, standard output and the exit status are the same.

use crate::case::Case;
use crate::is_blessing;
use crate::support::fixture::KVER;
use crate::support::oracle::{presentable, tool};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

/// Text by file name; `status` and `stdout` beside the files.
type Outcome = BTreeMap<String, Vec<u8>>;

/// Files that depmod reads and does not write.
const INPUTS: [&str; 3] = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];

/// Compares mkinitmod with what is recorded, once that is rewritten where it is to be.
pub fn check(case: &Case) -> Result<(), String> {
    if is_blessing() {
        bless(case);
    }
    let (outcome, stderr) = run(case, &mut ours());
    let mut wanted = kept(case, "expected");
    wanted.extend(kept(case, "differs").into_iter().filter(|(name, _)| is_file_of_ours(name)));
    wanted.retain(|_, data| data != b"absent\n");
    let mut faults = differences(&wanted, &outcome);
    let lines = case.text("differs/stderr").unwrap_or_default();
    faults.extend(lines.lines().filter(|line| !stderr.contains(*line)).map(|line| format!("not said: {line}")));
    if faults.is_empty() { Ok(()) } else { Err(format!("{}\n  said   {stderr}", faults.join("\n"))) }
}

/// Compares kmod 34 with what is recorded of it.
pub fn check_oracle(case: &Case) -> Result<(), String> {
    let (outcome, _) = run(case, &mut kmod());
    let faults = differences(&kept(case, "expected"), &outcome);
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

/// Rewrites what kmod writes, and those files in which ours differ; a person reads the difference.
fn bless(case: &Case) {
    if !case.is_alone() {
        let (outcome, _) = run(case, &mut kmod());
        _ = fs::remove_dir_all(case.dir.join("expected"));
        fs::create_dir(case.dir.join("expected")).unwrap();
        for (name, data) in outcome {
            fs::write(case.dir.join("expected").join(name), data).unwrap();
        }
    }
    let (outcome, _) = run(case, &mut ours());
    for name in kept(case, "differs").keys().filter(|name| is_file_of_ours(name)) {
        fs::write(case.dir.join("differs").join(name), outcome.get(name).cloned().unwrap_or_default()).unwrap();
    }
}

/// Whether a file of differs/ takes the place of one of expected/.
fn is_file_of_ours(name: &str) -> bool {
    !matches!(name, "README" | "stderr")
}

/// Runs `depmod` on a new root; returns its outcome and standard error.
fn run(case: &Case, depmod: &mut Command) -> (Outcome, String) {
    let fixture = case.lay();
    let root = fixture.root().to_str().unwrap();
    let args = case.depmod.iter().flatten().map(|arg| arg.replace("@ROOT@", root));
    // A configuration of one's own: the machine's is not the case's.
    let config = fixture.root().join("etc/depmod.d");
    depmod.arg("-b").arg(root).arg("-C").arg(config).arg(KVER).args(args);
    let output = depmod.output().expect("depmod runs");
    let mut outcome = Outcome::new();
    outcome.insert("status".into(), format!("{}\n", output.status.code().unwrap_or(-1)).into());
    if !output.stdout.is_empty() {
        outcome.insert("stdout".into(), output.stdout);
    }
    for entry in fs::read_dir(fixture.modules_dir()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_file() && name.starts_with("modules.") && !INPUTS.contains(&&*name) {
            outcome.insert(name, fs::read(path).unwrap());
        }
    }
    outcome.iter_mut().for_each(|(name, data)| *data = presentable(name, data, root));
    (outcome, String::from_utf8_lossy(&output.stderr).replace(root, "@ROOT@"))
}

/// Reads what a case keeps in `dir`.
fn kept(case: &Case, dir: &str) -> Outcome {
    let entries = fs::read_dir(case.dir.join(dir)).into_iter().flatten().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn differences(wanted: &Outcome, found: &Outcome) -> Vec<String> {
    let names: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let show = |data: Option<&Vec<u8>>| data.map(|data| String::from_utf8_lossy(data).into_owned());
    let differ = names.into_iter().filter(|name| wanted.get(*name) != found.get(*name));
    differ
        .map(|name| format!("{name}\n  wanted {:?}\n  found  {:?}", show(wanted.get(name)), show(found.get(name))))
        .collect()
}

fn ours() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mkinitmod"));
    command.args(["depmod", "--no-cache"]);
    command
}

fn kmod() -> Command {
    Command::new(tool("depmod").expect("INITMOD_ORACLE names the directory of kmod's tools"))
}
