//! The loader as `modprobe`, against kmod 34: in each root of tests/trees the same commands make the same system
//! calls, in the same order, with the same arguments; they print the same and end with the same status. Of standard
//! error only whether there is any is compared. What shell commands of modprobe.d write to /said is compared too.
//!
//! `expected/kmod.txt` is what kmod did. Where the loader differs on purpose, `expected/initmod.txt` is what it does
//! and `expected/why.txt` says why. `make bless` rewrites both from an oracle; `make oracle` compares with it live.

use crate::support::case::{Case, words};
use crate::support::fakekernel::{Outcome, run};
use crate::support::fixture::Fixture;
use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which modprobe is looked at.
#[derive(Clone)]
pub enum Modprobe {
    /// The loader's file.
    Loader(PathBuf),
    /// The directory with kmod's tools; the package they are from lies above.
    Kmod(PathBuf),
}

impl Modprobe {
    /// Finds the loader: that of INITMOD_LOADER, or that which `make` left.
    pub fn loader() -> Modprobe {
        let arch = env::consts::ARCH;
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/dist/lib/initmod/{arch}/initmod"));
        let path = env::var_os("INITMOD_LOADER").map_or(built, PathBuf::from);
        assert!(
            path.exists(),
            "no loader at {}: `make loader-{arch}` builds it, INITMOD_LOADER names another",
            path.display()
        );
        Modprobe::Loader(path)
    }

    /// Finds kmod: in INITMOD_ORACLE, which `make oracle` and `make bless` set.
    pub fn kmod() -> Modprobe {
        Modprobe::Kmod(
            env::var_os("INITMOD_ORACLE").expect("INITMOD_ORACLE is to name the directory of kmod's tools").into(),
        )
    }

    /// Makes the root of a case, with the program in it.
    fn root(&self, case: &Case) -> Fixture {
        let shell = Path::new("/bin/sh");
        match self {
            Modprobe::Loader(_) => {
                let fixture = case.root(None);
                self.install(&fixture, "sbin/modprobe");
                if case.has_shell_commands() {
                    fixture.program(shell, "bin/sh");
                }
                fixture
            }
            Modprobe::Kmod(tools) => {
                let fixture = case.root(Some(&tools.join("depmod")));
                self.install(&fixture, "sbin/modprobe");
                if case.has_shell_commands() {
                    fixture.copy(shell, "bin/sh"); // it wants libc alone, and finds the package's
                }
                fixture
            }
        }
    }

    /// Puts the program at `path` in a root, with what it needs.
    pub fn install(&self, fixture: &Fixture, path: &str) {
        let tools = match self {
            Modprobe::Loader(loader) => {
                fixture.copy(loader, path);
                return;
            }
            Modprobe::Kmod(tools) => tools,
        };
        let package = tools.parent().expect("the tools lie in the package's directory");
        fixture.copy(&package.join("usr/bin/kmod"), path);
        fixture.copy(&package.join("usr/lib64/ld-linux-x86-64.so.2"), "lib64/ld-linux-x86-64.so.2");
        for library in ["libkmod.so.2", "libc.so.6", "liblzma.so.5", "libzstd.so.1", "libz.so.1", "libcrypto.so.3"] {
            let path = format!("usr/lib/x86_64-linux-gnu/{library}");
            fixture.copy(&package.join(&path), &path);
        }
    }

    /// Says whether it was built with all that a case wants. A loader tells what it has.
    fn can(&self, case: &Case) -> bool {
        let Modprobe::Loader(loader) = self else { return true };
        let tell = |args: &[&str]| {
            let output = Command::new(loader).args(args).output().expect("the loader runs on this machine");
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        case.wants.iter().all(|want| match want.as_str() {
            "decoders" => tell(&["modprobe", "-V"]).contains("+ZSTD +XZ +ZLIB"),
            "modinfo" => tell(&[]).contains(" modinfo"),
            other => panic!("{}: nothing can be built with {other}", case.dir.display()),
        })
    }

    /// Runs the commands of a case, each in a fresh root, and writes down what came of them.
    fn transcript(&self, case: &Case) -> String {
        let mut text = String::new();
        for command in &case.commands {
            let root = self.root(case);
            let argv = words(command);
            let argv: Vec<_> = argv.iter().map(String::as_str).collect();
            let outcome = run(root.root(), "/sbin/modprobe", &argv, &case.troubles());
            let said = fs::read_to_string(root.root().join("said")).unwrap_or_default();
            record(command, &outcome, &said, &mut text);
        }
        text
    }
}

/// Writes down one command.
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

impl Case {
    fn expected(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.dir.join("expected").join(name)).ok()
    }

    /// Rewrites what is expected from what `kmod` and `loader` do; a person reads the difference.
    fn bless(&self, kmod: &Modprobe, loader: &Modprobe) {
        let (kmod, loader) = (kmod.transcript(self), loader.transcript(self));
        let dir = self.dir.join("expected");
        fs::create_dir_all(&dir).expect("tests/trees can be written");
        fs::write(dir.join("kmod.txt"), &kmod).expect("tests/trees can be written");
        let _ = fs::remove_file(dir.join("initmod.txt"));
        if loader != kmod && dir.join("why.txt").exists() {
            fs::write(dir.join("initmod.txt"), &loader).expect("tests/trees can be written");
        }
    }
}

/// Compares all cases, then tells every difference.
fn compare(expected: &dyn Fn(&Case) -> Option<String>, modprobe: &Modprobe) {
    let mut differences = String::new();
    for case in Case::all() {
        if !modprobe.can(&case) {
            eprintln!("skipped: {}: the loader was built without {}", case.dir.display(), case.wants.join(", "));
            continue;
        }
        let expected =
            expected(&case).unwrap_or_else(|| panic!("{}: nothing is expected; make bless", case.dir.display()));
        let found = modprobe.transcript(&case);
        let blocks = expected.split("\n\n").zip(found.split("\n\n")).filter(|(expected, found)| expected != found);
        for (expected, found) in blocks {
            write!(differences, "{}\n--- expected\n{expected}\n--- found\n{found}\n\n", case.dir.display())
                .expect("a String takes all");
        }
        if expected.matches("\n\n").count() != found.matches("\n\n").count() {
            writeln!(differences, "{}: more or fewer commands; make bless", case.dir.display())
                .expect("a String takes all");
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

#[test]
fn the_loader_does_what_kmod_does_or_says_why_not() {
    let loader = Modprobe::loader();
    if env::var_os("INITMOD_BLESS").is_some() {
        let kmod = Modprobe::kmod();
        Case::all().iter().for_each(|case| case.bless(&kmod, &loader));
    }
    for case in Case::all() {
        let files = [case.expected("initmod.txt"), case.expected("why.txt")];
        assert_eq!(
            files[0].is_some(),
            files[1].is_some(),
            "{}: what differs has a reason, and the reverse",
            case.dir.display()
        );
    }
    compare(&|case| case.expected("initmod.txt").or_else(|| case.expected("kmod.txt")), &loader);
}

#[test]
#[ignore = "wants kmod 34: make oracle"]
fn the_oracle_does_what_was_recorded() {
    compare(&|case| case.expected("kmod.txt"), &Modprobe::kmod());
}
