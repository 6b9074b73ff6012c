// SPDX-License-Identifier: MIT OR Apache-2.0
//! Firmware files by the names that modules and device-tree nodes request, looked up in directories like /lib/firmware,
//! compressed or not. Source: the kernel's drivers/base/firmware_loader/main.c.

use crate::glob;
use crate::host::error::{Error, Result};
use crate::host::input;
use crate::host::root::Root;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Suffixes that the kernel tries, in this order.
const SUFFIXES: [&str; 3] = ["", ".zst", ".xz"];

/// A directory like /lib/firmware.
#[derive(Debug, Clone)]
pub struct FirmwareDir {
    /// Its path.
    path: PathBuf,
    /// The root that its links are resolved below.
    root: Root,
}

impl FirmwareDir {
    /// Makes the directory at `path`, in a target's root if it is ROOT/lib/firmware or ROOT/usr/lib/firmware.
    ///
    /// # Errors
    /// It is not a directory, or its links cannot be resolved.
    pub fn new(path: &Path) -> Result<FirmwareDir> {
        let (root, real) = Root::of_target(path, "lib/firmware", 0).map_err(Error::io(path))?;
        if !input::metadata(&real)?.is_some_and(|meta| meta.is_dir()) {
            return Err(Error::input(path, "not a directory (--firmware or firmware.dirs)"));
        }
        Ok(FirmwareDir { path: real, root: root.unwrap_or_default() })
    }

    /// Returns where the kernel looks for firmware, below a directory like /lib/firmware, in its order: `fw_path`.
    fn places(&self, kver: &str) -> [PathBuf; 4] {
        let updates = self.path.join("updates");
        [updates.join(kver), updates, self.path.join(kver), self.path.clone()]
    }

    /// Resolves the links of a path below the directory.
    fn follow(&self, path: &Path) -> Result<PathBuf> {
        self.root.follow(path).map_err(Error::io(path))
    }

    /// Returns the names in it that match `pattern`, without suffixes of compression; without wildcards, `pattern`.
    fn matching(&self, pattern: &str, kver: &str) -> Result<BTreeSet<String>> {
        if !pattern.contains(['*', '?', '[']) {
            return Ok(BTreeSet::from([pattern.to_owned()]));
        }
        let (sub, last) = pattern.rsplit_once('/').unwrap_or(("", pattern));
        let mut matching = BTreeSet::new();
        for place in self.places(kver) {
            let names = input::names(&self.follow(&place.join(sub))?)?;
            matching.extend(names.iter().filter_map(|name| name.to_str()).filter_map(|name| {
                let plain = name.trim_end_matches(".xz").trim_end_matches(".zst");
                let whole = if sub.is_empty() { plain.to_owned() } else { format!("{sub}/{plain}") };
                glob::matches(last.as_bytes(), plain.as_bytes()).then_some(whole)
            }));
        }
        Ok(matching)
    }
}

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
    /// A file or directory exists but cannot be read.
    pub fn add(&mut self, dirs: &[FirmwareDir], name: &str, user: &str) -> Result<()> {
        let mut names = BTreeSet::new();
        for dir in dirs {
            names.extend(dir.matching(name, &self.kver)?);
        }
        let mut is_found = false;
        for name in names {
            is_found |= self.add_one(dirs, &name, user)?;
        }
        if !is_found {
            self.missing.entry(name.into()).or_insert_with(|| user.into());
        }
        Ok(())
    }

    fn add_one(&mut self, dirs: &[FirmwareDir], name: &str, user: &str) -> Result<bool> {
        if Path::new(name).components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            return Ok(false);
        }
        for dir in dirs {
            let places = dir.places(&self.kver);
            let files = SUFFIXES.into_iter().flat_map(|suffix| places.iter().map(move |place| (place, suffix)));
            for (place, suffix) in files {
                let file = format!("{name}{suffix}");
                let path = dir.follow(&place.join(&file))?;
                if input::metadata(&path)?.is_some_and(|meta| meta.is_file()) {
                    let data = input::read(&path)?;
                    self.found.entry(file).or_insert_with(|| (user.into(), data));
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_directory_and_the_uncompressed_file_win() {
        let dir = tempfile::tempdir().unwrap();
        for (path, data) in [("a/x/one.bin.xz", "1"), ("b/x/one.bin", "2"), ("b/two.bin", "3"), ("b/two.bin.zst", "4")]
        {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, data).unwrap();
        }
        let dirs = ["a", "b"].map(|name| FirmwareDir::new(&dir.path().join(name)).unwrap());
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
            firmware.add(&[FirmwareDir::new(dir.path()).unwrap()], name, "m").unwrap();
        }
        let found: Vec<_> = firmware.found.iter().map(|(name, (_, data))| (name.as_str(), &data[..])).collect();
        assert_eq!(found, [("one.bin", &b"2"[..]), ("three.bin", b"1"), ("two.bin", b"3")]);
        assert_eq!(firmware.missing.keys().collect::<Vec<_>>(), ["four.bin"]);
    }

    #[test]
    fn links_stay_below_the_targets_root_and_unreadable_directories_are_errors() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("lib/firmware");
        std::fs::create_dir_all(path.join("brcm")).unwrap();
        std::fs::write(path.join("brcm/real.bin"), "1").unwrap();
        for (target, link) in [
            ("/lib/firmware/brcm", "vendor"),
            ("/lib/firmware/brcm/real.bin", "one.bin"),
            ("/etc/passwd", "of-the-host.bin"),
            ("loop", "loop"),
        ] {
            std::os::unix::fs::symlink(target, path.join(link)).unwrap();
        }
        let dirs = [FirmwareDir::new(&path).unwrap()];
        let mut firmware = Firmware { kver: "6.1".into(), ..Firmware::default() };
        for name in ["one.bin", "vendor/*.bin", "of-the-host.bin"] {
            firmware.add(&dirs, name, "m").unwrap();
        }
        assert_eq!(firmware.found.keys().collect::<Vec<_>>(), ["one.bin", "vendor/real.bin"]);
        assert_eq!(firmware.missing.keys().collect::<Vec<_>>(), ["of-the-host.bin"]);
        for name in ["loop/x.bin", "loop/*.bin"] {
            assert!(firmware.add(&dirs, name, "m").is_err(), "{name}");
        }
    }
}
