//! One integration binary: a folder per command, and what the tests share in `support`.
#![allow(unreachable_pub, reason = "the modules of a test binary are its own library")]

mod build;
mod depmod;
mod depmod_cases;
mod library;
mod loader;
mod modprobe_cases;
mod oracle;
mod select;
mod support;
