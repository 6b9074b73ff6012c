// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads a flattened device tree into a [`Tree`]. Refuses any damage, with its offset. Source: the Devicetree
//! Specification, chapter 5.
//!
//! No crate is used: those that refuse damage refuse half of Debian's device trees too (figures in config/doc/measured.md). The tests
//! compare with `dtoolkit`.
//!
//! ```text
//! header     magic d00dfeed, totalsize, off_dt_struct, off_dt_strings, off_mem_rsvmap, version,
//!            last_comp_version, boot_cpuid, size_dt_strings, size_dt_struct: big-endian u32
//! structure  tokens, each at a multiple of 4: 1 + name NUL begins a node, 2 ends it,
//!            3 + u32 length + u32 name's offset + value is a property, 4 is padding, 9 ends the tree
//! ```

use super::tree::{NodeId, ROOT, Tree};
use crate::host::error::{Error, Result};
use crate::host::input;
use std::path::Path;

const MAGIC: u32 = 0xd00d_feed;

/// Version of the format.
const VERSION: u32 = 17;
/// The oldest version that version 17 is compatible with.
const COMPATIBLE_VERSION: u32 = 16;

/// Greatest depth of nodes, as in the kernel. Source: drivers/of/fdt.c, `FDT_MAX_DEPTH`.
const DEPTH: usize = 64;

/// Damage in a blob.
#[derive(Debug, PartialEq, Eq)]
pub struct Damage {
    /// Bytes from the blob's start.
    pub off: usize,
    /// Description, for messages.
    pub what: &'static str,
}

/// Reads the tree in the file at `path`.
///
/// # Errors
/// The file cannot be read, or is damaged: with the offset.
pub fn read(path: &Path) -> Result<Tree> {
    let data = input::read_named(path)?;
    parse(&data).map_err(|Damage { off, what }| match off {
        0 => Error::input(path, what),
        _ => Error::Damaged { path: path.into(), off: off as u64, what: what.into() },
    })
}

/// Parses a flattened device tree.
///
/// # Errors
/// The data is damaged, or not a device tree.
pub fn parse(data: &[u8]) -> Result<Tree, Damage> {
    let field = |number: usize| cell(data, 4 * number).ok_or(Damage { off: 0, what: "too short for a device tree" });
    if field(0)? != MAGIC {
        return Err(Damage { off: 0, what: "not a device tree blob (.dtb); `dtc -O dtb` makes one from a .dts" });
    }
    let (total_len, version, compatible) = (field(1)? as usize, field(5)?, field(6)?);
    if data.len() < total_len {
        return Err(Damage { off: data.len(), what: "the device tree is truncated" });
    }
    if version < VERSION || !(COMPATIBLE_VERSION..=VERSION).contains(&compatible) {
        return Err(Damage { off: 20, what: "unsupported device tree version; only 17 is supported" });
    }
    let block = |start_field, len_field, what| {
        let (start, len) = (field(start_field)? as usize, field(len_field)? as usize);
        let end = start.checked_add(len).filter(|&end| end <= total_len);
        end.map(|end| (start, end)).ok_or(Damage { off: 4 * start_field, what })
    };
    let (structs, structs_end) = block(2, 9, "the structure block runs past the end")?;
    let (strings, strings_end) = block(3, 8, "the strings block runs past the end")?;
    let mut reader = Reader { data: &data[..structs_end], at: structs, strings: &data[strings..strings_end] };
    reader.tree()
}

struct Reader<'a> {
    /// Up to the end of the structure block.
    data: &'a [u8],
    at: usize,
    strings: &'a [u8],
}

impl<'a> Reader<'a> {
    fn tree(&mut self) -> Result<Tree, Damage> {
        let mut tree = Tree::default();
        // The open nodes, outermost first.
        let mut open: Vec<NodeId> = Vec::new();
        let mut has_root = false;
        // Properties must precede the children.
        let mut in_props = false;
        loop {
            let off = self.at;
            let damage = |what| Err(Damage { off, what });
            match (self.cell()?, open.last().copied()) {
                (1, parent) => {
                    let name = self.name()?;
                    open.push(match parent {
                        Some(parent) if open.len() < DEPTH => tree.add(parent, name),
                        Some(_) => return damage("nodes nest too deep"),
                        None if !has_root && name.is_empty() => ROOT,
                        None if !has_root => return damage("a root node with a name"),
                        None => return damage("a second root node"),
                    });
                    (has_root, in_props) = (true, true);
                }
                (2, Some(_)) => (_, in_props) = (open.pop(), false),
                (3, Some(_)) if !in_props => return damage("a property after a child node"),
                (3, Some(node)) => {
                    let (len, name_off) = (self.cell()? as usize, self.cell()? as usize);
                    let name = self.strings.get(name_off..).and_then(until_nul);
                    let Some(name) = name else { return damage("a property's name is not a string") };
                    let value = self.take(len)?;
                    if tree.has(node, name) {
                        return damage("a property that the node already has");
                    }
                    tree.set(node, name, value.to_vec());
                }
                (4, _) => {}
                (9, None) if has_root => return Ok(tree),
                (9, _) => return damage("the tree ends in the middle of a node"),
                (2 | 3, None) => return damage("a token outside of any node"),
                _ => return damage("an unknown token"),
            }
        }
    }

