// SPDX-License-Identifier: MIT OR Apache-2.0
//! `own-time ROOT RUNS COMMAND...`: runs a command RUNS times with ROOT as its root directory, where each module that it hands to
//! the kernel is loaded at once: a filter answers the system call with success. Prints, in microseconds a run, the processor's
//! time outside the kernel, as it samples that, and the least time from fork to exit, other system calls and all.
//!
//! `tests/bench/run` calls it; it wants to be root, or in a user namespace.
#![allow(unsafe_code, reason = "what a child does between fork and exec, and seccomp, have no safe interface")]

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{env, io};

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let [root, runs, exe, argv @ ..] = &args[..] else { panic!("own-time ROOT RUNS COMMAND...") };
    let runs: u32 = runs.parse().expect("RUNS is a number");
    let mut least_us = u128::MAX;
    for _ in 0..runs {
        let mut command = Command::new(exe);
        command.args(argv).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
        let root = root.clone();
        // SAFETY: the closure makes system calls on what it owns; this process has one thread.
        unsafe { command.pre_exec(move || enter(&root)) };
        let start = Instant::now();
        let status = command.status().unwrap_or_else(|error| panic!("{exe}: {error}"));
        let took_us = start.elapsed().as_micros();
        assert!(status.success(), "{exe}: {status}");
        least_us = least_us.min(took_us);
    }
    // SAFETY: zeros are a valid rusage, which the kernel fills in.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the struct lives on.
    let answer = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    assert_eq!(answer, 0, "{}", io::Error::last_os_error());
    let own_us = usage.ru_utime.tv_sec * 1_000_000 + usage.ru_utime.tv_usec;
    println!("{} {least_us}", own_us / i64::from(runs));
}

/// Takes the root, and has the kernel answer `init_module` and `finit_module` with success.
fn enter(root: &str) -> io::Result<()> {
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const JUMP_IF: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    std::os::unix::fs::chroot(root)?;
    env::set_current_dir("/")?;
    rustix::thread::set_no_new_privs(true)?;
    let op = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    let program = [
        op(LOAD, 0, 0), // the call's number, first of struct seccomp_data
        op(JUMP_IF, 2, libc::SYS_finit_module as u32),
        op(JUMP_IF, 1, libc::SYS_init_module as u32),
        op(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        op(RETURN, 0, libc::SECCOMP_RET_ERRNO), // with errno 0
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: the program lives until the call returns; the kernel only reads it.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
