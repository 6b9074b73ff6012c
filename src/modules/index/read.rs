// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading an index in place: exact look-up and a walk over all keys. Wildcard look-up is in search.rs.
//!
//! Allocates nothing and checks every offset. A walk stops once it has read more bytes than the file holds: then the
//! nodes are not a tree.

use super::format::{CHILDREN, HEADER_LEN, KEY_LEN, MAGIC, OFF_MASK, PREFIX, VALUES, VERSION_MAJOR};
use crate::bytes::{str_at, u8_at, u32_at};
use crate::error::Error;

/// An [`Error`] in a file, with its offset, which only the parser knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind of damage.
    pub error: Error,
    /// Offset of the field or node, bytes from the file's start.
    pub off: u32,
}

/// One value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'map> {
    /// Position of the module in depmod's order; lower comes first.
    pub priority: u32,
    /// The value's text, without NUL.
    pub text: &'map [u8],
}

/// An index file, borrowed from memory.
///
/// ```
/// use initmod::modules::index::{Builder, Index};
///
/// let mut builder = Builder::new();
/// builder.insert(b"usb:v1D6Bp*", b"hub", 0).unwrap();
/// let file = builder.emit().unwrap();
///
/// let index = Index::new(&file).unwrap();
/// let mut modnames = Vec::new();
/// index.search(b"usb:v1D6Bp0002", &mut |value| Ok(modnames.push(value.text))).unwrap();
/// assert_eq!(modnames, [b"hub"]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Index<'map> {
    data: &'map [u8],
    root: u32,
    near: Near,
}

/// Called before a node is read, with the bytes of the file from the node on.
pub type Near = fn(&[u8]);

/// One node, its fields located and checked.
#[derive(Clone, Copy)]
pub(crate) struct Node<'map> {
    pub(crate) prefix: &'map [u8],
    first: u8,
    children: &'map [u8],
    value_count: u32,
    values_off: usize,
    off: u32,
}

/// Count of bytes that a walk may still read: a walk over a tree reads no byte twice.
pub(crate) struct Fuel(usize);

/// The key of the node that a walk has reached.
pub(crate) type Key = heapless::Vec<u8, KEY_LEN>;

impl<'map> Index<'map> {
    /// Index without keys.
    pub const EMPTY: Index<'static> = Index { data: &[], root: 0, near: |_| {} };

    /// Checks the header of an index file; 0 bytes are an empty index.
    ///
    /// # Errors
    /// A [`Fault`] with [`Error::BadMagic`], [`Error::BadVersion`] or [`Error::OutOfBounds`] for the header.
    pub fn new(data: &'map [u8]) -> Result<Self, Fault> {
        Index::with_header(data, data, |_| {})
    }

    /// Like [`Index::new`], for a mapped file whose first bytes are given in `header`. The mapping is not touched, so an
    /// index costs no memory until its first look-up. `near` is called before a node is read.
    ///
    /// # Errors
    /// Those of [`Index::new`].
    pub fn with_header(data: &'map [u8], header: &[u8], near: Near) -> Result<Self, Fault> {
        if data.is_empty() {
            return Ok(Index { data, root: 0, near });
        }
        let word = |off| u32_at(header, off as usize).ok_or(Fault { error: Error::OutOfBounds, off });
        if word(0)? != MAGIC {
            return Err(Fault { error: Error::BadMagic, off: 0 });
        }
        if word(4)? >> 16 != VERSION_MAJOR {
            return Err(Fault { error: Error::BadVersion, off: 4 });
        }
        Ok(Index { data, root: word(8)?, near })
    }

