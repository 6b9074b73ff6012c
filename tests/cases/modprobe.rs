// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loader as `modprobe` and kin, beside kmod 34: one transcript of each, which have to be the same.
//!
//! Compared: the system calls on modules, in order and with their arguments; standard output; the exit status; whether
//! anything is printed on standard error, not what; and what shell commands of modprobe.d write to /said.

use crate::case::{Case, words};
use crate::is_blessing;
use crate::support::fakekernel::{Outcome, run};
use crate::support::fixture::Fixture;
use crate::support::modprobe::Modprobe;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

/// The loader's list of decoders, and that of its commands. `None` without a loader: then each case fails, and says so.
static FEATURES: LazyLock<Option<[String; 2]>> = LazyLock::new(|| {
    let loader = Modprobe::loader_path();
    let run = |args: &[&str]| {
        let output = Command::new(&loader).args(args).output().ok()?;
        Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    Some([run(&["modprobe", "-V"])?, run(&[])?])
});

/// Returns the first feature that a case wants and the loader was built without.
pub fn lacking(case: &Case) -> Option<&str> {
    let [version, commands] = FEATURES.as_ref()?;
    let has = |want: &str| match want {
        "decoders" => version.contains("+ZSTD +XZ +ZLIB"),
        "tools" => commands.split_whitespace().any(|command| command == "insmod"),
        "modinfo" => commands.split_whitespace().any(|command| command == "modinfo"),
        other => panic!("{}: unknown feature {other} in `wants`", case.name()),
    };
    case.wants.iter().map(String::as_str).find(|want| !has(want))
}

/// Compares the loader with what is recorded, once that is rewritten where it is to be.
pub fn check(case: &Case) -> Result<(), String> {
    let loader = Modprobe::loader();
    if is_blessing() {
        bless(case, &Modprobe::kmod(), &loader);
    }
    let (kmod, initmod, why) = (expected(case, "kmod.txt"), expected(case, "initmod.txt"), expected(case, "why.txt"));
    if initmod.is_some() != why.is_some() {
        return Err("initmod.txt and why.txt go together: a difference has a reason, and the reverse".into());
    }
    compare(initmod.or(kmod), &transcript(&loader, case))
}

/// Compares kmod 34 with what is recorded of it.
pub fn check_oracle(case: &Case) -> Result<(), String> {
    compare(expected(case, "kmod.txt"), &transcript(&Modprobe::kmod(), case))
}

/// Rewrites both transcripts; a person reads the difference.
fn bless(case: &Case, kmod: &Modprobe, loader: &Modprobe) {
    let (kmod, loader) = (transcript(kmod, case), transcript(loader, case));
    let dir = case.dir.join("expected");
    fs::create_dir_all(&dir).expect("tests/trees can be written");
    fs::write(dir.join("kmod.txt"), &kmod).expect("tests/trees can be written");
    let _ = fs::remove_file(dir.join("initmod.txt"));
    if loader != kmod && dir.join("why.txt").exists() {
        fs::write(dir.join("initmod.txt"), &loader).expect("tests/trees can be written");
    }
}

fn expected(case: &Case, name: &str) -> Option<String> {
    case.text(&format!("expected/{name}"))
}

/// Returns the commands whose outcome differs.
fn compare(expected: Option<String>, found: &str) -> Result<(), String> {
    let expected = expected.ok_or("nothing is recorded; `make bless` does")?;
    let mut differences = String::new();
    for (expected, found) in expected.split("\n\n").zip(found.split("\n\n")) {
        if expected != found {
            write!(differences, "--- expected\n{expected}\n--- found\n{found}\n\n").expect("a String takes all");
        }
    }
    if expected.matches("\n\n").count() != found.matches("\n\n").count() {
        differences.push_str("more or fewer commands than are recorded; `make bless`\n");
    }
    if differences.is_empty() { Ok(()) } else { Err(differences) }
}

/// Makes the root of a case, indexed, with the program in it.
fn root(modprobe: &Modprobe, case: &Case) -> Fixture {
    let shell = Path::new("/bin/sh");
    let fixture = match modprobe {
        Modprobe::Loader(_) => case.root(None),
        Modprobe::Kmod(tools) => case.root(Some(&tools.join("depmod"))),
    };
    modprobe.install(&fixture, "sbin/modprobe");
    if case.has_shell_commands() {
        match modprobe {
            Modprobe::Loader(_) => fixture.program(shell, "bin/sh"),
            Modprobe::Kmod(_) => fixture.copy(shell, "bin/sh"), // it needs libc alone, and finds the package's
        };
    }
    fixture
}

/// Runs the commands of a case, each in a fresh root, and records their outcomes.
fn transcript(modprobe: &Modprobe, case: &Case) -> String {
    let mut text = String::new();
    for command in &case.commands {
        let root = root(modprobe, case);
        let argv = words(command);
        let argv: Vec<_> = argv.iter().map(String::as_str).collect();
        let outcome = run(root.root(), "/sbin/modprobe", &argv, &case.troubles());
        let said = fs::read_to_string(root.root().join("said")).unwrap_or_default();
        record(command, &outcome, &said, &mut text);
    }
    text
}

/// Appends the outcome of one command.
fn record(command: &str, outcome: &Outcome, said: &str, text: &mut String) {
    let complains = if outcome.stderr.is_empty() { "" } else { ", complains" };
    let blank = if text.is_empty() { "" } else { "\n" };
    writeln!(text, "{blank}$ {command}\nexit {}{complains}", outcome.status).expect("a String takes all");
    outcome.stdout.lines().for_each(|line| writeln!(text, "> {}", single_blanks(line)).expect("a String takes all"));
    said.lines().for_each(|line| writeln!(text, "said: {}", single_blanks(line)).expect("a String takes all"));
    outcome.trace.iter().for_each(|asked| writeln!(text, "{asked}").expect("a String takes all"));
}

fn single_blanks(line: &str) -> String {
    line.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}
