// SPDX-License-Identifier: MIT OR Apache-2.0
//! Wildcard look-up: the keys of the index are patterns, the query is literal text.
//!
//! The walk compares literally until the first `*`, `?` or `[` of a pattern. From there on all keys below are
//! candidates, and kmod calls `fnmatch` on each. Instead, we track the positions in the query that the pattern can have
//! reached, and skip a subtree that has none left: a query among 9,000 `of:` patterns visits a few dozen nodes.
//!
//! Brackets and escapes span nodes and are not tracked; neither are more positions than the buffer holds. Then each key
//! below is matched as a whole. Matches come in kmod's order. Source: kmod, libkmod-index.c, `index_searchwild`.

use super::read::{Fault, Fuel, Index, Key, Node, Value};
use crate::error::Error;
use crate::glob;

/// Positions in the query that a partly read pattern can have reached.
#[derive(Clone)]
enum Places {
    /// Any of these offsets.
    At(heapless::Vec<u16, 24>),
    /// Any offset from this one on: a `*` was read last.
    From(u16),
    /// Not tracked: the whole key is matched once it is read.
    Unknown,
}

struct Search<'q, 'map> {
    index: &'q Index<'map>,
    fuel: Fuel,
    /// The part of the query after the literal prefix of the patterns.
    tail: &'q [u8],
    /// The pattern read so far, without its literal prefix.
    key: Key,
    each: &'q mut dyn FnMut(Value<'map>) -> Result<(), Error>,
}

impl<'map> Index<'map> {
    /// Calls `each` with every value whose key, as a pattern, matches all of `query`.
    ///
    /// # Errors
    /// A [`Fault`] for a damaged node on the path, or with the error that `each` returned.
    pub fn search(&self, query: &[u8], each: &mut dyn FnMut(Value<'map>) -> Result<(), Error>) -> Result<(), Fault> {
        let mut search = Search { index: self, fuel: self.fuel(), tail: query, key: Key::new(), each };
        let mut node = self.root()?;
        while let Some(here) = node {
            let literal_len = here.prefix.iter().position(|&byte| is_wild(byte)).unwrap_or(here.prefix.len());
            let (literal, wild) = here.prefix.split_at_checked(literal_len).unwrap_or_default();
            let Some(tail) = search.tail.strip_prefix(literal) else { return Ok(()) };
            search.tail = tail;
            if !wild.is_empty() {
                return search.below(&here, wild, Places::start());
            }
            for edge in [b'*', b'?', b'['] {
                if here.has_edge(edge)
                    && let Some(child) = self.child(&here, edge, &mut search.fuel)?
                {
                    search.edge(&child, edge, &Places::start())?;
                }
            }
            let Some((&edge, tail)) = search.tail.split_first() else {
                return search.hit(&here);
            };
            // The loop above has searched below the wild edges, also for a query with that very character.
            if is_wild(edge) {
                return Ok(());
            }
            search.tail = tail;
            node = self.child(&here, edge, &mut search.fuel)?;
        }
        Ok(())
    }
}

impl<'map> Search<'_, 'map> {
    /// Searches `child` and below; `places` are the positions before its edge was read.
    fn edge(&mut self, child: &Node<'map>, edge: u8, places: &Places) -> Result<(), Fault> {
        self.key.push(edge).map_err(|_| child.fault(Error::TooLong))?;
        let places = places.after(edge, self.tail);
        if !places.is_dead() {
            self.below(child, child.prefix, places)?;
        }
        self.key.pop();
        Ok(())
    }

    /// Searches `node` and below; `prefix` is the unread part of the node's prefix.
    /// The recursion is bounded by the longest key: each level adds a byte.
    fn below(&mut self, node: &Node<'map>, prefix: &[u8], mut places: Places) -> Result<(), Fault> {
        let key_len = self.key.len();
        for &byte in prefix {
            self.key.push(byte).map_err(|_| node.fault(Error::TooLong))?;
            places = places.after(byte, self.tail);
        }
        if !places.is_dead() {
            for edge in node.edges() {
                if let Some(child) = self.index.child(node, edge, &mut self.fuel)? {
                    self.edge(&child, edge, &places)?;
                }
            }
            if places.accepts(&self.key, self.tail) {
                self.hit(node)?;
            }
        }
        self.key.truncate(key_len);
        Ok(())
    }

    fn hit(&mut self, node: &Node<'map>) -> Result<(), Fault> {
        self.index.values(node, &mut self.fuel, self.each)
    }
}

impl Places {
    fn start() -> Places {
        Places::At([0].into_iter().collect())
    }

    /// Returns the positions after one more byte of the pattern.
    fn after(&self, byte: u8, query: &[u8]) -> Places {
        let query_len = u16::try_from(query.len());
        let (Ok(query_len), false) = (query_len, matches!(self, Places::Unknown) || matches!(byte, b'[' | b'\\'))
        else {
            return Places::Unknown;
        };
        let reads = |place: &u16| match byte {
            b'?' => *place < query_len,
            _ => query.get(usize::from(*place)) == Some(&byte),
        };
        match (self, byte) {
            (Places::At(places), b'*') => {
                places.iter().min().map_or(Places::At(heapless::Vec::new()), |&p| Places::From(p))
            }
            (Places::From(start), b'*') => Places::From(*start),
            (Places::From(start), b'?') if *start < query_len => Places::From(start.saturating_add(1)),
            (Places::At(places), _) => Places::behind(places.iter().copied().filter(reads)),
            (Places::From(start), _) => Places::behind((*start..query_len).filter(reads)),
            (Places::Unknown, _) => Places::Unknown,
        }
    }

    /// Moves each position behind the byte that was matched there.
    fn behind(places: impl Iterator<Item = u16>) -> Places {
        let mut moved = heapless::Vec::new();
        for place in places {
            if moved.push(place.saturating_add(1)).is_err() {
                return Places::Unknown;
            }
        }
        Places::At(moved)
    }

    fn is_dead(&self) -> bool {
        matches!(self, Places::At(places) if places.is_empty())
    }

    /// Whether the pattern, now read to its end, matches the query to its end.
    fn accepts(&self, key: &[u8], query: &[u8]) -> bool {
        match self {
            Places::At(places) => places.iter().any(|&place| usize::from(place) == query.len()),
            Places::From(_) => true,
            Places::Unknown => glob::matches(key, query),
        }
    }
}

fn is_wild(byte: u8) -> bool {
    matches!(byte, b'*' | b'?' | b'[')
}
