// SPDX-License-Identifier: MIT OR Apache-2.0
//! Suggests the correct spelling of an unknown name.

/// Least similarity, from 0 to 1, at which a name is suggested.
const SIMILARITY_MIN: f64 = 0.7;

/// Returns the name of `right` most similar to `wrong`, the first of equals; `None` if none is similar.
pub fn closest<'a>(wrong: &str, right: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.replace('-', "_");
    let mut best = (SIMILARITY_MIN, None);
    for name in right {
        let similarity = strsim::normalized_damerau_levenshtein(&wrong, name);
        if similarity > best.0 {
            best = (similarity, Some(name));
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_typo_is_corrected_and_an_unrelated_name_is_not() {
        let names = ["sunxi_mmc", "sunxi_wdt", "ext4"];
        assert_eq!(closest("sunix-mmc", names), Some("sunxi_mmc"));
        assert_eq!(closest("ext5", names), Some("ext4"));
        assert_eq!(closest("nvme", names), None);
    }
}