    /// Looks `key` up literally and returns its first value in file order.
    ///
    /// # Errors
    /// A [`Fault`] for a damaged node on the path to the key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value<'map>>, Fault> {
        let (mut node, mut rest, mut fuel) = (self.root()?, key, self.fuel());
        while let Some(here) = node {
            let Some(behind_prefix) = rest.strip_prefix(here.prefix) else { return Ok(None) };
            let Some((&edge, tail)) = behind_prefix.split_first() else {
                return (here.value_count > 0).then(|| self.value_at(&here, here.values_off)).transpose();
            };
            rest = tail;
            node = self.child(&here, edge, &mut fuel)?;
        }
        Ok(None)
    }

    /// Calls `each` for every value of every key, keys in byte order, the values of a key in file order.
    ///
    /// # Errors
    /// A [`Fault`] for a damaged node.
    pub fn walk(&self, each: &mut dyn FnMut(&[u8], Value<'map>)) -> Result<(), Fault> {
        match self.root()? {
            Some(root) => self.walk_below(&root, &mut Key::new(), &mut self.fuel(), each),
            None => Ok(()),
        }
    }

    fn walk_below(
        &self,
        node: &Node<'map>,
        key: &mut Key,
        fuel: &mut Fuel,
        each: &mut dyn FnMut(&[u8], Value<'map>),
    ) -> Result<(), Fault> {
        let key_len = key.len();
        key.extend_from_slice(node.prefix).map_err(|_| node.fault(Error::TooLong))?;
        self.values(node, fuel, &mut |value| {
            each(key, value);
            Ok(())
        })?;
        for edge in node.edges() {
            if let Some(child) = self.child(node, edge, fuel)? {
                key.push(edge).map_err(|_| node.fault(Error::TooLong))?;
                self.walk_below(&child, key, fuel, each)?;
                key.pop();
            }
        }
        key.truncate(key_len);
        Ok(())
    }

    pub(crate) fn root(&self) -> Result<Option<Node<'map>>, Fault> {
        self.node(self.root)
    }

    pub(crate) fn fuel(&self) -> Fuel {
        Fuel(self.data.len())
    }

    /// Returns the child at the edge `edge`; `None` if there is none.
    pub(crate) fn child(&self, node: &Node<'map>, edge: u8, fuel: &mut Fuel) -> Result<Option<Node<'map>>, Fault> {
        let slot = edge.checked_sub(node.first).map(|slot| usize::from(slot).saturating_mul(4));
        let child = self.node(slot.and_then(|off| u32_at(node.children, off)).unwrap_or(0))?;
        if let Some(child) = &child {
            // At least one byte for each node, so that a cycle of empty nodes ends too.
            fuel.burn(child, child.prefix.len().saturating_add(child.children.len()).saturating_add(1))?;
        }
        Ok(child)
    }

    /// Calls `each` for every value of `node` in file order.
    pub(crate) fn values(
        &self,
        node: &Node<'map>,
        fuel: &mut Fuel,
        each: &mut dyn FnMut(Value<'map>) -> Result<(), Error>,
    ) -> Result<(), Fault> {
        let mut off = node.values_off;
        for _ in 0..node.value_count {
            let value = self.value_at(node, off)?;
            let len = value.text.len().saturating_add(5); // the priority and the NUL
            fuel.burn(node, len)?;
            off = off.saturating_add(len);
            each(value).map_err(|error| node.fault(error))?;
        }
        Ok(())
    }

    fn value_at(&self, node: &Node<'map>, off: usize) -> Result<Value<'map>, Fault> {
        u32_at(self.data, off)
            .zip(str_at(self.data, off.saturating_add(4)))
            .map(|(priority, text)| Value { priority, text })
            .ok_or(node.fault(Error::OutOfBounds))
    }

    /// Locates the fields of the node that `reference` points to; `None` for the null reference.
    fn node(&self, reference: u32) -> Result<Option<Node<'map>>, Fault> {
        let off = reference & OFF_MASK;
        if off == 0 || reference & (PREFIX | CHILDREN | VALUES) == 0 {
            return Ok(None);
        }
        let mut node = Node { prefix: &[], first: 0, children: &[], value_count: 0, values_off: 0, off };
        if (off as usize) < HEADER_LEN {
            return Err(node.fault(Error::BadNode));
        }
        let mut at = off as usize;
        (self.near)(self.data.get(at..).unwrap_or_default());
        let past_end = node.fault(Error::OutOfBounds);
        let mut skip = |len: usize| {
            let here = at;
            at = at.checked_add(len)?;
            Some(here)
        };
        if reference & PREFIX != 0 {
            node.prefix = skip(0).and_then(|off| str_at(self.data, off)).ok_or(past_end)?;
            skip(node.prefix.len()).and_then(|_| skip(1)).ok_or(past_end)?;
        }
        if reference & CHILDREN != 0 {
            let range_off = skip(2).ok_or(past_end)?;
            let range = u8_at(self.data, range_off).zip(range_off.checked_add(1).and_then(|off| u8_at(self.data, off)));
            let (first, last) = range.ok_or(past_end)?;
            if last >= 0x80 {
                return Err(node.fault(Error::BadNode));
            }
            let len = last
                .checked_sub(first)
                .map(|span| usize::from(span).saturating_add(1).saturating_mul(4))
                .ok_or(node.fault(Error::BadNode))?;
            let start = skip(len).ok_or(past_end)?;
            node.first = first;
            node.children = self.data.get(start..).and_then(|rest| rest.get(..len)).ok_or(past_end)?;
        }
        if reference & VALUES != 0 {
            let count_off = skip(4).ok_or(past_end)?;
            node.value_count = u32_at(self.data, count_off).ok_or(past_end)?;
            node.values_off = skip(0).ok_or(past_end)?;
        }
        Ok(Some(node))
    }
}

impl Fuel {
    /// Subtracts `len` bytes that are read from `node`.
    fn burn(&mut self, node: &Node<'_>, len: usize) -> Result<(), Fault> {
        self.0 = self.0.checked_sub(len).ok_or(node.fault(Error::Cycle))?;
        Ok(())
    }
}

impl Node<'_> {
    /// Yields the characters of the node's child slots; a slot may be empty.
    pub(crate) fn edges(&self) -> impl Iterator<Item = u8> + use<> {
        let slots = u8::try_from(self.children.len() / 4).unwrap_or(u8::MAX); // at most 128: `last` is below 0x80
        (0..slots).map({
            let first = self.first;
            move |slot| first.wrapping_add(slot)
        })
    }

    pub(crate) fn has_edge(&self, edge: u8) -> bool {
        edge.checked_sub(self.first).is_some_and(|slot| usize::from(slot) < self.children.len() / 4)
    }

    pub(crate) fn fault(&self, error: Error) -> Fault {
        Fault { error, off: self.off }
    }
}
