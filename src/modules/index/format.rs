// SPDX-License-Identifier: MIT OR Apache-2.0
//! The index format, drawn once. All integers are unsigned, 32 bits, big-endian, unaligned; keys and values are 7-bit
//! ASCII and end in NUL. Source: kmod, libkmod/libkmod-index.c and tools/depmod.c.
//!
//! ```text
//! header  u32 magic    0xB007F457
//!         u32 version  0x00020001; a reader takes any whose high 16 bits are 2
//!         u32 root     a node reference
//!
//! node reference   high nibble: what the node has; low 28 bits: its offset from the file's start, 0 = no node
//!
//! node    PREFIX    bytes up to NUL: the characters between this node's edge and its children, never empty
//!         CHILDREN  u8 first, u8 last, then last-first+1 references, by character - first (0 = a hole)
//!         VALUES    u32 count, then count times { u32 priority, bytes up to NUL }
//! ```
//!
//! An edge's character is the slot it stands in; it is not repeated in the child's prefix. The root has no edge and,
//! as depmod writes it, no prefix. An empty index is a header whose root reference has no flags; depmod also leaves a
//! file of 0 bytes where its source is missing, and we read that as empty too.

pub(crate) const MAGIC: u32 = 0xB007_F457;
pub(crate) const VERSION: u32 = 0x0002_0001;
pub(crate) const VERSION_MAJOR: u32 = VERSION >> 16;
pub(crate) const HEADER_LEN: usize = 12;

pub(crate) const PREFIX: u32 = 0x8000_0000;
pub(crate) const VALUES: u32 = 0x4000_0000;
pub(crate) const CHILDREN: u32 = 0x2000_0000;
pub(crate) const OFF_MASK: u32 = 0x0FFF_FFFF;

/// Longest key that is read, bytes. Keys are mostly aliases; the longest alias of Debian's Linux 6.12 has 261 bytes.
pub(crate) const KEY_LEN: usize = 1024;
