//! One integration binary.
#![allow(unreachable_pub, reason = "the modules of a test binary are its own library")]

mod build;
mod case;
mod depmod;
mod elf;
mod content;
mod dt;
mod fakekernel;
mod fixture;
mod glob;
mod index;
mod lookup;
mod mkdtb;
mod mkko;
mod oracle;
mod modprobe;
mod plan;
mod refusals;
mod regress;
mod stock;
mod stock_aliases;
mod trap;
mod trees;
