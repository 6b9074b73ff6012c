// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of a depmod run that fails, is killed, or is not the first.

use crate::support::fixture::{Fixture, KVER};
use crate::support::mkko::Ko;
use crate::support::trap;
use initmod::host::modules::module::Module;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    for at in 0..40 {
        let name = format!("m{at}");
        let path = format!("kernel/{name}.ko{}", ["", ".xz", ".zst", ".gz"][at % 4]);
        let ko = Ko::new(&name).export(&format!("{name}_f")).alias(&format!("test:m{at}*"));
        fixture.module(&path, &ko.import(&format!("m{}_f", at + 1)));
    }
    fixture
}

fn depmod(fixture: &Fixture, args: &[&str]) -> Output {
    command(fixture, args).output().expect("depmod runs")
}

fn command(fixture: &Fixture, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mkinitmod"));
    command.arg("depmod").arg("-b").arg(fixture.root()).args(["-C", "/nonexistent", KVER]).args(args);
    command
}

/// Returns all files of the module directory but its modules, and the stage of an unfinished run.
fn set(fixture: &Fixture) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(fixture.modules_dir()).unwrap().map(|entry| entry.unwrap());
    let entries = entries.filter(|entry| entry.file_name() != "kernel");
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default()))
        .collect()
}

#[test]
fn a_damaged_module_leaves_the_old_set_alone() {
    let fixture = fixture();
    assert!(depmod(&fixture, &["--no-cache"]).status.success());
    let before = set(&fixture);
    fixture.put(&format!("lib/modules/{KVER}/kernel/m8.ko"), "\x7fELF");
    let output = depmod(&fixture, &["--no-cache"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("kernel/m8.ko: too short for a module at offset 0x0"), "{stderr}");
    assert_eq!(set(&fixture), before);
    assert_eq!(depmod(&fixture, &["--no-cache", "--keep-going"]).status.code(), Some(0));
    assert_ne!(set(&fixture), before);
}

#[test]
#[allow(unsafe_code, reason = "prctl")]
fn a_directory_that_cannot_be_written_is_told_before_a_module_is_read() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    /// Source: include/uapi/linux/capability.h.
    const CAP_DAC_OVERRIDE: libc::c_ulong = 1;
    let fixture = fixture();
    fixture.put(&format!("lib/modules/{KVER}/kernel/m8.ko"), "\x7fELF");
    let before = set(&fixture);
    fs::set_permissions(fixture.modules_dir(), fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = command(&fixture, &["--no-cache"]);
    // Root writes where it may not, unless it lacks this from the start. Others never had it.
    let drop_it = || {
        // SAFETY: a system call that takes numbers
        _ = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) };
        Ok(())
    };
    // SAFETY: the closure makes one system call
    unsafe { command.pre_exec(drop_it) };
    let output = command.output().unwrap();
    fs::set_permissions(fixture.modules_dir(), fs::Permissions::from_mode(0o755)).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let what = format!("depmod: ERROR: {}: Permission denied\n", fixture.modules_dir().display());
    assert_eq!((output.status.code(), stderr), (Some(1), what));
    assert_eq!(set(&fixture), before);
}