    fn cell(&mut self) -> Result<u32, Damage> {
        let cell = cell(self.data, self.at).ok_or(self.end())?;
        self.at += 4;
        Ok(cell)
    }

    fn name(&mut self) -> Result<&'a str, Damage> {
        let damage = Damage { off: self.at, what: "a node's name is not a string" };
        let name = self.data.get(self.at..).and_then(until_nul).ok_or(damage)?;
        self.take(name.len() + 1)?;
        Ok(name)
    }

    /// Reads `len` bytes and skips the padding after them.
    fn take(&mut self, len: usize) -> Result<&'a [u8], Damage> {
        let end = self.at.checked_add(len).ok_or(self.end())?;
        let bytes = self.data.get(self.at..end).ok_or(self.end())?;
        self.at = end.next_multiple_of(4);
        Ok(bytes)
    }

    fn end(&self) -> Damage {
        Damage { off: self.at, what: "the tree's structure runs past its end" }
    }
}

fn cell(data: &[u8], off: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*data.get(off..)?.first_chunk()?))
}

fn until_nul(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(std::ffi::CStr::from_bytes_until_nul(bytes).ok()?.to_bytes()).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Flattens a tree.
    pub(crate) fn emit(tree: &Tree) -> Vec<u8> {
        let (mut structs, mut strings) = (Vec::new(), Vec::new());
        emit_node(tree, ROOT, &mut structs, &mut strings);
        structs.extend(9u32.to_be_bytes());
        flat(structs, strings)
    }

    fn flat(structs: Vec<u8>, strings: Vec<u8>) -> Vec<u8> {
        let total = 40 + structs.len() + strings.len();
        let header = [MAGIC, total as u32, 40, 40 + structs.len() as u32, 40, 17, 16, 0]
            .into_iter()
            .chain([strings.len() as u32, structs.len() as u32]);
        [header.flat_map(u32::to_be_bytes).collect(), structs, strings].concat()
    }

    fn emit_node(tree: &Tree, id: NodeId, structs: &mut Vec<u8>, strings: &mut Vec<u8>) {
        let pad = |structs: &mut Vec<u8>| structs.resize(structs.len().next_multiple_of(4), 0);
        structs.extend(1u32.to_be_bytes());
        structs.extend(tree.node(id).name.bytes().chain([0]));
        pad(structs);
        for (name, value) in &tree.node(id).props {
            structs.extend([3, value.len() as u32, strings.len() as u32].into_iter().flat_map(u32::to_be_bytes));
            structs.extend(value);
            pad(structs);
            strings.extend(name.bytes().chain([0]));
        }
        for &child in &tree.node(id).children {
            emit_node(tree, child, structs, strings);
        }
        structs.extend(2u32.to_be_bytes());
    }

    fn blob() -> Vec<u8> {
        emit(&Tree::of_text("/\nmodel = \"M\"\n/soc/mmc@1\ncompatible = \"a,b\", \"c\"\nphandle = <3>\nempty\n/chosen"))
    }

    #[test]
    fn an_emitted_tree_is_read_back() {
        let tree = parse(&blob()).unwrap();
        let mmc = tree.find("/soc/mmc@1").unwrap();
        assert_eq!(tree.compatible(mmc).collect::<Vec<_>>(), ["a,b", "c"]);
        assert_eq!((tree.by_phandle(3), tree.prop(mmc, "empty")), (Some(mmc), Some(&[][..])));
        assert_eq!((tree.str(ROOT, "model"), tree.len()), (Some("M"), 4));
    }

    #[test]
    fn truncation_and_flipped_bytes_never_panic() {
        let blob = blob();
        for len in 0..blob.len() {
            assert!(parse(&blob[..len]).is_err(), "{len}");
        }
        for at in 0..blob.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut blob = blob.clone();
                blob[at] ^= flip;
                let _ = parse(&blob);
            }
        }
    }

    #[test]
    fn a_property_stands_once_and_before_the_children() {
        let error = |tokens: &[u32]| {
            let structs = tokens.iter().flat_map(|token| token.to_be_bytes()).collect();
            parse(&flat(structs, b"a\0".into())).unwrap_err()
        };
        let damage = |what| Damage { off: 60, what };
        assert_eq!(error(&[1, 0, 3, 0, 0, 3, 0, 0, 2, 9]), damage("a property that the node already has"));
        assert_eq!(error(&[1, 0x6200_0000, 2, 9]), Damage { off: 40, what: "a root node with a name" });
        assert_eq!(error(&[1, 0, 1, 0x6200_0000, 2, 3, 0, 0, 2, 9]), damage("a property after a child node"));
    }

    #[test]
    fn damage_is_reported_with_its_offset() {
        let error = |data: &[u8]| parse(data).unwrap_err();
        assert_eq!(error(b"hello").what, "not a device tree blob (.dtb); `dtc -O dtb` makes one from a .dts");
        let mut bad = blob();
        bad[43] = 7;
        assert_eq!(error(&bad), Damage { off: 40, what: "an unknown token" });
        let mut bad = blob();
        bad[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(error(&bad), Damage { off: 8, what: "the structure block runs past the end" });
    }
}
