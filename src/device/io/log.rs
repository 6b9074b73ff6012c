// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loader's messages: whole lines, to the kernel's log as PID 1, to stderr as a command.
//!
//! Lines are put together from byte strings, without `core::fmt`, which costs 10 kB.

pub(crate) use crate::bytes::Decimal;
use crate::bytes::{split, split_once};
use crate::loading::kernel::{Errno, Outcome, Refusal};
use crate::modules::name::stem;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use rustix::fd::{BorrowedFd, IntoRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags, open};

/// The priority of a line. Source: syslog(2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Error,
    Notice,
    #[cfg(feature = "boot")]
    Debug,
}

/// Longest line, bytes. Source: the kernel's LOG_LINE_MAX.
const LINE_LEN: usize = 976;

/// The file descriptor of /dev/kmsg, its bits turned over, so that no static has to be set at the start: 0 is none.
static KMSG: AtomicI32 = AtomicI32::new(0);

/// Program names in front of lines; [`NAME`] is the index of the current one.
const NAMES: &[&[u8]] = &[
    b"initmod",
    b"modprobe",
    #[cfg(feature = "tools")]
    b"insmod",
    #[cfg(feature = "tools")]
    b"rmmod",
    #[cfg(feature = "tools")]
    b"lsmod",
    #[cfg(feature = "modinfo")]
    b"modinfo",
    #[cfg(feature = "modinfo")]
    b"kmod",
];
static NAME: AtomicUsize = AtomicUsize::new(0);

/// Whether something that every command needs was reported as damaged.
pub(crate) static FAILED: AtomicBool = AtomicBool::new(false);

/// Whether lines are suppressed.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Puts the name of a command in front of lines from now on.
pub(crate) fn speak_as(name: &[u8]) {
    NAME.store(NAMES.iter().position(|known| *known == name).unwrap_or(0), Ordering::Relaxed);
}

/// Suppresses all lines from now on.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Suppresses no lines from now on.
#[cfg(any(feature = "tools", feature = "boot"))]
pub(crate) fn speak_up() {
    QUIET.store(false, Ordering::Relaxed);
}

/// Lifts the limit that the kernel's log sets to chatty programs.
pub(crate) fn lift_limit() {
    if let Ok(limit) = open(c"/proc/sys/kernel/printk_devkmsg", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        // Fails where printk.devkmsg= on the command line has decided it.
        let _ = rustix::io::write(&limit, b"on\n");
    }
}

/// Lets lines go to syslog from now on, or to the kernel's log where there is none. Source: syslog(3).
#[cfg(any(feature = "tools", feature = "boot"))]
pub(crate) fn to_syslog() {
    #[cfg(feature = "boot")]
    if let Ok(log) = syslog() {
        KMSG.store(!OwnedFd::into_raw_fd(log), Ordering::Relaxed);
        return;
    }
    to_kmsg();
}

#[cfg(feature = "boot")]
fn syslog() -> Result<OwnedFd, rustix::io::Errno> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &SocketAddrUnix::new(c"/dev/log")?)?;
    Ok(socket)
}

/// Lets lines go to the kernel's log from now on.
pub(crate) fn to_kmsg() {
    if let Ok(kmsg) = open(c"/dev/kmsg", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        KMSG.store(!OwnedFd::into_raw_fd(kmsg), Ordering::Relaxed);
    }
}

/// Writes one line with the program's name in front; each `%` of the template stands for the next of `args`.
pub(crate) fn line(level: Level, template: &'static str, args: &[&[u8]]) {
    graded(level, b"", template, args);
}