#[test]
fn a_write_that_fails_leaves_the_old_set_alone() {
    let fixture = fixture();
    assert!(depmod(&fixture, &["--no-cache"]).status.success());
    let before = set(&fixture);
    fixture.module("kernel/new.ko", &Ko::new("new").alias("test:new"));
    fixture.put(&format!("lib/modules/{KVER}/modules.order"), &before["modules.order"]);
    // A file size limit of 512 bytes, with its signal ignored, acts like a full disk.
    let depmod = command(&fixture, &["--no-cache"]);
    let words = [depmod.get_program()].into_iter().chain(depmod.get_args());
    let output =
        Command::new("sh").args(["-c", "trap '' XFSZ; ulimit -f 1; \"$@\"", "sh"]).args(words).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(set(&fixture), before, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_directory_in_the_way_leaves_the_old_set_alone() {
    let fixture = fixture();
    assert!(depmod(&fixture, &["--no-cache"]).status.success());
    let devname = fixture.modules_dir().join("modules.devname");
    fs::remove_file(&devname).unwrap();
    fs::create_dir(&devname).unwrap();
    let before = set(&fixture);
    fixture.put(&format!("lib/modules/{KVER}/kernel/a.ko"), Ko::new("a").build());
    assert_eq!(depmod(&fixture, &["--no-cache"]).status.code(), Some(1));
    assert_eq!(set(&fixture), before);
}

/// The system calls that change a directory, and those that sync.
const CHANGES: &[libc::c_long] = &[
    libc::SYS_openat,
    libc::SYS_mkdirat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_renameat,
    libc::SYS_unlinkat,
    libc::SYS_fsync,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
];

/// Runs depmod up to its change number `at`. This system call fails with `errno`; without one the run is killed there.
/// Returns the exit status, or `None` if the run makes fewer changes.
fn interrupted(fixture: &Fixture, at: usize, errno: Option<i32>) -> Option<ExitStatus> {
    let mut command = command(fixture, &["--no-cache"]);
    let (mut child, trap) = trap::spawn(command.stderr(Stdio::null()), Path::new("/"), CHANGES).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut seen = 0;
    while let Some(call) = trap.next(deadline) {
        let opens_to_read = call.number == libc::SYS_openat && call.args[2] as i32 & libc::O_CREAT == 0;
        if opens_to_read {
            trap.allow(&call);
            continue;
        }
        seen += 1;
        match errno {
            _ if seen != at => trap.allow(&call),
            Some(errno) => trap.answer(&call, Err(errno)),
            None => child.kill().unwrap(),
        }
    }
    let status = child.wait().unwrap();
    (seen >= at).then_some(status)
}

#[test]
fn a_kill_at_any_call_leaves_the_old_set_or_the_new() {
    let fixture = Fixture::new();
    fixture.module("kernel/a.ko", &Ko::new("a").alias("test:a"));
    assert!(depmod(&fixture, &["--no-cache"]).status.success());
    let (old, late) = (set(&fixture), fixture.modules_dir().join("kernel/new.ko"));
    fs::write(&late, Ko::new("new").alias("test:new").build()).unwrap();
    assert!(depmod(&fixture, &["--no-cache"]).status.success());
    let new = set(&fixture);
    for errno in [None, Some(libc::ENOSPC)] {
        let mut outcomes = [0, 0];
        for at in 1.. {
            fs::remove_file(&late).unwrap();
            assert!(depmod(&fixture, &["--no-cache"]).status.success(), "after {at} and {errno:?}");
            assert!(set(&fixture) == old, "{at} and {errno:?} left files behind");
            fs::write(&late, Ko::new("new").alias("test:new").build()).unwrap();
            let Some(status) = interrupted(&fixture, at, errno) else { break };
            let mut found = set(&fixture);
            found.retain(|name, _| !name.starts_with(".depmod."));
            assert!(found == old || found == new, "{at} and {errno:?}");
            assert!(!status.success() || found == new, "{at} and {errno:?}");
            outcomes[usize::from(found == new)] += 1;
        }
        assert!(outcomes[0] > 40 && outcomes[1] > 20, "{outcomes:?}");
    }
}

#[test]
fn quick_does_nothing_until_a_module_is_newer() {
    let fixture = fixture();
    assert!(depmod(&fixture, &["-A", "--no-cache"]).status.success());
    let dep = fixture.modules_dir().join("modules.dep");
    fs::write(&dep, "mine").unwrap();
    assert!(depmod(&fixture, &["-A", "--no-cache"]).status.success());
    assert_eq!(fs::read(&dep).unwrap(), b"mine");
    std::thread::sleep(Duration::from_millis(20));
    fixture.put(&format!("lib/modules/{KVER}/kernel/a.ko"), Ko::new("a").build());
    assert!(depmod(&fixture, &["-A", "--no-cache"]).status.success());
    assert_ne!(fs::read(&dep).unwrap(), b"mine");
}

#[test]
fn a_cache_changes_nothing_but_the_time() {
    let fixture = fixture();
    assert!(depmod(&fixture, &["--no-cache"]).status.success());
    let plain = set(&fixture);
    let caches = tempfile::tempdir().unwrap();
    let with_cache = |said: &str| {
        let output = depmod(&fixture, &["--cache", caches.path().to_str().unwrap()]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && stderr.contains(said), "{stderr}");
        set(&fixture)
    };
    std::thread::sleep(Duration::from_millis(2100)); // a file that was just written is not cached
    assert_eq!(with_cache(""), plain);
    assert_eq!(with_cache(""), plain);
    let file = fs::read_dir(caches.path()).unwrap().next().unwrap().unwrap().path();
    let good = fs::read(&file).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 4;
    for (bad, said) in [
        (&good[..good.len() - 9], "damaged or truncated"),
        (&good[..20], "damaged or truncated"),
        (b"", "not a cache"),
        (&flipped, "damaged or truncated"),
        (b"#!/bin/sh\nexit 0\n", "not a cache"),
    ] {
        fs::write(&file, bad).unwrap();
        assert_eq!(with_cache(said), plain);
        assert_eq!(fs::read(&file).unwrap().len(), good.len(), "it is written again");
    }
    // Another content of the same length and mtime: only ctime differs.
    let path = fixture.modules_dir().join("kernel/m0.ko");
    let mtime = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, Ko::new("m0").export("m0_f").alias("other:m0*").import("m1_f").build().as_slice()).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(mtime).unwrap();
    let text = String::from_utf8(with_cache("")["modules.alias"].clone()).unwrap();
    assert!(text.contains("other:m0*"), "{text}");
}

#[test]
fn no_prefix_of_a_module_makes_the_reader_panic() {
    let plain = Ko::new("m").export("a").import("b").alias("x").build();
    assert_eq!(Module::parse("m.ko", &plain).unwrap().exports.len(), 1);
    for len in 0..plain.len() {
        _ = Module::parse("m.ko", &plain[..len]);
    }
    for suffix in ["gz", "xz", "zst"] {
        let packed = crate::support::fixture::compress(suffix, &plain);
        for len in 0..packed.len() {
            assert_ne!(initmod::host::codec::decompress(&packed[..len]), Ok(plain.clone()), "{len} bytes of {suffix}");
        }
    }
}

proptest! {
    #[test]
    fn no_flipped_bits_make_the_reader_panic(at in prop::collection::vec((0usize..1 << 16, any::<u8>()), 1..8), big: bool) {
        let ko = Ko::new("m").export("a").import("b").alias("x");
        let mut plain = if big { ko.big_endian().elf32() } else { ko }.build();
        for (at, byte) in at {
            let len = plain.len();
            plain[at % len] = byte;
        }
        _ = Module::parse("m.ko", &plain);
    }

    #[test]
    fn no_configuration_makes_the_parser_panic(text in "[a-z *\\\\\n\t\\[(./-]{0,80}") {
        let mut config = initmod::host::modules::depmod_d::DepmodConfig::default();
        for text in [text.clone(), format!("search {text}\noverride a * {text}\nexclude {text}\nexternal {text}")] {
            config.parse("t.conf".as_ref(), text.as_bytes(), "6.1.0");
        }
        _ = (config.rank(&text), config.excludes(&text));
    }
}

/// Runs depmod on a fixture and returns its exit status and stderr, with the tree's path left out.
fn said(fixture: &Fixture, args: &[&str]) -> (Option<i32>, String) {
    let output = depmod(fixture, &[&["--no-cache"], args].concat());
    let tree = format!("{}/", fixture.modules_dir().display());
    (output.status.code(), String::from_utf8_lossy(&output.stderr).replace(&tree, ""))
}

#[test]
fn missing_files_of_the_kernels_build_are_named_as_by_kmod() {
    let fixture = Fixture::new();
    fixture.module("kernel/a.ko", &Ko::new("a"));
    let dir = fixture.modules_dir();
    for name in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        _ = fs::remove_file(dir.join(name));
    }
    let line =
        |name| format!("depmod: WARNING: could not open {name} at {}: No such file or directory\n", dir.display());
    let lines = ["modules.order", "modules.builtin", "modules.builtin.modinfo"].map(line);
    assert_eq!(said(&fixture, &[]), (Some(0), lines.concat()));
    assert_eq!(said(&fixture, &["-n"]), (Some(0), lines[0].clone()));
    fixture.put(&format!("lib/modules/{KVER}/modules.order"), "");
    fixture.builtin("kernel/inside.ko", &[("alias", "in:*")]);
    assert_eq!(said(&fixture, &[]), (Some(0), String::new()));
}

