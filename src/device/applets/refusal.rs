// SPDX-License-Identifier: MIT OR Apache-2.0
//! Explains why the kernel refused a module, beyond the error number: from the kernel's log, its settings, and the
//! module's file.

use super::module_file::ModuleFile;
use crate::bytes::{split_once, until};
use crate::device::io::file::read;
use crate::device::io::log::{Level, line};
use crate::loading::kernel::{Errno, Refusal};
use crate::modules::elf::Elf;
use crate::modules::name::modname;
use crate::modules::signature::Signature;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, SeekFrom, open, seek};

/// Reads the kernel's log from the moment it was made.
pub(crate) struct KernelLog(Option<OwnedFd>);

impl KernelLog {
    pub(crate) fn new() -> Self {
        let kmsg = open(c"/dev/kmsg", OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
        KernelLog(kmsg.ok().filter(|kmsg| seek(kmsg, SeekFrom::End(0)).is_ok()))
    }

    /// Repeats the kernel's lines on a module since then; returns whether there were any. Source: the kernel's
    /// Documentation/ABI/testing/dev-kmsg.
    fn repeat(&self, modname: &[u8]) -> bool {
        let Some(kmsg) = &self.0 else { return false };
        let mut has_lines = false;
        let mut record = [0; 1024];
        loop {
            let len = match rustix::io::read(kmsg, &mut record) {
                Ok(len) => len,
                Err(rustix::io::Errno::PIPE) => continue, // overwritten: the next one is there
                Err(_) => return has_lines,               // read to the end
            };
            let record = record.get(..len).unwrap_or_default();
            let Some((_, text)) = split_once(record, b';') else { continue };
            let text = until(text, b'\n');
            let about = text.strip_prefix(modname).is_some_and(|rest| rest.starts_with(b":"));
            if about || text.starts_with(b"Lockdown: ") || text.ends_with(b" is rejected") {
                line(Level::Error, "the kernel: %", &[text]);
                has_lines = true;
            }
        }
    }

    /// Reports further reasons why a module was refused, a line each.
    pub(crate) fn explain(&self, refusal: Refusal, name: &[u8], file: &dyn Fn() -> Option<OwnedFd>) {
        let Refusal::Kernel(errno) = refusal else { return };
        let has_lines = modname(name).is_ok_and(|name| self.repeat(&name));
        if errno == Errno::EPERM {
            let mut buf = [0; 64];
            if read(CWD, b"/proc/sys/kernel/modules_disabled", &mut buf) == Some(b"1\n") {
                line(Level::Error, "kernel.modules_disabled is 1: no module goes in or out until the next boot", &[]);
            }
            if let Some(text) = read(CWD, b"/sys/kernel/security/lockdown", &mut buf) {
                line(Level::Error, "lockdown: %", &[text.trim_ascii()]);
            }
        }
        of_file(errno, has_lines, file);
    }
}

/// Reports the reasons that the module's file shows: its signature, or the kernel that it was built for.
fn of_file(errno: Errno, has_lines: bool, file: &dyn Fn() -> Option<OwnedFd>) {
    let signing = matches!(errno, Errno::EKEYREJECTED | Errno::ENOKEY);
    if !signing && (has_lines || errno != Errno::ENOEXEC) {
        return;
    }
    let Some(Ok(image)) = file().map(|file| ModuleFile::read(&file)) else { return };
    if signing {
        match Signature::of(image.bytes()) {
            Ok(Some(signature)) => line(
                Level::Error,
                "it is signed by '%' with %, which this kernel rejects",
                &[signature.signer, signature.hash],
            ),
            Ok(None) => line(Level::Error, "it is not signed", &[]),
            Err(_) => line(Level::Error, "its signature is damaged", &[]),
        }
        return;
    }
    let uname = rustix::system::uname();
    let Ok(elf) = Elf::new(image.bytes()) else { return line(Level::Error, "it is no ELF file", &[]) };
    let (vermagic, kver) = (elf.info(b"vermagic").unwrap_or(b"?"), uname.release().to_bytes());
    line(Level::Error, "it was built for '%', this kernel is '%'", &[vermagic, kver]);
}
