//! Wildcard look-up: the keys of the index are patterns, the query is literal text.
//!
//! The walk goes down comparing literally. Where a pattern's first `*`, `?` or `[` stands, all keys below are
//! candidates; kmod tries `fnmatch` on each. We carry along the places of the query that the pattern can have reached
//! so far and cut every subtree that can match no more, so that a query among 9,000 `of:` patterns visits some dozens
//! of nodes. Brackets and escapes, which span nodes, and a set of places that outgrows its room fall back to
//! `fnmatch` on each key below. Matches come in kmod's order. Source: kmod, libkmod-index.c, `index_searchwild`.

use super::read::{Fault, Fuel, Index, Key, Node, Value};
use crate::error::Error;
use crate::glob;

/// Where in the query a partly read pattern can stand.
#[derive(Clone)]
enum Places {
    /// At any of these offsets.
    At(heapless::Vec<u16, 24>),
    /// Anywhere from this offset on: a `*` was read last.
    From(u16),
    /// Not tracked: match the whole key when it is read.
    Unknown,
}

struct Search<'q, 'map> {
    index: &'q Index<'map>,
    fuel: Fuel,
    /// The query from where the patterns stop being literal.
    tail: &'q [u8],
    /// The pattern read so far, from the same place on.
    key: Key,
    each: &'q mut dyn FnMut(Value<'map>) -> Result<(), Error>,
}

impl<'map> Index<'map> {
    /// Calls `each` with every value whose key, as a pattern, matches all of `query`.
    ///
    /// # Errors
    /// A [`Fault`] for a damaged node on the way, or with the error that `each` returned.
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
            // What stands below a wild edge was searched above, also for a query that holds the same character.
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
    /// Searches below an edge from a node whose patterns can stand at `places`.
    fn edge(&mut self, child: &Node<'map>, edge: u8, places: &Places) -> Result<(), Fault> {
        self.key.push(edge).map_err(|_| child.fault(Error::TooLong))?;
        let places = places.after(edge, self.tail);
        if !places.is_dead() {
            self.below(child, child.prefix, places)?;
        }
        self.key.pop();
        Ok(())
    }

    /// Searches all keys of `node` and below; `prefix` is what of the node's prefix is not yet read.
    /// The recursion is bounded by the key's length: each level adds a byte.
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

    /// Returns the places after one more pattern byte.
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

    /// Moves each place behind the byte that was read there.
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

    /// Says whether the pattern, read to its end, matches the query to its end.
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