/// Like [`line`], with a grade such as `ERROR: ` in front of the template.
pub(crate) fn graded(level: Level, grade: &[u8], template: &'static str, args: &[&[u8]]) {
    if QUIET.load(Ordering::Relaxed) {
        return;
    }
    let name = NAMES.get(NAME.load(Ordering::Relaxed)).copied().unwrap_or_default();
    let mut line = heapless::Vec::<u8, LINE_LEN>::new();
    let kmsg = !KMSG.load(Ordering::Relaxed);
    let head: &[u8] = match level {
        #[cfg(feature = "boot")]
        Level::Debug if kmsg < 0 => return,
        _ if kmsg < 0 => b"",
        // With syslog's facility of daemons, which the kernel takes too.
        Level::Error => b"<27>",
        Level::Notice => b"<29>",
        #[cfg(feature = "boot")]
        Level::Debug => b"<31>",
    };
    // A long line is cut: its beginning matters most.
    let mut add = |part: &[u8]| {
        let left_len = LINE_LEN.saturating_sub(1).saturating_sub(line.len());
        let _ = line.extend_from_slice(part.get(..left_len).unwrap_or(part));
    };
    [head, name, b": ", grade].iter().for_each(|part| add(part));
    fill(template, args, &mut add);
    let _ = line.push(b'\n');
    let fd = if kmsg < 0 { rustix::stdio::raw_stderr() } else { kmsg };
    write_all(fd, &line);
}

/// Calls `put` with the parts of `template`, in which each `%` stands for the next of `args`: smaller than a list of
/// parts wherever it is called.
pub(crate) fn fill(template: &'static str, args: &[&[u8]], put: &mut dyn FnMut(&[u8])) {
    let mut args = args.iter();
    let mut rest = template.as_bytes();
    while let Some((before, behind)) = split_once(rest, b'%') {
        put(before);
        args.next().into_iter().for_each(|arg| put(arg));
        rest = behind;
    }
    put(rest);
}

/// Writes to stdout or stderr as it is.
pub(crate) fn put(to_stderr: bool, text: &[u8]) {
    write_all(if to_stderr { rustix::stdio::raw_stderr() } else { rustix::stdio::raw_stdout() }, text);
}

#[allow(unsafe_code, reason = "the standard descriptors and the kernel log's have no owner")]
fn write_all(fd: i32, mut text: &[u8]) {
    // SAFETY: 0 to 2 and KMSG are never closed while the loader runs; a closed one gives EBADF, no harm
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    while !text.is_empty() {
        match rustix::io::write(fd, text) {
            Ok(len) => text = text.get(len..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return, // there is nowhere to report it
        }
    }
}

/// Returns the reason for a refusal, for a message.
pub(crate) fn refusal_prose(refusal: Refusal) -> &'static [u8] {
    match refusal {
        Refusal::File(Errno::ENOENT) => b"its file is missing from the tree",
        Refusal::Kernel(Errno::EPERM) => b"not permitted (by module_blacklist=, or loading is disabled)",
        Refusal::Kernel(Errno::ENOENT) => b"unknown symbol, or unknown parameter",
        Refusal::Kernel(Errno::ENOEXEC) => b"not a module for this kernel (another version or machine, or damaged)",
        Refusal::Kernel(Errno::EEXIST) => b"in the kernel already",
        Refusal::Kernel(Errno::ENODEV) => b"no such device: its hardware is not here",
        Refusal::Kernel(Errno::EINVAL) => b"invalid parameter, or damaged file",
        Refusal::File(errno) | Refusal::Kernel(errno) => errno_prose(errno),
        Refusal::Damaged => b"its compressed data is damaged",
        Refusal::NoDecoder => b"neither this kernel nor this build of the loader can decompress it",
        Refusal::NoMemory => b"not enough memory to decompress it",
        Refusal::Killed(_) => b"the process that loaded it was killed",
        Refusal::Late => b"given up: it did not end within initmod.timeout= (60 s by default)",
        Refusal::Command(_) => b"its install command failed",
    }
}

/// Returns the reason why a module is not loaded, in two parts; `None` if it is in the kernel.
pub(crate) fn outcome_prose(outcome: Outcome<'_>) -> Option<[&[u8]; 2]> {
    match outcome {
        Outcome::Loaded | Outcome::AlreadyIn => None,
        Outcome::Refused(refusal) => Some([refusal_prose(refusal), b""]),
        Outcome::Needs(dep) => Some([b"left out, it needs ", stem(dep)]),
        Outcome::Unfit(error) => Some([error.prose().as_bytes(), b""]),
    }
}

