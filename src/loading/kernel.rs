//! The kernel as a plan meets it: a trait, and how it refuses.

use super::plan::Step;
use crate::error::Error;

/// An error number of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// Not permitted; of a module: it is on the command line's module_blacklist=, or nothing may be loaded any more.
    pub const EPERM: Errno = Errno(1);
    /// No such file, or, of a module: a symbol is unknown.
    pub const ENOENT: Errno = Errno(2);
    /// Of a disk: it is being added or taken away.
    pub const ENXIO: Errno = Errno(6);
    /// Of a disk: there is none in the drive.
    pub const ENOMEDIUM: Errno = Errno(123);
    /// The hardware is not here; of a mount: no such file system.
    pub const ENODEV: Errno = Errno(19);
    /// Not a module for this kernel.
    pub const ENOEXEC: Errno = Errno(8);
    /// Try again: somebody uses it.
    pub const EAGAIN: Errno = Errno(11);
    /// The key that signed it is not known.
    pub const ENOKEY: Errno = Errno(126);
    /// Its signature was rejected.
    pub const EKEYREJECTED: Errno = Errno(129);
    /// A parameter is no good; of a mount: not this file system.
    pub const EINVAL: Errno = Errno(22);
    /// A file is too large.
    pub const EFBIG: Errno = Errno(27);
    /// Loaded already.
    pub const EEXIST: Errno = Errno(17);
}

/// Why a module did not go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its file can't be opened or read.
    File(Errno),
    /// The kernel's answer to the module.
    Kernel(Errno),
    /// It is compressed, and the data is damaged.
    Damaged,
    /// It is compressed in a way that neither the kernel nor this build can undo.
    NoDecoder,
    /// It is compressed, and there is not the memory to undo that.
    NoMemory,
    /// The process that decompressed it was killed by this signal.
    Killed(i32),
    /// The command in its place ended with this status.
    Command(i32),
}

/// What /sys/module says of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing, or that it is coming or going: the kernel has to be asked.
    Unknown,
    /// Live, or built in.
    Live,
}

/// Where modules go: the kernel, a recording of one, or a dry run.
pub trait Kernel {
    /// Looks up whether `modname` is in.
    fn state(&mut self, modname: &[u8]) -> State;

    /// Hands the module file at `path` (as the index has it) to the kernel, with its options.
    ///
    /// # Errors
    /// Why it is not in; [`Refusal::Kernel`] with [`Errno::EEXIST`] where it was before.
    fn insert(&mut self, path: &[u8], options: &[u8]) -> Result<(), Refusal>;

    /// Runs the shell command that modprobe.d sets in the place of loading `modname`.
    ///
    /// # Errors
    /// Why it could not be run, or what it ended with.
    fn command(&mut self, command: &[u8], modname: &[u8], options: &[u8]) -> Result<(), Refusal>;

    /// Hears how each step went, in order.
    fn told(&mut self, step: &Step<'_>, outcome: Outcome<'_>);
}

/// How one step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'map> {
    /// The kernel took it.
    Loaded,
    /// It was in before.
    AlreadyIn,
    /// The kernel did not take it, or it could not be read.
    Refused(Refusal),
    /// A module that it needs failed; it was not tried.
    Needs(&'map [u8]),
    /// Its name or options are no good.
    Unfit(Error),
}

impl Outcome<'_> {
    /// Reads the kernel's answer.
    pub fn of(answer: Result<(), Refusal>) -> Self {
        match answer {
            Ok(()) => Outcome::Loaded,
            Err(Refusal::Kernel(Errno::EEXIST)) => Outcome::AlreadyIn,
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Says whether the module is in.
    pub fn is_in(&self) -> bool {
        matches!(self, Outcome::Loaded | Outcome::AlreadyIn)
    }
}