#[test]
fn a_version_ends_with_slashes_and_named_files_need_no_tree() {
    let fixture = Fixture::new();
    fixture.module("kernel/a.ko", &Ko::new("a").alias("test:a"));
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mkinitmod"));
        command.arg("depmod").arg("-b").arg(fixture.root()).args(["-C", "/nonexistent"]).args(args);
        command.output().unwrap().status.code()
    };
    assert_eq!(run(&[&format!("{KVER}//")]), Some(0));
    assert!(fixture.modules_dir().join("modules.dep").is_file());
    let file = fixture.modules_dir().join("kernel/a.ko");
    assert_eq!(run(&["6.99.0", file.to_str().unwrap()]), Some(0));
    let dep = fs::read_to_string(fixture.root().join("lib/modules/6.99.0/modules.dep")).unwrap();
    assert_eq!(dep, format!("{}:\n", file.display()));
}

#[test]
fn duplicate_aliases_are_compared_with_underscores() {
    let fixture = Fixture::new();
    fixture.module("kernel/a.ko", &Ko::new("a").alias("t:a-b").alias("t:a_b").alias("t:[a-b]"));
    fixture.module("kernel/b.ko", &Ko::new("b").alias("t:a-b"));
    fixture.builtin("kernel/inside.ko", &[("alias", "in:*")]);
    let want = "depmod: WARNING: duplicate module alias:\nt:a_b a\n";
    assert_eq!(said(&fixture, &["-w"]), (Some(0), want.into()));
}

