// SPDX-License-Identifier: MIT OR Apache-2.0
//! Inserts modules into the kernel, and runs the install commands of modprobe.d.
//!
//! The kernel gets the file itself if it can decompress it. Otherwise a child process decompresses and inserts it: if a
//! decoder crashes or memory runs out, one module fails and init lives on. The child's end frees the memory.
//!
//! Force has the kernel overlook what a module was built for: by flags where it takes a file, by edits of the image
//! where it takes an image. Source: kmod, libkmod-module.c and libkmod-elf.c.

use super::child::in_child;
use super::codec::{CodecError, decode};
use super::decode_time::DecodeTimer;
use super::state::state_of;
use crate::bytes::split_around;
use crate::device::io::file::open;
use crate::device::io::mmap::map;
use crate::device::io::path::{Text, c_str, errno, join, path};
use crate::device::rt::{Args, Strings, execve};
use crate::loading::kernel::{Errno, Refusal, State};
use crate::modules::compression::Compression;
#[cfg(any(feature = "gz", feature = "xz", feature = "zst"))]
use crate::modules::elf::Elf;
use core::cell::Cell;
use core::ffi::CStr;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, unlinkat};
use rustix::system::{finit_module, init_module};

/// `finit_module`: the file is compressed. Source: include/uapi/linux/module.h, since 5.17.
const MODULE_INIT_COMPRESSED_FILE: i32 = 4;

/// `finit_module`: overlook the versions of symbols.
#[cfg_attr(not(feature = "tools"), allow(dead_code, reason = "of the tools"))]
pub(crate) const IGNORE_MODVERSIONS: i32 = 1;
/// `finit_module`: overlook the kernel version and options that the module was built for.
#[cfg_attr(not(feature = "tools"), allow(dead_code, reason = "of the tools"))]
pub(crate) const IGNORE_VERMAGIC: i32 = 2;

/// The kernel and the directory that it loads from.
pub(crate) struct Inserter<'a> {
    dir: BorrowedFd<'a>,
    env: Args,
    /// The checks that the kernel is to skip: `IGNORE_*`.
    pub(crate) force: i32,
    /// `MODPROBE_OPTIONS=...` for commands, where it differs from our own environment.
    pub(crate) modprobe_options: Option<&'a CStr>,
    /// Decompression time of the last module, us.
    pub(crate) decode_us: Cell<u32>,
}

impl<'a> Inserter<'a> {
    /// Makes an inserter whose relative paths begin in `dir`.
    pub(crate) fn at(dir: BorrowedFd<'a>, env: Args) -> Self {
        Inserter { dir, env, force: 0, modprobe_options: None, decode_us: Cell::new(0) }
    }

    /// Reads /sys/module/MODNAME/initstate.
    pub(crate) fn state(&self, modname: &[u8]) -> State {
        state_of(modname)
    }

    /// Loads the module file at `path`, relative to the tree or absolute.
    pub(crate) fn insert(&self, path: &[u8], options: &[u8]) -> Result<(), Refusal> {
        let mut params = Text::new();
        join("%", &[options], &mut params).map_err(Refusal::Kernel)?;
        let params = c_str(&params);

        let file = open(self.dir, path).map_err(Refusal::File)?;
        let mut magic = [0; 6];
        let magic_len = rustix::io::pread(&file, &mut magic, 0).map_err(|error| Refusal::File(errno(error)))?;
        let Some(format) = Compression::of(magic.get(..magic_len).unwrap_or_default()) else {
            return match finit_module(&file, params, self.force) {
                Err(rustix::io::Errno::NOSYS) => {
                    let image = plain_image(&file, self.force).map_err(Refusal::File)?;
                    init_module(image, params).map_err(|error| Refusal::Kernel(errno(error)))
                }
                other => other.map_err(|error| Refusal::Kernel(errno(error))),
            };
        };
        let mut codec = [0; 16];
        if kernel_codec(&mut codec) == kernel_name(format) {
            match finit_module(&file, params, MODULE_INIT_COMPRESSED_FILE | self.force) {
                // The kernel's decoder can't decompress this file, or there is none: use ours.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
                other => return other.map_err(|error| Refusal::Kernel(errno(error))),
            }
        }
        self.decompress_and_insert(&file, params)
    }

