// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memory that one alias look-up takes, beside kmod 34's, on a whole stock tree; `make oracle` runs it. Time is in
//! tests/bench/run.

use crate::oracle::aliases::{modaliases, root};
use crate::support::trap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Most that a look-up may take, KiB resident.
const LIMIT_KIB: u32 = 400;

/// Runs one look-up and returns the most that was resident, KiB, as the kernel has it when the program ends.
fn resident_kib(root: &Path, exe: &str, modalias: &str) -> u32 {
    let mut command = Command::new(exe);
    std::os::unix::process::CommandExt::arg0(&mut command, "modprobe");
    command.args(["-S", crate::support::fixture::KVER, "-R", modalias]).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (mut child, trap) = trap::spawn(&mut command, root, &[libc::SYS_exit_group]).expect("the program runs");
    let call = trap.next(Instant::now() + Duration::from_secs(30)).expect("it ends");
    let status = fs::read_to_string(format!("/proc/{}/status", call.pid)).expect("it waits for us");
    child.kill().and_then(|()| child.wait()).expect("it can be killed");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells it");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
#[ignore = "downloads a kernel and wants kmod 34: make oracle"]
fn one_look_up_takes_little_memory() {
    let root = root("bookworm-amd64");
    let aliases = modaliases(&root, 40);
    let most =
        |exe| aliases.iter().map(|alias| resident_kib(root.root(), exe, alias)).max().expect("there are aliases");
    let (kmod, ours) = (most("/sbin/kmod"), most("/sbin/modprobe"));
    eprintln!("one look-up of {}: kmod {kmod} KiB, the loader {ours} KiB at most", aliases.len());
    assert!(ours <= LIMIT_KIB, "{ours} KiB are resident");
}