#[test]
fn a_line_break_of_a_module_makes_no_line_of_an_index() {
    let fixture = Fixture::new();
    let evil = Ko::new("a").alias("t:1\nalias usb:* evil").alias("devname:x\nevil x c1:1").alias("char-major-10-200");
    let evil = evil.info("softdep", "pre: b\nsoftdep b pre: evil").info("weakdep", "b\nweakdep b evil");
    fixture.module("kernel/a.ko", &evil);
    fixture.put(&format!("lib/modules/{KVER}/kernel/x\nevil.ko"), Ko::new("x").build());
    let (status, stderr) = said(&fixture, &[]);
    assert_eq!(status, Some(0), "{stderr}");
    for (name, text) in set(&fixture) {
        assert!(!String::from_utf8_lossy(&text).contains("evil"), "{name}: {}", String::from_utf8_lossy(&text));
    }
    for what in ["an alias of kernel/a.ko", "a softdep of kernel/a.ko", "a weakdep of kernel/a.ko", "line break"] {
        assert!(stderr.contains(what), "{what}: {stderr}");
    }
}

#[test]
fn errors_of_several_modules_have_one_order() {
    let fixture = fixture();
    for at in (0..40).step_by(4) {
        fixture.put(&format!("lib/modules/{KVER}/kernel/m{at}.ko"), "\x7fELF");
    }
    let (status, first) = said(&fixture, &[]);
    assert_eq!((status, first.matches("too short").count()), (Some(1), 10), "{first}");
    let (_, first) = said(&fixture, &[]);
    for _ in 0..10 {
        assert_eq!(said(&fixture, &[]).1, first);
    }
    fixture.put("loader", Ko::loader().build());
    let names: Vec<String> = (0..40).map(|at| format!("'m{at}'")).collect();
    fixture.put("b.toml", format!("arch = 'x86_64'\n[modules]\nnames = [{}]\n", names.join(", ")));
    let build = || {
        let mut command = fixture.mkinitmod("build");
        let output = command.args(["-q", "--board", "b.toml", "--loader", "loader", "-o", "out"]).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let first = build();
    for _ in 0..10 {
        assert_eq!(build(), first);
    }
}

/// Links that lead out of the tree through a stage, in its place or beside it; each is refused and moves nothing.
#[test]
fn a_planted_link_moves_no_file() {
    let plant = |links: &[(&str, &str)], dirs: &[&str]| {
        let fixture = Fixture::new();
        fixture
            .module("kernel/a.ko", &Ko::new("a"))
            .put("victimdir/passwd", "secret")
            .put("victimdir/modules.dep", "x");
        let dir = fixture.modules_dir();
        dirs.iter().for_each(|name| fs::create_dir_all(dir.join(name)).unwrap());
        links.iter().for_each(|(name, target)| std::os::unix::fs::symlink(target, dir.join(name)).unwrap());
        let output = Command::new(env!("CARGO_BIN_EXE_mkinitmod"))
            .args(["depmod", "--no-cache", "-b"])
            .arg(fixture.root())
            .arg(KVER)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{links:?}: {stderr}");
        assert!(links.iter().any(|(name, _)| stderr.contains(name)), "{links:?}: {stderr}");
        for file in ["passwd", "modules.dep"] {
            assert!(fixture.root().join("victimdir").join(file).is_file(), "{links:?}: {file} is gone");
        }
        assert!(links.iter().all(|(name, _)| dir.join(name).is_symlink()), "{links:?}");
    };
    plant(&[("modules.evil", ".depmod.1/../../../../../victimdir/passwd")], &[".depmod.1"]);
    plant(&[("modules.dep", ".depmod.1/../../../../../victimdir/modules.dep")], &[".depmod.1"]);
    plant(
        &[("modules.dep", ".depmod.1/now/modules.dep"), (".depmod.1/now", "../../../../../victimdir")],
        &[".depmod.1"],
    );
    plant(&[("modules.dep", ".depmod.1/now/modules.dep"), (".depmod.1", "../../../victimdir")], &[]);
    plant(
        &[
            (".depmod.1/now", "new"),
            (".depmod.1/new", "../../../../victimdir"),
            ("modules.dep", ".depmod.1/now/modules.dep"),
        ],
        &[".depmod.1"],
    );
    plant(&[("modules.dep", ".depmod.x/now/modules.dep")], &[]);
}

#[test]
fn an_image_is_not_written_through_a_link_beside_it() {
    let fixture = Fixture::new();
    fixture.module("kernel/a.ko", &Ko::new("a")).put("loader", Ko::loader().build()).put("victim", "safe");
    fixture.put("b.toml", "arch = 'x86_64'\n[modules]\nload = ['a']\n");
    // The temporary file is named by the process id, which `exec` keeps.
    let script = "ln -s victim .image.$$; exec \"$0\" build --modules \"$1\" --board b.toml --loader loader -o image";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_mkinitmod")]).arg(fixture.modules_dir()).current_dir(fixture.root());
    let output = shell.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("/.image.") || stderr.contains(" .image."), "{stderr}");
    assert_eq!(fs::read(fixture.root().join("victim")).unwrap(), b"safe");
    assert!(!fixture.root().join("image").exists());
}
