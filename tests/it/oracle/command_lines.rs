// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each tool against kmod 34 on 1,000 generated command lines: exit status, standard output, and what is asked of the
//! kernel; for depmod its files. The seed is fixed, so a difference comes again. `make oracle` runs it.
//!
//! A difference is a fault, or it is an entry of initmod-kmod(8): then a rule in [`RULES`] names the entry and makes the
//! documented outcome of kmod's.

use crate::support::fakekernel::{Troubles, run};
use crate::support::fixture::{Fixture, KVER};
use crate::support::mkko::Ko;
use crate::support::modprobe::Modprobe;
use crate::support::oracle::{presentable, tool};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// Command lines per tool.
const COUNT: usize = 1000;

/// Differences that are printed.
const SHOWN: usize = 40;

/// Random numbers, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn pick<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[self.below(words.len())]
    }

    /// Picks up to `most` entries, each of one or several words.
    fn words(&mut self, entries: &[&str], most: usize) -> Vec<String> {
        let count = self.below(most + 1);
        (0..count).flat_map(|_| self.pick(entries).split(' ').map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

/// A root with all that a command line can ask for, kmod and the loader in it.
fn root() -> Fixture {
    let fixture = Fixture::new();
    let a =
        Ko::new("a").export("a_f").alias("t:a*").alias("t:both*").info("description", "an a").info("firmware", "a.bin");
    let b = Ko::new("b_c")
        .import("a_f")
        .export("b_f")
        .alias("t:both*")
        .info("parm", "p:a number")
        .info("parmtype", "p:int");
    fixture.module("kernel/a.ko", &a.info("author", "one").info("author", "two").info("parmtype", "q:bool"));
    fixture.module("kernel/sub/b-c.ko.xz", &b.info("version", "1.2"));
    fixture
        .module("kernel/c.ko.zst", &Ko::new("c").import("b_f").info("softdep", "pre: soft post: late").alias("t:c-d"));
    fixture.module("kernel/soft.ko", &Ko::new("soft").info("weakdep", "a"));
    fixture.module("kernel/late.ko", &Ko::new("late"));
    fixture.module("kernel/barred.ko", &Ko::new("barred").alias("t:barred"));
    fixture.module("kernel/run.ko", &Ko::new("run").import("a_f"));
    fixture.module("updates/new.ko", &Ko::new("new").alias("char-major-10-200").alias("devname:new"));
    fixture.builtin(
        "kernel/inside.ko",
        &[("alias", "in:*"), ("license", "GPL"), ("file", "kernel/inside"), ("parm", "x:y")],
    );
    fixture
        .put("etc/modprobe.d/a.conf", "options a o=1 text=\"x y\"\nalias mine a\nalias t-mine b-c\nblacklist barred\n");
    fixture.put("etc/modprobe.d/b.conf", "install run /bin/true\nremove late /bin/true\nsoftdep b_c pre: late\n");
    fixture.put("other/x.conf", "options a other=1\nalias elsewhere c\n");
    fixture.put("proc/cmdline", "quiet a.p=1 b-c.q=2\n").put("plain.ko", Ko::new("plain").build());
    fixture.put("proc/modules", "late 8192 0 - Live 0x0\na 8192 1 b_c, Live 0x0\nb_c 16384 0 - Live 0x0\n");
    fixture.put("text", "no module\n").put("sys/module/compression", "xz\n");
    fixture.index();
    Modprobe::kmod().install(&fixture, "sbin/kmod");
    Modprobe::loader().install(&fixture, "sbin/initmod");
    fixture
}

const NAMES: &[&str] = &[
    "a",
    "b_c",
    "b-c",
    "c",
    "soft",
    "late",
    "barred",
    "run",
    "new",
    "inside",
    "none",
    "mine",
    "t-mine",
    "t:a1",
    "t:both",
    "t:c-d",
    "t:c_d",
    "t:barred",
    "t:none",
    "in:1",
    "elsewhere",
    "symbol:a_f",
    "symbol:none",
    "char-major-10-200",
    "A",
    "",
    "/plain.ko",
    "/text",
    "/none.ko",
    "./plain.ko",
    "a.ko",
    "kernel/a.ko",
    "nowhere/b_c",
    "/",
    "[",
    "t:[a",
];

/// A tool: its name, its options, its operands.
const TOOLS: [(&str, &[&str], &[&str]); 5] = [
    (
        "modprobe",
        &[
            "-a",
            "-r",
            "-n",
            "-D",
            "-R",
            "-c",
            "-v",
            "-q",
            "--first-time",
            "-i",
            "--ignore-remove",
            "-f",
            "-m",
            "-b",
            "-C /other",
            "-C /none",
            "--all",
            "--dry-run",
            "--show",
            "--show-depends",
            "--resolve-alias",
            "--showconfig",
            "--remove",
            "--use-blacklist",
            "-nv",
            "-rn",
            "-aq",
            "-Rq",
            "--sho",
            "-z",
            "--nothing",
            "-S 9.9",
            "--",
            "-w 1",
            "--force-vermagic",
            "--force-modversion",
            "-d /",
            "--dirname=/",
        ],
        &["p=1", "text=\"a b\"", "q", "p=", "t:both", "t:both", "b_c c"],
    ),
    (
        "modinfo",
        &[
            "-F alias",
            "-F name",
            "-F none",
            "-F parm",
            "-F filename",
            "-a",
            "-d",
            "-l",
            "-p",
            "-n",
            "-0",
            "-k 9.9",
            "-b /",
            "-m",
            "-m -F alias",
            "--field=author",
            "--author",
            "--filename",
            "--null",
            "--fi",
            "-z",
            "--",
            "--para",
        ],
        &[],
    ),
    ("insmod", &["-f", "-v", "-s", "--force", "--verbose", "-z", "--", "-p"], &["p=1", "text=\"a b\"", "q"]),
    ("rmmod", &["-f", "-v", "--force", "--verbose", "-z", "--", "-w", "--wait"], &[]),
    ("lsmod", &["-v", "-s", "--syslog", "-z", "--", "--verbose"], &["a"]),
];

/// A documented difference: the tool, the entry of initmod-kmod(8), and for a command line that the entry is about the
/// outcome that we have to have, made of kmod's.
type Rule = (&'static str, &'static str, fn(&[String], &Answer) -> Option<Answer>);

const RULES: &[Rule] = &[("modprobe", "`modprobe -D`, `-n`", |argv, theirs| {
    let is_asked =
        |word: &String| ["-D", "--show", "--show-depends", "-n", "--dry-run", "-nv"].contains(&word.as_str());
    // A file with other options is the same file.
    let mut listed = BTreeSet::new();
    let mut is_new = |line: &&str| match line.strip_prefix("insmod ") {
        Some(rest) => listed.insert(rest.split(' ').next().unwrap_or_default().to_owned()),
        None => true,
    };
    let lines = theirs.stdout.lines().filter(|line| is_new(line));
    let stdout: String = lines.flat_map(|line| [line, "\n"]).collect();
    argv.iter().any(is_asked).then(|| Answer { stdout, ..theirs.clone() })
})];

/// What a command does.
#[derive(Clone, PartialEq)]
struct Answer {
    status: i32,
    stdout: String,
    /// What was asked of the kernel.
    trace: Vec<String>,
    stderr: String,
}

impl Answer {
    fn of(root: &Fixture, exe: &str, argv: &[String]) -> Answer {
        _ = fs::remove_dir_all(root.root().join("sys/module"));
        root.put("sys/module/compression", "xz\n");
        for (modname, refcnt) in [("late", "0\n"), ("a", "1\n"), ("b_c", "0\n")] {
            root.put(&format!("sys/module/{modname}/initstate"), "live\n");
            root.put(&format!("sys/module/{modname}/refcnt"), refcnt);
        }
        fs::create_dir_all(root.root().join("sys/module/a/holders/b_c")).unwrap();
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        let outcome = run(root.root(), exe, &argv, &Troubles::default());
        let trace = outcome.trace.iter().map(ToString::to_string).collect();
        Answer { status: outcome.status, stdout: outcome.stdout, trace, stderr: outcome.stderr }
    }

    fn is_like(&self, other: &Answer) -> bool {
        (self.status, &self.stdout, &self.trace) == (other.status, &other.stdout, &other.trace)
    }

    fn show(&self) -> String {
        let Answer { status, stdout, trace, stderr } = self;
        format!("exit {status}\n{stdout}{}\n  stderr: {}", trace.join("\n"), stderr.trim_end())
    }
}

/// Panics with the differences, if there are any.
fn report(tool: &str, differences: &[String]) {
    let shown = &differences[..differences.len().min(SHOWN)];
    assert!(differences.is_empty(), "{tool}: {} differences\n{}", differences.len(), shown.join("\n"));
}

/// Panics if initmod-kmod(8) has no such entry.
fn is_documented(entry: &str) {
    let page = include_str!("../../../config/doc/initmod-kmod.8.md");
    assert!(page.contains(&format!("\n{entry}\n: ")), "initmod-kmod(8) has no entry {entry}");
}

fn compare(tool: &str) {
    let (root, mut random) = (root(), Random(12));
    let (_, options, operands) = TOOLS.iter().find(|(name, ..)| *name == tool).expect("it is a tool");
    let operands = [NAMES, operands].concat();
    let rules: Vec<&Rule> = RULES.iter().filter(|(of, ..)| *of == tool).collect();
    let (mut differences, mut seen, mut needed) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for _ in 0..COUNT {
        let mut argv = vec![tool.to_owned()];
        argv.extend(random.words(options, 3));
        argv.extend(random.words(&operands, 3));
        if !seen.insert(argv.clone()) {
            continue;
        }
        let (theirs, ours) = (Answer::of(&root, "/sbin/kmod", &argv), Answer::of(&root, "/sbin/initmod", &argv));
        let made = rules.iter().find_map(|(_, entry, make)| Some((*entry, make(&argv, &theirs)?)));
        let expected = made.as_ref().map_or(&theirs, |(_, made)| made);
        needed.extend(made.iter().filter(|(_, made)| !made.is_like(&theirs)).map(|(entry, _)| *entry));
        if !ours.is_like(expected) {
            differences.push(format!("{argv:?}\n--- kmod {}\n--- ours {}\n", theirs.show(), ours.show()));
        }
    }
    for (_, entry, _) in rules {
        assert!(needed.contains(entry), "no command line of {tool} needs the rule of {entry}");
        is_documented(entry);
    }
    report(tool, &differences);
}

#[test]
#[ignore = "wants kmod 34: make oracle"]
fn generated_command_lines_of_modprobe() {
    compare("modprobe");
}

#[test]
#[ignore = "wants kmod 34: make oracle"]
fn generated_command_lines_of_modinfo() {
    compare("modinfo");
}

#[test]
#[ignore = "wants kmod 34: make oracle"]
fn generated_command_lines_of_insmod() {
    compare("insmod");
}

#[test]
#[ignore = "wants kmod 34: make oracle"]
fn generated_command_lines_of_rmmod() {
    compare("rmmod");
}

#[test]
#[ignore = "wants kmod 34: make oracle"]
fn generated_command_lines_of_lsmod() {
    compare("lsmod");
}

/// Runs a depmod, whose options name the root as `@`; returns its exit status, its stdout and the files that it wrote.
fn depmod(root: &Fixture, mut command: Command, args: &[String]) -> String {
    let path = root.root().to_str().unwrap();
    let output = command.args(args.iter().map(|arg| arg.replace('@', path))).current_dir(root.root()).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    // A version's text is each program's own.
    let is_version = ["kmod version 34", "initmod depmod "].iter().any(|text| stdout.starts_with(text));
    let stdout = if is_version { "version\n" } else { &stdout };
    let mut text = format!("exit {}\n{stdout}", output.status.code().unwrap_or(-1));
    for base in ["lib/modules", "out/lib/modules", "usr/lib/modules"] {
        for kver in [KVER, "9.9"] {
            let dir = root.root().join(base).join(kver);
            let names: BTreeSet<_> =
                fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            for file in names.into_iter().filter(|path| path.is_file()) {
                let name = file.file_name().unwrap().to_str().unwrap().to_owned();
                let data = presentable(&name, &fs::read(&file).unwrap(), path);
                text += &format!("{base}/{kver}/{name} {} bytes {:08x}\n", data.len(), libdeflater::crc32(&data));
            }
        }
    }
    text.replace(path, "@")
}

#[test]
#[ignore = "wants kmod 34: make oracle"]
fn generated_command_lines_of_depmod() {
    const FILE: &str = "@/lib/modules/6.12.0-it/kernel/a.ko";
    const SLASHED: &str = "6.12.0-it/";
    is_documented("`depmod KVER/ FILE`, with a slash behind the version");
    let options = [
        "-a",
        "-A",
        "-n",
        "-w",
        "-v",
        "-e",
        "-E @/symvers",
        "-E @/none",
        "-F @/map",
        "-F @/none",
        "-P _",
        "-P xy",
        "-C @/conf",
        "-C @/none",
        "-b @",
        "-b @/none",
        "-o @/out",
        "-m /usr/lib/modules",
        "-m /lib/modules",
        "--all",
        "--quick",
        "--show",
        "--dry-run",
        "--warn",
        "--verbose",
        "--errsyms",
        "-z",
        "--nothing",
        "-nA",
        "-ae",
        "--",
        "-V",
    ];
    let operands = [KVER, KVER, "9.9", "6", "x", "@/plain.ko", FILE, "@/none.ko", "a.ko", SLASHED, ""];
    let mut random = Random(34);
    let mut differences = Vec::new();
    for _ in 0..COUNT {
        let mut args = vec!["-b".to_owned(), "@".to_owned(), "-C".to_owned(), "@/none".to_owned()];
        args.extend(random.words(&options, 3));
        args.extend(random.words(&operands, 2));
        // For this entry kmod has to do without the slash what we do with it.
        let is_of_entry = args.iter().any(|arg| arg == SLASHED) && args.iter().any(|arg| arg == FILE);
        let theirs_args = args.iter().map(|arg| arg.trim_end_matches(if is_of_entry { '/' } else { '\0' }).to_owned());
        let theirs_args: Vec<String> = theirs_args.collect();
        let [theirs, ours] = [true, false].map(|is_kmod| {
            let fixture = Fixture::new();
            fixture.module("kernel/a.ko", &Ko::new("a").export("a_f").alias("t:a-b").alias("t:a_b"));
            fixture.module("kernel/b.ko", &Ko::new("b").import("a_f").import("none"));
            fixture.module("extra/b.ko", &Ko::new("b").import("none"));
            fixture.builtin("kernel/inside.ko", &[("alias", "in:*")]);
            fixture.put("plain.ko", Ko::new("plain").import("a_f").build());
            fixture.put("symvers", "0x12345678\tkernel_f\tvmlinux\tEXPORT_SYMBOL\t\n");
            fixture.put("map", "ffffffff81000000 r __ksymtab_kernel_f\n").put("conf/a.conf", "search extra built-in\n");
            fixture.put("usr/lib/modules/6.12.0-it/kernel/u.ko", Ko::new("u").build());
            let command = if is_kmod {
                Command::new(tool("depmod").expect("INITMOD_ORACLE is the directory of kmod's tools"))
            } else {
                let mut command = Command::new(env!("CARGO_BIN_EXE_mkinitmod"));
                command.arg("depmod");
                command
            };
            depmod(&fixture, command, if is_kmod { &theirs_args } else { &args })
        });
        if theirs != ours {
            differences.push(format!("{args:?}\n--- kmod {theirs}\n--- ours {ours}\n"));
        }
    }
    report("depmod", &differences);
}
