// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel behind a trait, its errors, and the outcome of loading one module.

use super::step::Step;
use crate::error::Error;

/// An error number of the kernel. The docs give its meaning for a module, a mount or a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// Not permitted. Module: it is in `module_blacklist=`, or loading is disabled.
    pub const EPERM: Errno = Errno(1);
    /// No such file. Module: it uses an unknown symbol.
    pub const ENOENT: Errno = Errno(2);
    /// A device or file that cannot be read.
    pub const EIO: Errno = Errno(5);
    /// Mount: the disk is not ready.
    pub const ENXIO: Errno = Errno(6);
    /// Module: not for this kernel.
    pub const ENOEXEC: Errno = Errno(8);
    /// In use for the moment.
    pub const EAGAIN: Errno = Errno(11);
    /// Module: already loaded.
    pub const EEXIST: Errno = Errno(17);
    /// Module: its hardware is missing. Mount: the file system is unknown.
    pub const ENODEV: Errno = Errno(19);
    /// File: no directory.
    pub const ENOTDIR: Errno = Errno(20);
    /// File: a directory.
    pub const EISDIR: Errno = Errno(21);
    /// Module: a parameter is invalid. Mount: the disk has another file system.
    pub const EINVAL: Errno = Errno(22);
    /// File: too large.
    pub const EFBIG: Errno = Errno(27);
    /// File: neither a regular file nor a directory.
    pub const ESPIPE: Errno = Errno(29);
    /// Path: longer than a buffer or the kernel's limit.
    pub const ENAMETOOLONG: Errno = Errno(36);
    /// Directory: more files than a buffer can hold.
    pub const EOVERFLOW: Errno = Errno(75);
    /// File: does not fit in a buffer.
    pub const ENOBUFS: Errno = Errno(105);
    /// NFS: the network has no route.
    pub const ENETUNREACH: Errno = Errno(101);
    /// NFS: the server does not answer.
    pub const ETIMEDOUT: Errno = Errno(110);
    /// NFS: the server has no such service.
    pub const ECONNREFUSED: Errno = Errno(111);
    /// NFS: the server is not on the network.
    pub const EHOSTUNREACH: Errno = Errno(113);
    /// Disk: the drive is empty.
    pub const ENOMEDIUM: Errno = Errno(123);
    /// Module: signed with an unknown key.
    pub const ENOKEY: Errno = Errno(126);
    /// Module: signed with an expired key.
    pub const EKEYEXPIRED: Errno = Errno(127);
    /// Module: signed with a revoked key.
    pub const EKEYREVOKED: Errno = Errno(128);
    /// Module: its signature is rejected.
    pub const EKEYREJECTED: Errno = Errno(129);
}

/// The reason why a module was not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The file can't be opened or read.
    File(Errno),
    /// The kernel's error.
    Kernel(Errno),
    /// The compressed data is damaged.
    Damaged,
    /// Neither the kernel nor this build can decompress the file.
    NoDecoder,
    /// Too little memory to decompress the file.
    NoMemory,
    /// The process that decompressed or loaded it was killed by this signal.
    Killed(i32),
    /// The install command in its place ended with this status.
    Command(i32),
    /// The module, or the install command in its place, did not end within the limit of `initmod.timeout=`.
    Late,
}

/// State of a module by /sys/module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not listed, or being loaded or removed: only the kernel knows.
    Unknown,
    /// Live, or built in.
    Live,
}

/// The kernel, a recording of one, or a dry run.
///
/// ```
/// use initmod::loading::kernel::{Errno, Kernel, Outcome, Refusal, State};
/// use initmod::loading::plan::Plan;
/// use initmod::loading::run::{OnFailure, run};
/// use initmod::loading::step::Step;
/// use initmod::modules::config::Config;
/// use initmod::modules::dep_line::DepLine;
/// use initmod::modules::index::Index;
/// use initmod::modules::resolve::{Indexes, Resolver};
///
/// /// A kernel that takes every module but one.
/// struct Picky(Vec<String>);
///
/// impl Kernel for Picky {
///     fn state(&mut self, _: &[u8]) -> State {
///         State::Unknown
///     }
///     fn insert(&mut self, path: &[u8], _: &[u8]) -> Result<(), Refusal> {
///         if path == b"bad.ko" { Err(Refusal::Kernel(Errno::ENOEXEC)) } else { Ok(()) }
///     }
///     fn command(&mut self, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), Refusal> {
///         Err(Refusal::Command(1))
///     }
///     fn on_outcome(&mut self, step: &Step<'_>, outcome: Outcome<'_>) {
///         let loaded = outcome == Outcome::Loaded;
///         self.0.push(format!("{}: {loaded}", step.path().escape_ascii()));
///     }
/// }
///
/// let resolver = Resolver { indexes: Indexes([Index::EMPTY; 5]), config: Config::new(b"", b"") };
/// let mut steps = heapless::Vec::<_, 8>::new();
/// let (mut visited, mut matches) = (heapless::Vec::<_, 8>::new(), heapless::Vec::<_, 8>::new());
/// let mut plan = Plan::new(&mut steps, &mut visited, &mut matches);
/// plan.add(&resolver, DepLine::new(b"top.ko: bad.ko")).unwrap();
///
/// let mut kernel = Picky(Vec::new());
/// let tally = run(plan.steps, &resolver, None, OnFailure::GoOn, &mut kernel);
/// assert_eq!((tally.loaded, tally.failed), (0, 2));
/// assert_eq!(kernel.0, ["bad.ko: false", "top.ko: false"]);
/// ```
pub trait Kernel {
    /// Returns the state of `modname`.
    fn state(&mut self, modname: &[u8]) -> State;

    /// Loads the module file at `path` (as in modules.dep) with its options.
    ///
    /// # Errors
    /// The refusal; [`Refusal::Kernel`] with [`Errno::EEXIST`] if it was loaded before.
    fn insert(&mut self, path: &[u8], options: &[u8]) -> Result<(), Refusal>;

    /// Runs the install command that modprobe.d has for `modname`.
    ///
    /// # Errors
    /// The reason why it could not be run, or its status.
    fn command(&mut self, command: &[u8], modname: &[u8], options: &[u8]) -> Result<(), Refusal>;

    /// Called with the outcome of each step, in order.
    fn on_outcome(&mut self, step: &Step<'_>, outcome: Outcome<'_>);
}

/// Outcome of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'map> {
    /// Loaded now.
    Loaded,
    /// Loaded before.
    AlreadyIn,
    /// Not loaded.
    Refused(Refusal),
    /// Not tried: this module, which it needs, failed.
    Needs(&'map [u8]),
    /// Not tried: its name or options are unusable.
    Unfit(Error),
}

impl Outcome<'_> {
    /// Converts the result of [`Kernel::insert`] or [`Kernel::command`].
    pub fn of(answer: Result<(), Refusal>) -> Self {
        match answer {
            Ok(()) => Outcome::Loaded,
            Err(Refusal::Kernel(Errno::EEXIST)) => Outcome::AlreadyIn,
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Whether the module is in the kernel.
    pub fn is_in(&self) -> bool {
        matches!(self, Outcome::Loaded | Outcome::AlreadyIn)
    }
}
