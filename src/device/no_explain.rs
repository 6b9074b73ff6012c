//! In the place of `explain`, in a build without it: a line each, and no shell.

use super::blockdev;
use super::log::{Level, line};
use super::root::{Root, mount_prose};
use super::rt::Args;
use crate::load::Errno;

/// Where the post-mortem would know drivers from.
pub(super) struct Scene<'a> {
    pub(super) tree: &'a super::tree::Tree,
    pub(super) resolver: &'a crate::resolve::Resolver<'static>,
}

/// There is none.
pub(super) fn tell(scene: Option<Scene<'_>>) {
    let _ = scene.map(|scene| (scene.tree, scene.resolver));
}

/// Says why the root can't be mounted.
pub(super) fn tell_unmountable(root: &Root, errno: Errno) {
    line(Level::Error, &[b"mounting ", root.node_path(), b" failed: ", mount_prose(errno)]);
}

/// Says that a number is of seconds.
pub(super) fn seconds_and_advice(_: &Root) -> &'static [u8] {
    b" s"
}

/// Says nothing.
pub(super) fn tell_left_behind(_: &[u8], _: &Root, _: Errno) {}

/// Tells which block devices are there.
pub(super) fn tell_devices() {
    blockdev::describe(&mut |parts| {
        let mut all = heapless::Vec::<&[u8], 8>::from_array([&b"block devices "[..]]);
        let _ = all.extend_from_slice(parts);
        line(Level::Error, &all);
    });
}

/// Never does.
pub(super) fn pause(_: &[u8], _: Args) {}

/// Starts none.
pub(super) fn shell(_: Args) -> bool {
    false
}
