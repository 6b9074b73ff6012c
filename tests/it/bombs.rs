// SPDX-License-Identifier: MIT OR Apache-2.0
//! Small inputs that unpack to more than the memory: each is an error that names its limit, and takes little memory.

use crate::support::fixture::{Fixture, KVER};
use crate::support::mkko::Ko;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Length of what the bomb unpacks to, bytes: more than the limit of each kind of input.
const UNPACKED_LEN: u64 = 520 << 20;

fn bomb() -> &'static [u8] {
    static BOMB: OnceLock<Vec<u8>> = OnceLock::new();
    BOMB.get_or_init(|| zstd::stream::encode_all(std::io::repeat(0).take(UNPACKED_LEN), 1).unwrap())
}

/// Runs a command. Returns its exit status, stderr, and peak of resident memory, MiB, as last seen before its end. The peak
/// of wait4(2) is not used: it counts the memory of this process, which the child shares until it runs its program.
fn run(command: &mut Command) -> (i32, String, u64) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut peak_kib = 0;
    let status = loop {
        let text = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak_kib = peak.unwrap_or(peak_kib); // none once it has ended
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(peak_kib > 0, "its memory was never seen");
    (status.code().unwrap(), stderr, peak_kib >> 10)
}

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.module("kernel/a.ko", &Ko::new("a"));
    fixture.put("loader", Ko::loader().build()).put("bomb", bomb());
    fixture.put("b.toml", "arch = 'x86_64'\n[modules]\nload = ['a']\n");
    fixture
}

#[test]
fn a_bomb_as_kernel_or_image_is_an_error_within_its_limit() {
    let fixture = fixture();
    for (option, limit, peak_max) in [("--kernel", "more than 256 MiB", 64), ("--append", "more than 512 MiB", 64)] {
        let mut command = fixture.mkinitmod("build");
        command.args(["-q", "--board", "b.toml", "--loader", "loader", "-o", "out", option, "bomb"]);
        let (status, stderr, peak) = run(&mut command);
        assert!(status == 1 && stderr.contains("bomb: ") && stderr.contains(limit), "{option}: {status} {stderr}");
        assert!(stderr.contains("--unpacked-max"), "{option}: {stderr}");
        assert!(peak < peak_max, "{option}: {peak} MiB");
    }
}

#[test]
fn an_image_that_is_appended_to_takes_no_memory_for_what_it_unpacks_to() {
    let fixture = fixture();
    let mut writer = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    let entry = cpio::newc::Builder::new("large").mode(0o100_644);
    let mut entry = entry.write(&mut writer, 400 << 20);
    std::io::copy(&mut std::io::repeat(0).take(400 << 20), &mut entry).unwrap();
    entry.finish().unwrap();
    let base = cpio::newc::trailer(writer).unwrap().finish().unwrap();
    fixture.put("base", base);
    let mut command = fixture.mkinitmod("build");
    // The encoder of zst alone takes more than what is looked for.
    command.args([
        "-q",
        "--board",
        "b.toml",
        "--loader",
        "loader",
        "--compress",
        "none",
        "-o",
        "out",
        "--append",
        "base",
    ]);
    let (status, stderr, peak) = run(&mut command);
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(peak < 64, "{peak} MiB");
}

#[test]
fn a_bomb_as_module_is_an_error_within_its_limit() {
    let fixture = fixture();
    fixture.put(&format!("lib/modules/{KVER}/kernel/b.ko.zst"), bomb());
    let depmod = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mkinitmod"));
        command.arg("depmod").arg("-b").arg(fixture.root()).args(["--no-cache", "-C", "/nonexistent", KVER]).args(args);
        run(&mut command)
    };
    let (status, stderr, peak) = depmod(&[]);
    assert!(status == 1 && stderr.contains("b.ko.zst: zstd: unpacks to more than 128 MiB"), "{status} {stderr}");
    assert!(peak < 200, "{peak} MiB");
    let (_, stderr, peak) = depmod(&["--unpacked-max", "16"]);
    assert!(stderr.contains("more than 16 MiB") && peak < 64, "{peak} MiB, {stderr}");
}
