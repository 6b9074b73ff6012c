// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel that loads modules on paper: runs a program in a fixture root, answers its uname, init_module,
//! finit_module and delete_module, keeps /sys/module of the root up to date, and records what was asked, in order.
//!
//! Refused as the kernel refuses: what is no module, is loaded already, needs a module that is not loaded, or is
//! compressed otherwise than /sys/module/compression says. Vermagic and signatures are not looked at.

use crate::support::fixture::KVER;
use crate::support::trap::{self, Call, Trap};
use initmod::host::codec::{Format, decompress};
use object::{Object, ObjectSection, SectionFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const COMPRESSED_FILE: u64 = 4; // MODULE_INIT_COMPRESSED_FILE
const LIMIT: Duration = Duration::from_secs(30);

/// Interval between two looks whether a program has ended that left a module behind.
const TICK: Duration = Duration::from_millis(100);

/// How a program ended, and what it asked of the kernel.
pub struct Outcome {
    /// Exit status; minus the signal where it was killed.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    /// Module system calls, in order.
    pub trace: Vec<Asked>,
}

/// One module system call and its answer.
#[derive(Debug)]
pub struct Asked {
    call: &'static str,
    /// The file's path in the root, or the module's name.
    what: String,
    params: String,
    flags: u64,
    answer: Result<(), i32>,
}

/// How many blanks stand between parameters is left out: the kernel skips them.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params = self.params.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "{} {} [{params}] flags={}", self.call, self.what, self.flags)?;
        match self.answer {
            Ok(()) => Ok(()),
            Err(errno) => write!(f, " -> {}", io::Error::from_raw_os_error(errno)),
        }
    }
}

/// What the kernel reads of a module.
struct Image {
    name: String,
    depends: Vec<String>,
    /// What is not there for it to look at.
    overlooks: String,
}

/// What a kernel makes trouble with.
#[derive(Default)]
pub struct Troubles {
    /// Errno by modname, for modules whose init fails.
    pub failing: BTreeMap<String, i32>,
    /// How often a module, by modname, is said to be in use when it is to go.
    pub busy: BTreeMap<String, u32>,
    /// It is older than Linux 3.8.
    pub no_finit: bool,
    /// Modules, by modname, whose init does not end.
    pub hanging: BTreeSet<String>,
    /// A file that is cut short as it is mapped, by the end of its path.
    pub cut: Option<&'static str>,
}

/// The kernel's side.
struct Kernel<'a> {
    root: &'a Path,
    troubles: &'a Troubles,
    /// How often each module was said to be in use.
    told_busy: BTreeMap<String, u32>,
    trace: Vec<Asked>,
    /// Calls of modules whose init does not end.
    hung: Vec<Call>,
}

