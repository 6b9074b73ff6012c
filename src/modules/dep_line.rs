// SPDX-License-Identifier: MIT OR Apache-2.0
//! A line of modules.dep: `PATH: DEP DEP...`. Source: modules.dep(5).

use super::name::{Modname, modname};
use crate::bytes::{has_byte, split_once};
use crate::error::Error;

/// A line of modules.dep, or the bare name of a target without a module file: a built-in module or a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepLine<'map>(&'map [u8]);

impl<'map> DepLine<'map> {
    /// Wraps a line, without its line feed. Any bytes are accepted.
    pub const fn new(line: &'map [u8]) -> Self {
        DepLine(line)
    }

    /// Returns the module file's path, relative to /lib/modules/KVER unless it begins with `/`; a bare name unchanged.
    pub fn path(self) -> &'map [u8] {
        self.parts().map_or(self.0, |(path, _)| path)
    }

    /// Yields the paths of all its dependencies, direct and indirect. A module comes before those that it needs itself.
    pub fn deps(self) -> impl DoubleEndedIterator<Item = &'map [u8]> + use<'map> {
        let list = self.parts().map_or(&[][..], |(_, list)| list);
        list.split(|&byte| byte == b' ').filter(|dep| !dep.is_empty())
    }

    /// Returns the module's name.
    ///
    /// # Errors
    /// [`Error::TooLong`] for a name that is longer than the kernel allows.
    pub fn modname(self) -> Result<Modname, Error> {
        modname(self.path())
    }

    /// Returns the line's address, which identifies it: an index lends a line from one place only.
    pub(crate) const fn as_ptr(self) -> *const u8 {
        self.0.as_ptr()
    }

    /// Splits the line at its colon; `None` for a bare name. The name of a command may have a colon too, but only a
    /// module file's path has a dot before it, or begins with `/`.
    fn parts(self) -> Option<(&'map [u8], &'map [u8])> {
        split_once(self.0, b':').filter(|(path, _)| has_byte(path, b'.') || path.starts_with(b"/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_path_and_its_dependencies() {
        let line = DepLine::new(b"kernel/a-b.ko.xz: kernel/c.ko  kernel/d.ko");
        assert_eq!((line.path(), &line.modname().unwrap()[..]), (&b"kernel/a-b.ko.xz"[..], &b"a_b"[..]));
        assert_eq!(line.deps().collect::<Vec<_>>(), [&b"kernel/c.ko"[..], b"kernel/d.ko"]);
    }

    #[test]
    fn a_file_of_the_command_line_needs_no_suffix() {
        let line = DepLine::new(b"/tmp/text:");
        assert_eq!((line.path(), line.deps().count()), (&b"/tmp/text"[..], 0));
    }

    #[test]
    fn a_bare_name_is_its_own_path() {
        for name in [&b"dummy"[..], b"net-pf:10", b""] {
            let line = DepLine::new(name);
            assert_eq!((line.path(), line.deps().count()), (name, 0));
        }
    }
}
