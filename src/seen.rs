//! What was met before, in a room of fixed size: once it is crowded, it forgets some of it.
//!
//! Texts are told apart by 63 bits of a hash: among 4,000 two are alike once in 10^12 times.

/// Hashes of texts, each with a mark, in a room that the caller lends: zeros at first.
#[derive(Debug)]
pub struct Met<'buf>(&'buf mut [u64]);

/// How many places a hash may be at. Of 512 texts in 1,024 places one in 4,000 is forgotten.
const TRIES: u64 = 16;

impl<'buf> Met<'buf> {
    /// Makes an empty set in a room of zeros; one without room forgets all at once.
    pub fn new(room: &'buf mut [u64]) -> Self {
        Met(room)
    }

    /// Returns the mark of a text that was noted.
    pub fn get(&self, text: &[u8]) -> Option<bool> {
        let hash = hash(text);
        let slots = (0..TRIES).filter_map(|step| self.0.get(self.place(hash, step)));
        slots.take_while(|slot| **slot != 0).find(|slot| **slot | 1 == hash).map(|slot| *slot != hash)
    }

    /// Notes a text with a mark; says whether it was noted before, as far as is remembered.
    pub fn note(&mut self, text: &[u8], mark: bool) -> bool {
        let hash = hash(text);
        for step in 0..TRIES {
            let place = self.place(hash, step);
            let Some(slot) = self.0.get_mut(place) else { break };
            let was_noted = *slot | 1 == hash;
            // The last place is had by whoever comes, the others by who came first.
            if was_noted || *slot == 0 || step == TRIES - 1 {
                *slot = hash ^ u64::from(mark);
                return was_noted;
            }
        }
        false
    }

    /// Returns one of the places that a hash may be at.
    fn place(&self, hash: u64, step: u64) -> usize {
        (hash >> 32).wrapping_add(step).checked_rem(self.0.len() as u64).unwrap_or_default() as usize
    }
}

/// FNV-1a, 64 bits, of which the lowest is set for the sake of the mark.
fn hash(text: &[u8]) -> u64 {
    let hash = text
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum: u64, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    hash | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_there_with_its_last_mark() {
        let mut room = [0; 64];
        let mut met = Met::new(&mut room);
        assert_eq!(met.get(b"kernel/a.ko"), None);
        met.note(b"kernel/a.ko", false);
        met.note(b"kernel/b.ko", true);
        assert_eq!((met.get(b"kernel/a.ko"), met.get(b"kernel/b.ko")), (Some(false), Some(true)));
        assert!(met.note(b"kernel/a.ko", true) && !met.note(b"kernel/d.ko", true));
        assert_eq!((met.get(b"kernel/a.ko"), met.get(b"kernel/c.ko")), (Some(true), None));
    }

    #[test]
    fn a_crowded_room_forgets_and_never_makes_up() {
        let mut room = [0; 100];
        let mut met = Met::new(&mut room);
        for number in 0..1000u32 {
            met.note(&number.to_ne_bytes(), false);
            assert_eq!(met.get(&number.to_ne_bytes()), Some(false), "the last is there");
        }
        assert!((0..1000u32).filter(|number| met.get(&number.to_ne_bytes()).is_some()).count() <= 100);
        assert!((1000..2000u32).all(|number| met.get(&number.to_ne_bytes()).is_none()));
    }

    #[test]
    fn without_room_nothing_is_remembered() {
        let mut met = Met::new(&mut []);
        assert!(!met.note(b"a", true));
        assert_eq!(met.get(b"a"), None);
    }
}
