//! In the place of `explain`, in a build without it: a line each, and no shell.

use super::blockdev;
use super::mount::{Root, mount_prose};
use crate::device::io::log::{Level, line};
use crate::device::rt::Args;
use crate::loading::kernel::Errno;

/// Where the post-mortem would know drivers from.
pub(crate) struct Scene<'a> {
    pub(crate) tree: &'a crate::device::modules::tree::Tree,
    pub(crate) resolver: &'a crate::modules::resolve::Resolver<'static>,
}

/// There is none.
pub(crate) fn tell(scene: Option<Scene<'_>>) {
    let _ = scene.map(|scene| (scene.tree, scene.resolver));
}

/// Says why the root can't be mounted.
pub(crate) fn tell_unmountable(root: &Root<'_>, errno: Errno) {
    line(Level::Error, &[b"mounting ", root.node_path(), b" failed: ", mount_prose(errno)]);
}

/// Says that a number is of seconds.
pub(crate) fn seconds_and_advice(_: &Root<'_>) -> &'static [u8] {
    b" s"
}

/// Says nothing.
pub(crate) fn tell_left_behind(_: &[u8], _: &Root<'_>, _: Errno) {}

/// Tells which block devices are there.
pub(crate) fn tell_devices() {
    blockdev::describe(&mut |parts| {
        let mut all = heapless::Vec::<&[u8], 8>::from_array([&b"block devices "[..]]);
        let _ = all.extend_from_slice(parts);
        line(Level::Error, &all);
    });
}

/// Never does.
pub(crate) fn pause(_: Args) {}

/// Starts none.
pub(crate) fn shell(_: Args) -> bool {
    false
}
