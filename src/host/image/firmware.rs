//! Firmware files by the names that modules and device-tree nodes request, looked up in directories like /lib/firmware,
//! compressed or not. Source: the kernel's drivers/base/firmware_loader/main.c.

use crate::glob;
use crate::host::error::Result;
use crate::host::input;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Suffixes that the kernel tries, in this order.
const SUFFIXES: [&str; 3] = ["", ".zst", ".xz"];

/// Requested firmware, found and missing.
#[derive(Debug, Default)]
pub struct Firmware {
    /// The kernel release.
    pub kver: String,
    /// By name below /lib/firmware: the first user, and the content.
    pub found: BTreeMap<String, (String, Vec<u8>)>,
    /// The first user of each missing file, by name.
    pub missing: BTreeMap<String, String>,
}

impl Firmware {
    /// Looks up a name, or a pattern of names, for `user`. The first of `dirs` that has a file provides it.
    ///
    /// # Errors
    /// A file exists but cannot be read.
    pub fn add(&mut self, dirs: &[PathBuf], name: &str, user: &str) -> Result<()> {
        let mut is_found = false;
        let places: Vec<PathBuf> = dirs.iter().flat_map(|dir| self.places(dir)).collect();
        for name in names_below(&places, name) {
            is_found |= self.add_one(dirs, &name, user)?;
        }
        if !is_found {
            self.missing.entry(name.into()).or_insert_with(|| user.into());
        }
        Ok(())
    }

    fn add_one(&mut self, dirs: &[PathBuf], name: &str, user: &str) -> Result<bool> {
        if Path::new(name).components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            return Ok(false);
        }
        for dir in dirs {
            let places = self.places(dir);
            let files = SUFFIXES.into_iter().flat_map(|suffix| places.iter().map(move |place| (place, suffix)));
            for (place, suffix) in files {
                let file = format!("{name}{suffix}");
                let path = place.join(&file);
                if path.is_file() {
                    let data = input::read(&path)?;
                    self.found.entry(file).or_insert_with(|| (user.into(), data));
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Returns where the kernel looks for firmware, below a directory like /lib/firmware, in its order: `fw_path`.
    fn places(&self, dir: &Path) -> [PathBuf; 4] {
        let updates = dir.join("updates");
        [updates.join(&self.kver), updates, dir.join(&self.kver), dir.to_owned()]
    }
}

/// Returns the names below `dirs` that match `pattern`, without suffixes of compression; without wildcards, `pattern`.
fn names_below(dirs: &[PathBuf], pattern: &str) -> BTreeSet<String> {
    if !pattern.contains(['*', '?', '[']) {
        return BTreeSet::from([pattern.to_owned()]);
    }
    let (sub, last) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let entries = dirs.iter().filter_map(|dir| std::fs::read_dir(dir.join(sub)).ok()).flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter_map(|name| {
        let plain = name.trim_end_matches(".xz").trim_end_matches(".zst");
        let whole = if sub.is_empty() { plain.to_owned() } else { format!("{sub}/{plain}") };
        glob::matches(last.as_bytes(), plain.as_bytes()).then_some(whole)
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_directory_and_the_uncompressed_file_win() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [dir.path().join("a"), dir.path().join("b")];
        for (path, data) in [("a/x/one.bin.xz", "1"), ("b/x/one.bin", "2"), ("b/two.bin", "3"), ("b/two.bin.zst", "4")]
        {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, data).unwrap();
        }
        let mut firmware = Firmware { kver: "6.1".into(), ..Firmware::default() };
        for name in ["x/one.bin", "two.bin", "x/none.bin", "../a/x/one.bin.xz", "x/o*.bin"] {
            firmware.add(&dirs, name, "m").unwrap();
        }
        let found: Vec<_> = firmware.found.iter().map(|(name, (_, data))| (name.as_str(), &data[..])).collect();
        assert_eq!(found, [("two.bin", &b"3"[..]), ("x/one.bin.xz", b"1")]);
        assert_eq!(firmware.missing.keys().collect::<Vec<_>>(), ["../a/x/one.bin.xz", "x/none.bin"]);
    }

    #[test]
    fn a_directory_is_searched_in_the_kernels_order() {
        let dir = tempfile::tempdir().unwrap();
        for (path, data) in [
            ("one.bin", "4"),
            ("6.1/one.bin", "3"),
            ("updates/one.bin", "2"),
            ("updates/6.1/one.bin.xz", "1, compressed"),
            ("two.bin", "4"),
            ("6.1/two.bin", "3"),
            ("updates/6.1/three.bin", "1"),
            ("updates/6.2/four.bin", "of another kernel"),
        ] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, data).unwrap();
        }
        let mut firmware = Firmware { kver: "6.1".into(), ..Firmware::default() };
        for name in ["one.bin", "two.bin", "thr*.bin", "four.bin"] {
            firmware.add(&[dir.path().to_owned()], name, "m").unwrap();
        }
        let found: Vec<_> = firmware.found.iter().map(|(name, (_, data))| (name.as_str(), &data[..])).collect();
        assert_eq!(found, [("one.bin", &b"2"[..]), ("three.bin", b"1"), ("two.bin", b"3")]);
        assert_eq!(firmware.missing.keys().collect::<Vec<_>>(), ["four.bin"]);
    }
}
