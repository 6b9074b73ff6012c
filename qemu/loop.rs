// SPDX-License-Identifier: MIT OR Apache-2.0
//! What qemu/bench-boot measures the loader against, as the init of a machine that does nothing else. `bench=` on the
//! kernel command line says what is timed:
//!
//!   loop       a bare loop: open, finit_module, close, of the modules of /bench/order in its order
//!   lanes      the same by two threads, each of which takes the first module whose dependencies are done
//!   NAME,all   the command of /bench/NAME (a word a line), with all names of /bench/names
//!   NAME,each  the same, a process for each name
//!
//! A line of /bench/order: a module file's path, and the numbers, from 0, of the lines that have to be done before.
//! Output, on the console: `bench: HOW US microseconds, IN in`.
//!
//! Run as a command, in the place of a module's load, it tells what memory init and its children have: a line each,
//! `bench: memory PID PEAK_KB resident at most, PSS_KB with what is shared split, OWN_KB of no file`.

use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module, reboot};
use std::fs::{File, create_dir_all, read_to_string};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex};
use std::time::Instant;

/// `finit_module`: the file is compressed. Source: include/uapi/linux/module.h.
const MODULE_INIT_COMPRESSED_FILE: i32 = 4;

struct Module {
    path: String,
    after: Vec<usize>,
}

fn main() {
    if std::process::id() != 1 {
        return tell_memory();
    }
    for (fs_type, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        create_dir_all(place).expect("the initramfs can be written");
        mount(fs_type, place, fs_type, MountFlags::empty(), c"").expect("the kernel has proc, sysfs and devtmpfs");
    }
    let cmdline = read("/proc/cmdline");
    let how = cmdline.split_whitespace().find_map(|word| word.strip_prefix("bench=")).expect("bench= is given");
    let order: Vec<Module> = read("/bench/order").lines().map(Module::parse).collect();
    let names = read("/bench/names");
    let names: Vec<&str> = names.lines().collect();
    let before = count();
    let start = Instant::now();
    match how.split_once(',') {
        None if how == "loop" => order.iter().for_each(insert),
        None if how == "lanes" => lanes(&order),
        Some((name, "all")) => run(name, &names),
        Some((name, "each")) => names.iter().for_each(|one| run(name, &[one])),
        _ => panic!("bench={how} means nothing"),
    }
    let took = start.elapsed();
    let count = count() - before;
    let mut console = File::options().write(true).open("/dev/console").expect("devtmpfs has a console");
    writeln!(console, "bench: {how} {} microseconds, {count} in", took.as_micros()).expect("the console takes it");
    reboot(RebootCommand::PowerOff).expect("init may");
}

impl Module {
    fn parse(line: &str) -> Self {
        let mut words = line.split(' ');
        Module {
            path: words.next().expect("split yields one").into(),
            after: words.map(|word| word.parse().expect("a line's number")).collect(),
        }
    }
}

fn read(path: &str) -> String {
    read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// How many modules are in.
fn count() -> usize {
    read("/proc/modules").lines().count()
}

/// A refusal is the module's affair: some drivers look for their hardware when they are loaded.
fn insert(module: &Module) {
    let flags = if module.path.ends_with(".xz") { MODULE_INIT_COMPRESSED_FILE } else { 0 };
    let file = File::open(&module.path).unwrap_or_else(|error| panic!("{}: {error}", module.path));
    let _ = finit_module(file, c"", flags);
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Waiting,
    Running,
    Done,
}

fn lanes(order: &[Module]) {
    let states = Mutex::new(vec![State::Waiting; order.len()]);
    let change = Condvar::new();
    let lane = || {
        let mut held = states.lock().expect("no lane panics");
        loop {
            let is_ready = |at: &usize| {
                held[*at] == State::Waiting && order[*at].after.iter().all(|&before| held[before] == State::Done)
            };
            if let Some(at) = (0..order.len()).find(is_ready) {
                held[at] = State::Running;
                drop(held);
                insert(&order[at]);
                held = states.lock().expect("no lane panics");
                held[at] = State::Done;
                change.notify_all();
            } else if held.contains(&State::Waiting) {
                held = change.wait(held).expect("no lane panics");
            } else {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(lane);
        lane();
    });
}

fn run(name: &str, args: &[&str]) {
    let command = read(&format!("/bench/{name}"));
    let mut words = command.lines();
    let program = words.next().expect("a command has a word");
    let status = Command::new(program).args(words).args(args).stderr(Stdio::null()).status();
    status.unwrap_or_else(|error| panic!("{program}: {error}"));
}

fn tell_memory() {
    let mut log = File::options().write(true).open("/dev/kmsg").expect("the loader mounted devtmpfs");
    let children = read("/proc/1/task/1/children");
    for pid in ["1"].into_iter().chain(children.split_whitespace()) {
        let kb = |file: &str, key: &str| {
            let text = read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.trim_end_matches("kB").trim().to_owned()
        };
        let (peak_kb, [pss_kb, own_kb]) =
            (kb("status", "VmHWM:"), ["Pss:", "Anonymous:"].map(|key| kb("smaps_rollup", key)));
        // One write is one line.
        let line = format!(
            "bench: memory {pid} {peak_kb} resident at most, {pss_kb} with what is shared split, {own_kb} of no file\n"
        );
        log.write_all(line.as_bytes()).expect("the log takes it");
    }
}
