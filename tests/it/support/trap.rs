// SPDX-License-Identifier: MIT OR Apache-2.0
//! Starts a program in a root of its own and catches some of its system calls, which the caller then answers in the
//! kernel's place: seccomp user notification (Linux 5.0), so it works with static binaries and without being root.
#![allow(unsafe_code, reason = "what a child does between fork and exec, and seccomp, have no safe interface")]

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xC000_00B7;

/// A caught system call.
pub struct Call {
    id: u64,
    /// Who called: a process or thread.
    pub pid: u32,
    /// SYS_*
    pub number: libc::c_long,
    /// Its arguments.
    pub args: [u64; 6],
}

/// The receiving end of a trap.
pub struct Trap(OwnedFd);

/// Starts `command` with `root` as its root and calls to `numbers` caught.
///
/// # Errors
/// Where the program can't be started; where this system has no such traps, the message says so.
pub fn spawn(command: &mut Command, root: &Path, numbers: &[libc::c_long]) -> io::Result<(Child, Trap)> {
    available()?;
    let (ours, theirs) = UnixStream::pair()?;
    let filter = filter(numbers);
    let root = root.to_owned();
    let theirs_in_child = theirs.try_clone()?;
    // SAFETY: the closure makes system calls on what it owns; it takes no lock that another thread may hold.
    unsafe { command.pre_exec(move || enter(&root, &filter, &theirs_in_child)) };
    let child = command.spawn()?;
    Ok((child, Trap(receive_fd(&ours)?)))
}

/// Says whether this system can catch calls.
fn available() -> io::Result<()> {
    let action = libc::SECCOMP_RET_USER_NOTIF;
    // SAFETY: the call reads one u32, which lives on.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
    let why = io::Error::last_os_error();
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::other(format!("no seccomp user notification here (Linux 5.0): {why}")))
    }
}

/// Between fork and exec: takes the root, sets the trap, hands its other end to the parent.
fn enter(root: &Path, filter: &[libc::sock_filter], parent: &UnixStream) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        enter_user_namespace()?;
    }
    std::os::unix::fs::chroot(root)?;
    std::env::set_current_dir("/")?;
    rustix::thread::set_no_new_privs(true)?;
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    // SAFETY: the program lives until the call returns; the kernel only reads it.
    let fd = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us alone.
    let listener = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let fds = [listener.as_fd()];
    let mut message = SendAncillaryBuffer::new(&mut space);
    message.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(parent, &[IoSlice::new(b"x")], &mut message, SendFlags::empty())?;
    Ok(())
}

/// Lets an ordinary user have a root directory of his own.
fn enter_user_namespace() -> io::Result<()> {
    let map = format!("0 {} 1", rustix::process::geteuid().as_raw());
    let group_map = format!("0 {} 1", rustix::process::getegid().as_raw());
    // SAFETY: takes no memory of ours; this process has one thread.
    if unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
        return Err(io::Error::last_os_error());
    }
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", map)?;
    std::fs::write("/proc/self/gid_map", group_map)
}

/// The trap as a program of classic BPF on `struct seccomp_data`.
fn filter(numbers: &[libc::c_long]) -> Vec<libc::sock_filter> {
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const JUMP_IF: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let op = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    let allow = op(RETURN, 0, 0x7fff_0000);
    let mut program = vec![op(LOAD, 0, 4), op(JUMP_IF, 1, AUDIT_ARCH), allow, op(LOAD, 0, 0)];
    // Each jumps over those behind it and over `allow`.
    let over = (1..=numbers.len() as u8).rev();
    program.extend(numbers.iter().zip(over).map(|(number, over)| op(JUMP_IF, over, *number as u32)));
    program.extend([allow, op(RETURN, 0, libc::SECCOMP_RET_USER_NOTIF)]);
    program
}

fn receive_fd(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    recvmsg(socket, &mut [IoSliceMut::new(&mut [0])], &mut message, RecvFlags::empty())?;
    let fds = message.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    fds.flatten().next().ok_or(io::Error::other("the child sent no descriptor"))
}

impl Trap {
    /// Waits for a call; `None` when nobody is left who could make one, or at `deadline`.
    pub fn next(&self, deadline: Instant) -> Option<Call> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
            let ready =
                poll(&mut fds, Some(&Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }))
                    .ok()?;
            if ready == 0 || !fds[0].revents().contains(PollFlags::IN) {
                return None;
            }
            // SAFETY: all zeros is a valid seccomp_notif, and what the kernel wants to be given.
            let mut notice: libc::seccomp_notif = unsafe { std::mem::zeroed() };
            // SAFETY: the kernel fills one seccomp_notif, and the descriptor is a listener.
            let got = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notice) };
            if got == 0 {
                let data = notice.data;
                return Some(Call { id: notice.id, pid: notice.pid, number: data.nr.into(), args: data.args });
            } // else the caller was killed meanwhile
        }
    }

    /// Lets `call` return 0, or fail with an errno.
    pub fn answer(&self, call: &Call, outcome: Result<(), i32>) {
        self.respond(call, outcome.map_or_else(|errno| -errno, |()| 0), 0);
    }

    /// Lets the kernel do what `call` asks.
    pub fn allow(&self, call: &Call) {
        self.respond(call, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32);
    }

    fn respond(&self, call: &Call, error: i32, flags: u32) {
        let mut answer = libc::seccomp_notif_resp { id: call.id, val: 0, error, flags };
        // SAFETY: the kernel reads one seccomp_notif_resp. A caller that was killed meanwhile needs no answer.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
    }
}

impl Call {
    fn mem(&self) -> io::Result<File> {
        File::options().read(true).write(true).open(format!("/proc/{}/mem", self.pid))
    }

    /// Reads the caller's memory.
    pub fn read(&self, address: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.mem()?.read_exact_at(&mut bytes, address)?;
        Ok(bytes)
    }

    /// Reads a string up to its NUL, a byte at a time: it may end where the mapping does.
    pub fn read_str(&self, address: u64) -> io::Result<String> {
        let mem = self.mem()?;
        let mut text = Vec::new();
        let mut byte = [0];
        loop {
            mem.read_exact_at(&mut byte, address + text.len() as u64)?;
            match byte {
                [0] => return Ok(String::from_utf8_lossy(&text).into_owned()),
                [byte] => text.push(byte),
            }
        }
    }

    /// Writes to the caller's memory.
    pub fn write(&self, address: u64, bytes: &[u8]) -> io::Result<()> {
        self.mem()?.write_all_at(bytes, address)
    }

    /// Returns the path of one of the caller's descriptors in our root, and what the file holds.
    pub fn file(&self, fd: u64) -> io::Result<(PathBuf, Vec<u8>)> {
        let link = format!("/proc/{}/fd/{}", self.pid, fd as u32);
        Ok((std::fs::read_link(&link)?, std::fs::read(&link)?))
    }
}