/// Returns the meaning of an errno, for a message.
pub(crate) fn errno_prose(errno: Errno) -> &'static [u8] {
    let mut lines = split(PROSE, b'\n');
    let prose = lines.find_map(|line| line.split_first().filter(|(number, _)| i32::from(**number) == errno.0));
    prose.map_or(b"refused by the kernel", |(_, prose)| prose)
}

/// The errnos of files, modules and mounts, with their meaning. The loader holds only [`PROSE`], made from it.
const ERRNOS: [(rustix::io::Errno, &str); 32] = [
    (rustix::io::Errno::PERM, "not permitted"),
    (rustix::io::Errno::NOENT, "not found"),
    (rustix::io::Errno::IO, "input/output error"),
    (rustix::io::Errno::NXIO, "not ready"),
    (rustix::io::Errno::NOEXEC, "not a program for this machine"),
    (rustix::io::Errno::AGAIN, "in use"),
    (rustix::io::Errno::NOMEM, "out of memory"),
    (rustix::io::Errno::ACCESS, "permission denied"),
    (rustix::io::Errno::BUSY, "busy"),
    (rustix::io::Errno::EXIST, "exists already"),
    (rustix::io::Errno::NODEV, "no such device"),
    (rustix::io::Errno::NOTDIR, "not a directory"),
    (rustix::io::Errno::ISDIR, "is a directory"),
    (rustix::io::Errno::INVAL, "invalid argument"),
    (rustix::io::Errno::FBIG, "too large"),
    (rustix::io::Errno::NOSPC, "no space left"),
    (rustix::io::Errno::SPIPE, "not a regular file"),
    (rustix::io::Errno::ROFS, "read-only file system"),
    (rustix::io::Errno::NAMETOOLONG, "path too long"),
    (rustix::io::Errno::LOOP, "too many symbolic links"),
    (rustix::io::Errno::BADMSG, "damaged file"),
    (rustix::io::Errno::OPNOTSUPP, "not supported here"),
    (rustix::io::Errno::NETUNREACH, "network unreachable"),
    (rustix::io::Errno::OVERFLOW, "over 16384 files, the limit"),
    (rustix::io::Errno::NOBUFS, "left out: modprobe.d has over 4 MiB, the limit"),
    (rustix::io::Errno::TIMEDOUT, "timed out"),
    (rustix::io::Errno::CONNREFUSED, "connection refused"),
    (rustix::io::Errno::HOSTUNREACH, "host unreachable"),
    (rustix::io::Errno::UCLEAN, "damaged file system"),
    (rustix::io::Errno::NOMEDIUM, "no medium in it"),
    (rustix::io::Errno::NOKEY, "its signing key is not known to this kernel"),
    (rustix::io::Errno::KEYREJECTED, "its signature was rejected"),
];

/// A line per error: its number as a byte, then the words. A slice of tuples would take 16 bytes more per error.
const PROSE: &[u8] = &PACKED;
const PACKED: [u8; packed(&mut [])] = {
    let mut bytes = [0; packed(&mut [])];
    packed(&mut bytes);
    bytes
};

/// Fills `out` with the lines of [`PROSE`], as far as it reaches, and returns how many bytes all of them take.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "runs in the compiler only")]
#[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "all these errnos are below 256")]
const fn packed(out: &mut [u8]) -> usize {
    let (mut len, mut entry) = (0, 0);
    while entry < ERRNOS.len() {
        let (errno, words) = &ERRNOS[entry];
        let mut at = 0;
        while at < words.len() + 2 {
            if len < out.len() {
                out[len] = match at {
                    0 => errno.raw_os_error() as u8,
                    _ if at <= words.len() => words.as_bytes()[at - 1],
                    _ => b'\n',
                };
            }
            (len, at) = (len + 1, at + 1);
        }
        entry += 1;
    }
    len
}

/// Ends the process after an internal error. A child is a failed module; PID 1 is a kernel panic that names the loader.
pub fn died() -> ! {
    line(Level::Error, "internal error, please report", &[]);
    crate::device::rt::exit(134)
}
