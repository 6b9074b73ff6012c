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

    /// Returns the root's absolute path.
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

    /// Resolves all links of `path`, which begins with the root's path. Returns `path` itself if the root is `/`: the kernel
    /// resolves it.
    ///
    /// # Errors
    /// Those of [`Root::resolve`].
    pub fn follow(&self, path: &Path) -> io::Result<PathBuf> {
        match path.strip_prefix(&self.path) {
            Ok(below) if self.path != Path::new("/") => Ok(self.path.join(self.resolve(below)?)),
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
}
