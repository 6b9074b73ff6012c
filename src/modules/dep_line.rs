//! A line of modules.dep: `PATH: DEP DEP...`. Source: modules.dep(5).

use super::name::{Modname, modname};
use crate::bytes::split_once;
use crate::error::Error;

/// A line of modules.dep, or the bare name of something that has no module file: a built-in, a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepLine<'map>(&'map [u8]);

impl<'map> DepLine<'map> {
    /// Wraps a line, without its line feed. Any bytes will do.
    pub const fn new(line: &'map [u8]) -> Self {
        DepLine(line)
    }

    /// Returns the module file's path, relative to /lib/modules/KVER unless it begins with `/`; a bare name unchanged.
    pub fn path(self) -> &'map [u8] {
        self.parts().map_or(self.0, |(path, _)| path)
    }

    /// Yields the paths of all modules that the module needs, directly or not, leaves last.
    pub fn deps(self) -> impl DoubleEndedIterator<Item = &'map [u8]> + use<'map> {
        let list = self.parts().map_or(&[][..], |(_, list)| list);
        list.split(|&byte| byte == b' ').filter(|dep| !dep.is_empty())
    }

    /// Returns the module's name.
    ///
    /// # Errors
    /// [`Error::TooLong`] for a name that is longer than the kernel's.
    pub fn modname(self) -> Result<Modname, Error> {
        modname(self.path())
    }

    /// Returns where the line begins in memory. A line of an index is always the same bytes, so this identifies it.
    pub(crate) const fn as_ptr(self) -> *const u8 {
        self.0.as_ptr()
    }

    /// Splits the line at its colon. The name of a command may have one too, but a module file's path has a dot before it.
    fn parts(self) -> Option<(&'map [u8], &'map [u8])> {
        split_once(self.0, b':').filter(|(path, _)| path.contains(&b'.'))
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
    fn a_bare_name_is_its_own_path() {
        for name in [&b"dummy"[..], b"net-pf:10", b""] {
            let line = DepLine::new(name);
            assert_eq!((line.path(), line.deps().count()), (name, 0));
        }
    }
}
