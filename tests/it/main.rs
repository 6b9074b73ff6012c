//! One integration binary.
#![allow(unreachable_pub, reason = "the modules of a test binary are its own library")]

mod append;
mod boards;
mod build;
mod case;
mod depmod;
mod early;
mod elf;
mod content;
mod dt;
mod fakekernel;
mod fixture;
mod glob;
mod index;
mod load;
mod lookup;
mod mkdtb;
mod mkko;
mod oracle;
mod modprobe;
mod plan;
mod refusals;
mod regress;
mod rootfs;
mod sources;
mod stock;
mod stock_aliases;
mod stock_boards;
mod strip;
mod trap;
mod trees;
