//! Lines of modules.dep.

use crate::bytes::split_once;

/// Returns the module's path of a modules.dep line; a line without one, the name of what is no module, as it is.
pub fn path(line: &[u8]) -> &[u8] {
    parts(line).map_or(line, |(path, _)| path)
}

/// Splits a modules.dep line. A file of a module has `.ko` in its name; the names of commands may have a colon.
pub(crate) fn parts(line: &[u8]) -> Option<(&[u8], &[u8])> {
    split_once(line, b':').filter(|(path, _)| path.contains(&b'.'))
}

/// Yields the dependencies of a modules.dep line, leaves last.
pub fn deps(line: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let list = parts(line).map_or(&[][..], |(_, list)| list);
    list.split(|&byte| byte == b' ').filter(|dep| !dep.is_empty())
}