    /// Maps the file in the child only: its pages can be given back when that ends.
    fn decompress_and_insert(&self, file: &OwnedFd, params: &CStr) -> Result<(), Refusal> {
        if cfg!(not(any(feature = "gz", feature = "xz", feature = "zst"))) {
            return Err(Refusal::NoDecoder);
        }
        let timer = DecodeTimer::start();
        let status = in_child(|| {
            let Ok(image) = map(file) else { return CodecError::NoMemory.status() };
            let decoded = decode(image);
            timer.end();
            match decoded {
                Ok(mut image) => {
                    overlook(&mut image, self.force);
                    init_module(&image, params).map_or_else(|error| error.raw_os_error(), |()| 0)
                }
                Err(error) => error.status(),
            }
        });
        self.decode_us.set(timer.took_us());
        match status? {
            0 => Ok(()),
            status => Err(CodecError::of_status(status).map_or(Refusal::Kernel(Errno(status)), Refusal::from)),
        }
    }

    /// Deletes the module file at `path`, where it is in memory and in the tree: its memory is free again.
    pub(crate) fn give_back(&self, path: &[u8]) {
        if crate::device::io::file::is_in_memory(self.dir)
            && !path.starts_with(b"/")
            && split_around(path, b"..").is_none()
            && let Ok(path) = self::path("%", &[path])
        {
            // A file that stays costs memory only.
            let _ = unlinkat(self.dir, path.as_c_str(), AtFlags::empty());
        }
    }

    /// Runs a shell command of modprobe.d, with `$CMDLINE_OPTS` standing for the options.
    pub(crate) fn command(&self, command: &[u8], modname: &[u8], options: &[u8]) -> Result<(), Refusal> {
        let too_long = |_| Refusal::Command(126);
        let mut script = Text::new();
        let mut rest = command;
        while let Some((before, behind)) = split_around(rest, b"$CMDLINE_OPTS") {
            script
                .extend_from_slice(before)
                .and_then(|()| script.extend_from_slice(options))
                .map_err(|_| too_long(Errno::EINVAL))?;
            rest = behind;
        }
        join("%", &[rest], &mut script).map_err(too_long)?;
        let variable = path("MODPROBE_MODULE=%", &[modname]).map_err(too_long)?;

        let status = in_child(|| {
            let argv = Strings::new([c"sh", c"-c", c_str(&script)].into_iter());
            let mut env = Strings::new([variable.as_c_str()].into_iter());
            self.modprobe_options.into_iter().for_each(|options| env.push(options));
            for var in self.env {
                if self.modprobe_options.is_none() || !var.to_bytes().starts_with(MODPROBE_OPTIONS) {
                    env.push(var);
                }
            }
            execve(c"/bin/sh", &argv, &env);
            127 // as a shell ends that can't run a command
        });
        match status {
            Ok(0) => Ok(()),
            Ok(status) => Err(Refusal::Command(status)),
            Err(refusal) => Err(refusal),
        }
    }
}

/// The variable with options for modprobe.
pub(crate) const MODPROBE_OPTIONS: &[u8] = b"MODPROBE_OPTIONS=";

/// Maps a plain module's file, and edits what is mapped as force wants it.
#[cfg(any(feature = "gz", feature = "xz", feature = "zst"))]
fn plain_image(file: &OwnedFd, force: i32) -> Result<&'static [u8], Errno> {
    let image = crate::device::io::mmap::map_to_edit(file)?;
    overlook(image, force);
    Ok(image)
}

/// Maps a file as it is. Without decoders only kernels before 3.8, which lack finit_module(2), get an image from here.
#[cfg(not(any(feature = "gz", feature = "xz", feature = "zst")))]
fn plain_image(file: &OwnedFd, _: i32) -> Result<&'static [u8], Errno> {
    map(file)
}

/// Edits a module's image so that the kernel finds nothing to compare.
#[cfg(any(feature = "gz", feature = "xz", feature = "zst"))]
fn overlook(image: &mut [u8], force: i32) {
    let Ok(elf) = Elf::new(image) else { return };
    let vermagic = elf.info_range(b"vermagic").filter(|_| force & IGNORE_VERMAGIC != 0);
    let versions = elf.unallocated(b"__versions").filter(|_| force & IGNORE_MODVERSIONS != 0);
    if let Some(text) = vermagic.and_then(|range| image.get_mut(range)) {
        text.fill(0);
    }
    if let Some((off, flags)) = versions
        && let Some(byte) = image.get_mut(off)
    {
        *byte = flags;
    }
}

#[cfg(not(any(feature = "gz", feature = "xz", feature = "zst")))]
fn overlook(_: &mut [u8], _: i32) {}

/// Names a compression as /sys/module/compression does.
fn kernel_name(format: Compression) -> &'static [u8] {
    match format {
        Compression::Gz => b"gzip",
        Compression::Xz => b"xz",
        Compression::Zst => b"zstd",
    }
}

/// Which compression the kernel undoes by itself, as its name in /sys/module/compression; empty for none.
pub(crate) fn kernel_codec(buf: &mut [u8]) -> &[u8] {
    crate::device::io::file::read(CWD, b"/sys/module/compression", buf).unwrap_or_default().trim_ascii()
}