/// Runs `argv` in `root`, its first words `NAME=VALUE` as environment; the program's file is `exe`, a path in it.
pub fn run(root: &Path, exe: &str, argv: &[&str], troubles: &Troubles) -> Outcome {
    let mut command = Command::new(exe);
    let (variables, argv) = argv.split_at(argv.iter().take_while(|word| word.contains('=')).count());
    command.arg0(argv[0]).args(&argv[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs(variables.iter().filter_map(|variable| variable.split_once('=')));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut calls = vec![libc::SYS_uname, libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module];
    if troubles.cut.is_some() {
        calls.extend([libc::SYS_mmap, libc::SYS_openat]);
    }
    let (child, trap) = trap::spawn(&mut command, root, &calls)
        .unwrap_or_else(|error| panic!("the fake kernel can't start {exe} in {}: {error}", root.display()));
    let pid = child.id() as i32;
    let mut kernel = Kernel { root, troubles, told_busy: BTreeMap::new(), trace: Vec::new(), hung: Vec::new() };
    let output = std::thread::scope(|scope| {
        let output = scope.spawn(|| child.wait_with_output());
        kernel.serve(&trap, Instant::now() + LIMIT, pid);
        // A program that makes no more calls may still write; one that hangs is ended.
        let end = Instant::now() + LIMIT;
        while !output.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        if !output.is_finished() {
            let pid = rustix::process::Pid::from_raw(pid).expect("a child has a pid");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        output.join().expect("waiting does not panic").expect("a child can be waited for")
    });
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Outcome {
        status: output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(0)),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
        trace: kernel.trace,
    }
}

/// Whether a child has ended; it is still to be waited for.
fn has_ended(pid: i32) -> bool {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let pid = Pid::from_raw(pid).expect("a child has a pid");
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
}

impl Kernel<'_> {
    fn serve(&mut self, trap: &Trap, deadline: Instant, pid: i32) {
        loop {
            let tick = if self.hung.is_empty() { deadline } else { deadline.min(Instant::now() + TICK) };
            let Some(call) = trap.next(tick) else {
                if tick == deadline || has_ended(pid) {
                    break;
                }
                continue;
            };
            let answer = match call.number {
                libc::SYS_uname => uname(&call).map_err(|error| error.raw_os_error().unwrap_or(libc::EFAULT)),
                libc::SYS_mmap | libc::SYS_openat => {
                    self.cut(&call).expect("a file can be cut");
                    trap.allow(&call);
                    continue;
                }
                number => {
                    let asked = match number {
                        libc::SYS_finit_module => self.finit_module(&call),
                        libc::SYS_init_module => self.init_module(&call),
                        _ => self.delete_module(&call),
                    };
                    let asked = asked.unwrap_or_else(|error| Asked::bad(number, &error));
                    let answer = asked.answer;
                    let is_hung = self.troubles.hanging.iter().any(|name| asked.what.ends_with(&format!("/{name}.ko")));
                    self.trace.push(asked);
                    if is_hung {
                        self.hung.push(call);
                        continue; // the caller waits until it is killed
                    }
                    answer
                }
            };
            trap.answer(&call, answer);
        }
        // What the program left behind ends, too.
        for call in &self.hung {
            trap.answer(call, Err(libc::EINTR));
        }
    }

    /// Cuts the file short that is about to be mapped, if it is the one. Shows the caller its own maps, as its root has no
    /// /proc.
    fn cut(&self, call: &Call) -> io::Result<()> {
        let [_, path, _, _, fd, _] = call.args;
        if call.number == libc::SYS_openat {
            if call.read_str(path)? == "/proc/self/maps" {
                fs::create_dir_all(self.root.join("proc/self"))?;
                fs::copy(format!("/proc/{}/maps", call.pid), self.root.join("proc/self/maps"))?;
            }
        } else if let Ok((path, _)) = call.file(fd)
            && self.troubles.cut.is_some_and(|end| path.display().to_string().ends_with(end))
        {
            fs::File::create(path)?;
        }
        Ok(())
    }

    fn finit_module(&self, call: &Call) -> io::Result<Asked> {
        let [fd, params, flags, ..] = call.args;
        let (path, bytes) = call.file(fd)?;
        let params = call.read_str(params)?;
        if self.troubles.no_finit {
            return Ok(Asked {
                call: "finit_module",
                what: "?".into(),
                params: String::new(),
                flags,
                answer: Err(libc::ENOSYS),
            });
        }
        let answer = if flags & COMPRESSED_FILE != 0 { self.unpack(&bytes) } else { Ok(bytes) };
        let answer = answer.and_then(|bytes| self.load(&bytes));
        let what = path.strip_prefix(self.root).unwrap_or(&path).display().to_string();
        Ok(Asked { call: "finit_module", what, params, flags, answer })
    }

    fn init_module(&self, call: &Call) -> io::Result<Asked> {
        let [address, len, params, ..] = call.args;
        let bytes = call.read(address, len as usize)?;
        let what = Image::parse(&bytes).map_or_else(|| "?".into(), |image| image.name + &image.overlooks);
        Ok(Asked { call: "init_module", what, params: call.read_str(params)?, flags: 0, answer: self.load(&bytes) })
    }

    fn delete_module(&mut self, call: &Call) -> io::Result<Asked> {
        let [name, flags, ..] = call.args;
        let what = call.read_str(name)?;
        let told = self.told_busy.entry(what.clone()).or_default();
        let answer = if *told < self.troubles.busy.get(&what).copied().unwrap_or(0) {
            *told += 1;
            Err(libc::EWOULDBLOCK)
        } else {
            self.unload(&what)
        };
        Ok(Asked { call: "delete_module", what, params: String::new(), flags, answer })
    }

    /// Source: the kernel's kernel/module/decompress.c: one algorithm is built in.
    fn unpack(&self, bytes: &[u8]) -> Result<Vec<u8>, i32> {
        let algorithm = fs::read_to_string(self.root.join("sys/module/compression")).map_err(|_| libc::EOPNOTSUPP)?;
        let format = match algorithm.trim() {
            "gzip" => Format::Gz,
            "xz" => Format::Xz,
            "zstd" => Format::Zst,
            _ => return Err(libc::EOPNOTSUPP),
        };
        if Format::of(bytes) != format {
            return Err(libc::EINVAL);
        }
        decompress(bytes).map_err(|_| libc::EINVAL)
    }

    fn load(&self, bytes: &[u8]) -> Result<(), i32> {
        let image = Image::parse(bytes).ok_or(libc::ENOEXEC)?;
        let dir = self.module_dir(&image.name);
        if dir.join("initstate").exists() {
            return Err(libc::EEXIST);
        }
        if image.depends.iter().any(|dep| !self.module_dir(dep).exists()) {
            return Err(libc::ENOENT);
        }
        if let Some(errno) = self.troubles.failing.get(&image.name) {
            return Err(*errno);
        }
        for dep in &image.depends {
            let dir = self.module_dir(dep);
            put(&dir.join("holders").join(&image.name), "");
            put(&dir.join("refcnt"), &format!("{}\n", refcnt(&dir) + 1));
        }
        put(&dir.join("initstate"), "live\n");
        put(&dir.join("refcnt"), "0\n");
        fs::create_dir_all(dir.join("holders")).expect("the root can be written");
        Ok(())
    }

    fn unload(&self, name: &str) -> Result<(), i32> {
        let dir = self.module_dir(name);
        if name.is_empty() || name.contains('/') || !dir.exists() {
            return Err(libc::ENOENT);
        }
        if refcnt(&dir) > 0 {
            return Err(libc::EWOULDBLOCK);
        }
        fs::remove_dir_all(&dir).expect("the root can be written");
        for other in fs::read_dir(self.root.join("sys/module")).into_iter().flatten().flatten() {
            if fs::remove_file(other.path().join("holders").join(name)).is_ok() {
                put(&other.path().join("refcnt"), &format!("{}\n", refcnt(&other.path()).saturating_sub(1)));
            }
        }
        Ok(())
    }

    fn module_dir(&self, name: &str) -> PathBuf {
        self.root.join("sys/module").join(name)
    }
}

impl Asked {
    /// Records a call whose arguments can't be read.
    fn bad(number: libc::c_long, error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(libc::EFAULT);
        Asked { call: "bad call", what: number.to_string(), params: String::new(), flags: 0, answer: Err(errno) }
    }
}

impl Image {
    fn parse(bytes: &[u8]) -> Option<Image> {
        let elf = object::File::parse(bytes).ok()?;
        let this_module = elf.section_by_name(".gnu.linkonce.this_module")?.data().ok()?;
        let name = this_module.get(if elf.is_64() { 24 } else { 12 }..)?.split(|&byte| byte == 0).next()?;
        let info = elf.section_by_name(".modinfo")?.data().ok()?;
        let depends =
            info.split(|&byte| byte == 0).find_map(|entry| entry.strip_prefix(b"depends=")).unwrap_or_default();
        let modname = |bytes| String::from_utf8_lossy(bytes).replace('-', "_");
        let depends = depends.split(|&byte| byte == b',').filter(|name| !name.is_empty()).map(modname).collect();
        let has_vermagic = info.split(|&byte| byte == 0).any(|entry| entry.starts_with(b"vermagic="));
        let is_there = |section: object::Section<'_, '_>| match section.flags() {
            SectionFlags::Elf { sh_flags, .. } => sh_flags.contains(object::elf::SHF_ALLOC),
            _ => false,
        };
        let has_versions = elf.section_by_name("__versions").is_some_and(is_there);
        let overlooks = [(has_vermagic, " without vermagic"), (has_versions, " without versions")];
        let overlooks = overlooks.iter().filter(|(has, _)| !has).map(|(_, what)| *what).collect();
        Some(Image { name: modname(name), depends, overlooks })
    }
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a file has a directory")).expect("the root can be written");
    fs::write(path, text).expect("the root can be written");
}

fn refcnt(dir: &Path) -> u32 {
    fs::read_to_string(dir.join("refcnt")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Fills a `struct utsname`: six fields of 65 bytes.
fn uname(call: &Call) -> io::Result<()> {
    let machine = std::env::consts::ARCH;
    let fields = ["Linux", "fixture", KVER, "#1 SMP", machine, "(none)"];
    let fields = fields.map(|field| [field.as_bytes(), &vec![0; 65 - field.len()]].concat());
    call.write(call.args[0], &fields.concat())
}

#[test]
fn a_program_sees_the_fake_kernel() {
    let fixture = crate::support::fixture::Fixture::new();
    fixture.program(Path::new("/bin/uname"), "bin/uname");
    let outcome = run(fixture.root(), "/bin/uname", &["uname", "-nr"], &Troubles::default());
    let said = (outcome.status, outcome.stdout.as_str(), outcome.stderr.as_str());
    assert_eq!(said, (0, &*format!("fixture {KVER}\n"), ""));
    assert!(outcome.trace.is_empty(), "{:?}", outcome.trace);
}
