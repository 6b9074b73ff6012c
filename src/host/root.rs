// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resolves paths below a root directory like chroot(2): an absolute link leads to the root's own files, and `..` ends at
//! the root.

use rustix::io::Errno;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Links on a path before it counts as a loop, like in the kernel.
const LINKS_MAX: usize = 40;

/// The root directory of paths; by default `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    path: PathBuf,
}

impl Default for Root {
    fn default() -> Self {
        Root { path: PathBuf::from("/") }
    }
}

impl Root {
    /// Makes the root at `path`.
    ///
    /// # Errors
    /// The path is relative and the working directory was removed.
    pub fn new(path: &Path) -> io::Result<Root> {
        Ok(Root { path: std::path::absolute(path)? })
    }

    /// Returns the root's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Joins `path`, with or without a leading `/`, to the root's path. Resolves no links.
    pub fn join(&self, path: &Path) -> PathBuf {
        self.path.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Resolves all links of `path`, which is below the root with or without a leading `/`. Returns a path without links,
    /// relative to the root. A name that does not exist is kept.
    ///
    /// # Errors
    /// A loop of links, or a directory that cannot be searched.
    pub fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let mut names = reversed(path);
        let (mut done, mut links_count) = (PathBuf::new(), 0);
        while let Some(name) = names.pop() {
            if name == ".." {
                done.pop();
                continue;
            }
            let next = done.join(name);
            match fs::read_link(self.path.join(&next)) {
                Ok(target) => {
                    links_count += 1;
                    if links_count > LINKS_MAX {
                        return Err(Errno::LOOP.into());
                    }
                    if target.is_absolute() {
                        done.clear();
                    }
                    names.extend(reversed(&target));
                }
                // Not a link, or missing.
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => {
                    done = next
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Finds the root of the target that `dir` lies in, where it is `depth` names below ROOT/`place` or ROOT/usr/`place`:
    /// `lib/modules` and 1 for ROOT/lib/modules/KVER. Returns the root, and the directory with its links resolved below
    /// it; for another directory no root, and the directory itself.
    ///
    /// # Errors
    /// Those of [`Root::resolve`].
    pub fn of_target(dir: &Path, place: &str, depth: usize) -> io::Result<(Option<Root>, PathBuf)> {
        let root_of = |path: &Path| {
            let place_dir = path.ancestors().nth(depth).filter(|above| above.ends_with(place))?;
            let root = place_dir.ancestors().nth(Path::new(place).components().count())?;
            Some(root.parent().filter(|_| root.ends_with("usr")).unwrap_or(root).to_owned())
        };
        let absolute = std::path::absolute(dir)?;
        let real = fs::canonicalize(dir).unwrap_or_default();
        for path in [dir, &absolute, &real] {
            let Some(root) = root_of(path).map(|path| Root { path }) else { continue };
            let resolved = root.follow(path)?;
            // A path without links stays as it was given, for messages.
            let is_same = resolved.components().eq(path.components());
            return Ok((Some(root), if is_same { path.to_owned() } else { resolved }));
        }
        Ok((None, dir.to_owned()))
    }

    /// Resolves all links of `path`, which begins with the root's path. Returns `path` itself if the root is `/`: the kernel
    /// resolves it.
    ///
    /// # Errors
    /// Those of [`Root::resolve`].
    pub fn follow(&self, path: &Path) -> io::Result<PathBuf> {
        match path.strip_prefix(&self.path) {
            Ok(below) if self.path != Path::new("/") && path.is_absolute() == self.path.is_absolute() => {
                Ok(self.path.join(self.resolve(below)?))
            }
            _ => Ok(path.to_owned()),
        }
    }
}

/// Returns the names of `path`, `..` included, last first.
fn reversed(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    names.map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path()).unwrap();
        fs::create_dir_all(dir.path().join("usr/lib")).unwrap();
        for (target, link) in
            [("/usr/lib", "lib"), ("../../../../etc", "usr/up"), ("loop", "loop"), ("/lib/x", "usr/lib/two")]
        {
            symlink(target, dir.path().join(link)).unwrap();
        }
        for (path, want) in [
            ("/lib/modules/6", "usr/lib/modules/6"),
            ("usr/up/passwd", "etc/passwd"),
            ("lib/two", "usr/lib/x"),
            ("../a/./b", "a/b"),
        ] {
            assert_eq!(root.resolve(Path::new(path)).unwrap(), Path::new(want), "{path}");
        }
        assert!(root.resolve(Path::new("loop/a")).is_err());
    }

    #[test]
    fn the_root_of_a_target_is_found_above_its_modules() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().canonicalize().unwrap();
        fs::create_dir_all(dir.join("usr/lib/modules/6")).unwrap();
        symlink("/usr/lib", dir.join("lib")).unwrap();
        symlink(dir.join("usr/lib/modules/6"), dir.join("tree")).unwrap();
        let found = |path: &str, place: &str, depth| {
            let (root, resolved) = Root::of_target(&dir.join(path), place, depth).unwrap();
            let below = resolved.strip_prefix(&dir).unwrap().to_str().unwrap().to_owned();
            (root.map(|root| root.path == dir), below)
        };
        let tree = (Some(true), "usr/lib/modules/6".to_owned());
        for path in ["lib/modules/6", "usr/lib/modules/6", "tree"] {
            assert_eq!(found(path, "lib/modules", 1), tree, "{path}");
        }
        assert_eq!(found("usr/lib", "lib/modules", 1), (None, "usr/lib".into()));
        assert_eq!(found("lib/firmware", "lib/firmware", 0), (Some(true), "usr/lib/firmware".into()));
        let relative = Root::of_target(Path::new("lib/modules/no-such"), "lib/modules", 1).unwrap();
        assert_eq!(relative, (Some(Root { path: PathBuf::new() }), "lib/modules/no-such".into()));
    }
}
