// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links, FIFOs and directories that somebody planted where mkinitmod reads and writes, and signals while it writes.

use crate::support::fixture::{Fixture, KVER};
use crate::support::mkko::Ko;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A tree of one module, and beside it a directory with a file that no run may touch.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.module("kernel/a.ko", &Ko::new("a").alias("test:a"));
    fixture.put("victimdir/passwd", "mine").put("victimdir/modules.dep", "mine");
    fixture
}

fn depmod(fixture: &Fixture) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mkinitmod"));
    command.arg("depmod").arg("-b").arg(fixture.root()).args(["--no-cache", "-C", "/dev/null", KVER]);
    ended(command)
}

/// Reads a stream to its end in a thread.
fn all_of(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Waits for a command, which must end within 30 s: a read of a FIFO would never end.
fn ended(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (stdout, stderr) = (all_of(child.stdout.take().unwrap()), all_of(child.stderr.take().unwrap()));
    let deadline = Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{command:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Output { status: child.wait().unwrap(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn untouched(fixture: &Fixture) {
    for name in ["passwd", "modules.dep"] {
        assert_eq!(fs::read(fixture.root().join("victimdir").join(name)).unwrap(), b"mine", "{name}");
    }
    assert_eq!(fs::read_dir(fixture.root().join("victimdir")).unwrap().count(), 2);
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

#[test]
fn a_planted_link_into_a_stage_is_named_and_nothing_is_touched() {
    let up = "../../../../../victimdir";
    for (name, text) in [
        ("modules.evil", format!(".depmod.1/{up}/passwd")),
        ("modules.dep", format!(".depmod.1/{up}/modules.dep")),
        ("modules.dep", ".depmod.1/now/../now/modules.dep".into()),
        ("modules.dep", ".depmod.1/now/modules.alias".into()),
        ("modules.dep", ".depmod.1//now/modules.dep".into()),
        ("modules.dep", ".depmod.x/now/modules.dep".into()),
        ("modules.other", ".depmod.1/now/modules.other".into()),
    ] {
        let fixture = fixture();
        let dir = fixture.modules_dir();
        fs::create_dir_all(dir.join(".depmod.1/new")).unwrap();
        symlink("new", dir.join(".depmod.1/now")).unwrap();
        fs::write(dir.join(".depmod.1/new/modules.dep"), "staged").unwrap();
        symlink(&text, dir.join(name)).unwrap();
        let output = depmod(&fixture);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(said(&output).contains(&format!("{KVER}/{name}: a link to {text}")), "{}", said(&output));
        assert_eq!(fs::read_link(dir.join(name)).unwrap(), Path::new(&text));
        assert_eq!(fs::read(dir.join(".depmod.1/new/modules.dep")).unwrap(), b"staged");
        untouched(&fixture);
    }
}

#[test]
fn a_planted_stage_is_named_and_nothing_is_touched() {
    type Plant = fn(&Path, &Path);
    let plants: [(&str, Plant); 4] = [
        ("the stage is a link", |dir, victim| symlink(victim, dir.join(".depmod.1")).unwrap()),
        ("the stage is a file", |dir, _| fs::write(dir.join(".depmod.1"), "").unwrap()),
        ("its `now` leads out", |dir, victim| {
            fs::create_dir(dir.join(".depmod.1")).unwrap();
            symlink(victim, dir.join(".depmod.1/now")).unwrap();
        }),
        ("its `old` is a link", |dir, victim| {
            fs::create_dir(dir.join(".depmod.1")).unwrap();
            symlink(victim, dir.join(".depmod.1/old")).unwrap();
            symlink("old", dir.join(".depmod.1/now")).unwrap();
        }),
    ];
    for (what, plant) in plants {
        let fixture = fixture();
        let dir = fixture.modules_dir();
        plant(&dir, &fixture.root().join("victimdir"));
        symlink(".depmod.1/now/modules.dep", dir.join("modules.dep")).unwrap();
        let output = depmod(&fixture);
        assert_eq!(output.status.code(), Some(1), "{what}");
        assert!(said(&output).contains(".depmod.1"), "{what}: {}", said(&output));
        assert!(dir.join("modules.dep").is_symlink(), "{what}");
        untouched(&fixture);
    }
}

#[test]
fn a_stage_that_was_left_behind_is_settled() {
    let fixture = fixture();
    let dir = fixture.modules_dir();
    fs::create_dir_all(dir.join(".depmod.1/old")).unwrap();
    symlink("old", dir.join(".depmod.1/now")).unwrap();
    fs::write(dir.join(".depmod.1/old/modules.dep"), "old").unwrap();
    symlink(".depmod.1/now/modules.dep", dir.join("modules.dep")).unwrap();
    assert_eq!(said(&depmod(&fixture)), "");
    assert!(!dir.join(".depmod.1").exists());
    assert!(fs::read_to_string(dir.join("modules.dep")).unwrap().starts_with("kernel/a.ko:"));
}

#[test]
fn a_link_in_the_place_of_an_index_is_replaced() {
    let fixture = fixture();
    let dep = fixture.modules_dir().join("modules.dep");
    symlink(fixture.root().join("victimdir/modules.dep"), &dep).unwrap();
    assert_eq!(depmod(&fixture).status.code(), Some(0));
    assert!(fs::symlink_metadata(&dep).unwrap().is_file());
    untouched(&fixture);
}

#[test]
fn absolute_links_are_followed_below_the_root() {
    let fixture = fixture();
    let root = fixture.root();
    fs::create_dir(root.join("usr")).unwrap();
    fs::rename(root.join("lib"), root.join("usr/lib")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink("/usr/lib", root.join("lib")).unwrap();
    let modules = root.join("usr/lib/modules").join(KVER);
    fixture.put("opt/b.ko", Ko::new("b").build());
    symlink("/opt", modules.join("extra")).unwrap();
    symlink("/opt/b.ko", modules.join("kernel/c.ko")).unwrap();
    symlink(outside.path(), modules.join("updates")).unwrap();
    let output = depmod(&fixture);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let dep = fs::read_to_string(modules.join("modules.dep")).unwrap();
    assert_eq!(dep.lines().collect::<Vec<_>>().len(), 3, "{dep}");
    assert!(dep.contains("extra/b.ko:") && dep.contains("kernel/c.ko:"), "{dep}");
    assert!(said(&output).contains("updates: skipped"), "{}", said(&output));
}

#[test]
fn without_a_tree_the_versions_that_are_there_are_named() {
    let fixture = fixture();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mkinitmod"));
    let output = command.arg("depmod").arg("-b").arg(fixture.root()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&format!("lib/modules has {KVER}")), "{}", said(&output));
}

#[test]
fn a_fifo_in_the_place_of_a_file_is_named() {
    for name in ["modules.order", "modules.builtin", "modules.builtin.modinfo", "kernel/b.ko"] {
        let fixture = fixture();
        let path = fixture.modules_dir().join(name);
        _ = fs::remove_file(&path);
        fifo(&path);
        let output = depmod(&fixture);
        assert!(
            said(&output).contains(name) && said(&output).contains("not a regular file"),
            "{name}: {}",
            said(&output)
        );
    }
}

#[test]
fn signals_leave_nothing_temporary_behind() {
    let fixture = fixture();
    let settled: Vec<_> = {
        assert!(depmod(&fixture).status.success());
        names(&fixture.modules_dir())
    };
    let mut hit_count = 0;
    for at in 0..200 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mkinitmod"));
        command.arg("depmod").arg("-b").arg(fixture.root()).args(["--no-cache", "-C", "/dev/null", KVER]);
        let mut child = command.spawn().unwrap();
        // Until something temporary is there, or the run has ended.
        while names(&fixture.modules_dir()) == settled && child.try_wait().unwrap().is_none() {}
        hit_count += u32::from(child.try_wait().unwrap().is_none());
        let signal = if at % 2 == 0 { rustix::process::Signal::TERM } else { rustix::process::Signal::INT };
        _ = rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal);
        child.wait().unwrap();
        assert_eq!(names(&fixture.modules_dir()), settled, "after {at} runs");
        if hit_count == 20 {
            return;
        }
    }
    assert!(hit_count > 0, "no signal came while something temporary was there");
}

fn names(dir: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

fn build(fixture: &Fixture, args: &[&str]) -> Output {
    fixture.put("loader", Ko::loader().build());
    fixture.put("b.toml", "arch = 'x86_64'\n[modules]\nnames = ['a']\n");
    let mut command = fixture.mkinitmod("build");
    command.args(["--board", "b.toml", "--loader", "loader"]).args(args);
    ended(command)
}

#[test]
fn a_build_replaces_planted_links_and_writes_to_a_named_pipe() {
    let fixture = fixture();
    let victim = fixture.root().join("victimdir/passwd");
    for name in ["out", "manifest"] {
        symlink(&victim, fixture.root().join(name)).unwrap();
    }
    let output = build(&fixture, &["-q", "-o", "out", "--manifest", "manifest"]);
    assert!(output.status.success(), "{}", said(&output));
    for name in ["out", "manifest"] {
        assert!(fs::symlink_metadata(fixture.root().join(name)).unwrap().is_file(), "{name}");
    }
    let image = fs::read(fixture.root().join("out")).unwrap();
    symlink(fixture.root().join("victimdir"), fixture.root().join("tree")).unwrap();
    let output = build(&fixture, &["-q", "--tree", "tree"]);
    assert!(said(&output).contains("already exists"), "{}", said(&output));
    untouched(&fixture);
    let path = fixture.root().join("pipe");
    fifo(&path);
    let reader = std::thread::spawn(move || fs::read(path).unwrap());
    assert!(build(&fixture, &["-q", "-o", "pipe"]).status.success());
    assert_eq!(reader.join().unwrap(), image);
    assert_eq!(build(&fixture, &["-q", "-o", "/dev/stdout"]).stdout, image);
}

#[test]
fn a_build_names_a_fifo_in_the_place_of_an_input() {
    let fixture = fixture();
    fifo(&fixture.root().join("fifo"));
    for option in
        ["--append", "--early", "--config", "--board", "--builtin", "--symvers", "--kernel", "--depmod-config"]
    {
        let output = build(&fixture, &["-q", "-o", "out", option, "fifo"]);
        assert!(!output.status.success(), "{option}");
        assert!(said(&output).contains("fifo: a FIFO"), "{option}: {}", said(&output));
    }
}

#[test]
fn two_runs_of_depmod_do_not_speak_of_each_other() {
    let fixture = fixture();
    std::thread::scope(|scope| {
        let runs: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..8).map(|_| said(&depmod(&fixture))).collect::<String>())).collect();
        for run in runs {
            assert_eq!(run.join().unwrap(), "");
        }
    });
}
