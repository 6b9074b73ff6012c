//! What leaving a module out would save: itself, and all that nothing else needs.

use std::collections::{BTreeSet, HashMap};

/// Returns for each of `places` the bytes that fall away with it. `edges` tell who needs whom, `None` the board itself;
/// `len` the bytes of each.
pub fn savings(places: &[usize], edges: &BTreeSet<(Option<usize>, usize)>, len: impl Fn(usize) -> u64) -> Vec<u64> {
    let mut needs: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    for &(user, needed) in edges {
        needs.entry(user).or_default().push(needed);
    }
    let saved = |left_out: usize| {
        let mut kept = BTreeSet::new();
        let mut open = vec![None];
        while let Some(user) = open.pop() {
            for &needed in needs.get(&user).into_iter().flatten() {
                if needed != left_out && kept.insert(needed) {
                    open.push(Some(needed));
                }
            }
        }
        places.iter().filter(|place| !kept.contains(place)).map(|&place| len(place)).sum()
    };
    places.iter().map(|&place| saved(place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_need_falls_away_with_neither() {
        // 0 and 1 are asked for; both need 2, and 2 needs 3; 1 alone needs 4.
        let edges = [(None, 0), (None, 1), (Some(0), 2), (Some(1), 2), (Some(2), 3), (Some(1), 4)];
        let saved = savings(&[0, 1, 2, 3, 4], &edges.into(), |at| 10u64.pow(at as u32));
        assert_eq!(saved, [1, 10_010, 1_100, 1_000, 10_000]);
    }

    #[test]
    fn circles_fall_away_as_a_whole() {
        let edges = [(None, 0), (Some(0), 1), (Some(1), 2), (Some(2), 1)];
        assert_eq!(savings(&[0, 1, 2], &edges.into(), |_| 1), [3, 2, 1]);
    }
}
