// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages and output of the commands, worded and graded as kmod's.

use crate::device::io::log::{Level, fill, graded, put};
use crate::device::modules::tree::{Tree, report_failure};
use crate::modules::resolve::Failure;

/// Reports an error; each `%` of the template stands for the next of `args`.
pub(crate) fn error(template: &'static str, args: &[&[u8]]) {
    say(b"ERROR: ", template, args);
}

/// Reports an error that ends the command, like [`error`].
pub(crate) fn fatal(template: &'static str, args: &[&[u8]]) {
    say(b"FATAL: ", template, args);
}

pub(crate) fn say(grade: &[u8], template: &'static str, args: &[&[u8]]) {
    graded(Level::Error, grade, template, args);
}

/// Reports why a name can't be looked up; returns the exit status.
pub(crate) fn failed(tree: &Tree, name: &[u8], failure: Failure) -> i32 {
    report_failure(&tree.path, name, failure);
    1
}

/// Prints one action at once, as commands may print between them; each `%` of the template stands for the next of `args`.
pub(crate) fn show(template: &'static str, args: &[&[u8]]) {
    Out::new().fill(template, args);
}

/// A buffer in front of standard output: long lists take few writes.
pub(crate) struct Out(heapless::Vec<u8, 4096>);

impl Out {
    pub(crate) fn new() -> Self {
        Out(heapless::Vec::new())
    }

    /// Prints a template, each `%` of which stands for the next of `args`.
    pub(crate) fn fill(&mut self, template: &'static str, args: &[&[u8]]) {
        fill(template, args, &mut |part| self.part(part));
    }

    pub(crate) fn part(&mut self, part: &[u8]) {
        if self.0.extend_from_slice(part).is_err() {
            self.flush();
            if self.0.extend_from_slice(part).is_err() {
                put(false, part);
            }
        }
    }

    /// Takes the last byte back.
    #[cfg_attr(not(feature = "modinfo"), allow(dead_code, reason = "of modinfo"))]
    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }

    pub(crate) fn flush(&mut self) {
        put(false, &self.0);
        self.0.clear();
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.flush();
    }
}
