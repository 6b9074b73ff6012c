//! The commands that the loader answers to, by the name it is called by.

pub(super) mod modprobe;
