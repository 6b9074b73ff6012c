//! The nearest right spelling of a name that is not known.

/// Least likeness, of 0 to 1, at which a name is worth suggesting.
const LIKENESS_MIN: f64 = 0.7;

/// Finds the name most like `wrong`; of equals the first. `None` where none is like it.
pub fn closest<'a>(wrong: &str, right: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.replace('-', "_");
    let mut best = (LIKENESS_MIN, None);
    for name in right {
        let likeness = strsim::normalized_damerau_levenshtein(&wrong, name);
        if likeness > best.0 {
            best = (likeness, Some(name));
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_slip_is_corrected_and_a_stranger_is_not() {
        let names = ["sunxi_mmc", "sunxi_wdt", "ext4"];
        assert_eq!(closest("sunix-mmc", names), Some("sunxi_mmc"));
        assert_eq!(closest("ext5", names), Some("ext4"));
        assert_eq!(closest("nvme", names), None);
    }
}
