// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replaces a set of index files as a whole: a reader gets all of the old set or all of the new, even if the run is
//! killed.
//!
//! A file system renames one file at a time, and a set has eleven files. So a single rename has to change them all:
//! 1. The stage, a directory beside the files, gets the new set and hard links to the old one.
//! 2. Each file is replaced by a symbolic link through `now`, which points to the old set.
//! 3. Another `now`, which points to the new set, is renamed over it. This is the change.
//! 4. The new files are renamed over the links.
//!
//! ```text
//! .depmod.4711/old/modules.dep      the old file
//! .depmod.4711/new/modules.dep      the new file
//! .depmod.4711/now                  -> old, then -> new
//! modules.dep                       a file, then -> .depmod.4711/now/modules.dep, then a file
//! ```
//!
//! No step but the third changes the content of any file. A run that was killed leaves links behind, all to the old set
//! or all to the new one; the next run turns them into files.
//!
//! The user is often root and the tree another user's, so nothing in the tree is trusted:
//! * A stage is taken only if it is a directory of the process' user or of the owner of the directory of the indexes. That
//!   owner can write the indexes anyway.
//! * A link is taken only if it has the name of an index and exactly the target above.
//! * Every directory is opened without following links. Renames and removals are relative to its descriptor.
//! * All checks come before the first change. An entry that fails one is an error that names it.
//! * Other users cannot enter a stage before it is complete.

use super::emit::IndexFile;
use crate::host::error::{Error, Result};
use crate::host::input;
use crate::host::modules::file::{STAGE, is_stage};
use crate::host::output::Dir;
use crate::host::root::Root;
use crate::host::signals;
use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, fchmod, flock, fsync, linkat};
use rustix::fs::{openat, readlinkat, renameat, symlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Levels of directories in a stage: `old` and `new` have only files.
const STAGE_DEPTH: usize = 1;

/// Replaces the files of these names in the directory `below` of `root`, which is created if it is missing.
///
/// # Errors
/// A system call failed, a directory has the name of a file, or a stage or a link to one is not depmod's. The old set is
/// then in place; the new one, if the error came after the change.
pub(super) fn replace(root: &Root, below: &Path, files: &[IndexFile]) -> Result<()> {
    fs::create_dir_all(root.path()).map_err(Error::io(root.path()))?;
    let path = root.join(below);
    let resolved = root.resolve(below).map_err(Error::io(&path))?;
    let dir = Dir::open(root.path()).and_then(|top| top.create_dir_all(&resolved)).map_err(Error::io(&path))?;
    let set = Set { dir, path: root.join(&resolved), root, files };
    for (name, _) in files {
        if set.dir.file_type(OsStr::new(name)).map_err(Error::io(set.path.join(name)))? == Some(FileType::Directory) {
            return Err(Error::input(set.path.join(name), "a directory is in the place of the index file; remove it"));
        }
    }
    // One run at a time, if the file system has locks.
    _ = flock(&set.dir, FlockOperation::LockExclusive);
    let hold = signals::hold();
    set.finish_stages()?;
    let name = format!("{STAGE}{}", std::process::id());
    let result = Stage::new(&set, &name).and_then(|stage| {
        stage.fill()?;
        if hold.is_ending() {
            return Err(Error::io(&set.path)(io::ErrorKind::Interrupted.into()));
        }
        stage.change()
    });
    let finished = set.finish_stages();
    result.and(finished)
}

/// A set of index files and their directory.
struct Set<'a> {
    dir: Dir,
    path: PathBuf,
    root: &'a Root,
    files: &'a [IndexFile],
}

/// A link from the set into a stage.
struct Link<'a> {
    name: &'a OsStr,
    /// The directory of the file behind the link; `None` if the stage or the file is missing.
    from: Option<&'a Dir>,
}

impl Set<'_> {
    /// Replaces every link into a stage with the file behind it, and removes the stages. A run that was killed leaves them.
    ///
    /// # Errors
    /// A link or a stage is not depmod's. Nothing is changed then.
    fn finish_stages(&self) -> Result<()> {
        let names = self.dir.names().map_err(Error::io(&self.path))?;
        let stages: Vec<&OsString> = names.iter().filter(|name| is_stage(name.as_encoded_bytes())).collect();
        let sets = stages.iter().map(|stage| self.current(stage)).collect::<Result<Vec<_>>>()?;
        let mut links = Vec::new();
        for name in &names {
            let Ok(text) = readlinkat(&self.dir, name, Vec::new()) else { continue };
            if text.as_bytes().starts_with(STAGE.as_bytes()) {
                let text = OsString::from_vec(text.into_bytes());
                let stage = self.stage_of(name, &text)?;
                let set = stages.iter().zip(&sets).find(|(known, _)| known.as_os_str() == stage).map(|(_, set)| set);
                links.push(self.link(name, set.map(Option::as_ref))?);
            }
        }
        // Every stage and every link is depmod's: the changes begin here.
        for link in links {
            let replaced = match link.from {
                Some(from) => renameat(from, link.name, &self.dir, link.name).map_err(io::Error::from),
                None => self.dir.remove(link.name),
            };
            replaced.map_err(Error::io(self.path.join(link.name)))?;
        }
        let remove =
            |stage: &OsString| self.dir.remove_tree(stage, STAGE_DEPTH).map_err(Error::io(self.path.join(stage)));
        stages.into_iter().try_for_each(remove)
    }

    /// Opens the set that `now` of a stage points to; `None` if the stage is incomplete.
    ///
    /// # Errors
    /// The stage is not depmod's.
    fn current(&self, stage: &OsStr) -> Result<Option<Dir>> {
        let path = self.path.join(stage);
        let foreign = |what: &str| Error::input(&path, format!("{what}: not a directory of depmod's; remove it"));
        let dir = self.dir.subdir(stage).map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOTDIR | Errno::LOOP) => foreign("a file or a link"),
            _ => Error::io(&path)(error),
        })?;
        if !self.dir.is_own(&dir).map_err(Error::io(&path))? {
            return Err(foreign("belongs to another user"));
        }
        match readlinkat(&dir, "now", Vec::new()) {
            Ok(now) if matches!(now.as_bytes(), b"old" | b"new") => {
                match dir.subdir(now.as_c_str()) {
                    // The stage was being removed.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    set => set.map(Some).map_err(Error::io(path.join("now"))),
                }
            }
            Err(Errno::NOENT) => Ok(None),
            _ => {
                Err(Error::input(path.join("now"), format!("not a link to `old` or `new`; remove {}", path.display())))
            }
        }
    }

    /// Returns the stage that the link `name` with the target `text` leads into.
    ///
    /// # Errors
    /// The link does not have the form that [`Stage::change`] gives it.
    fn stage_of<'t>(&self, name: &OsStr, text: &'t OsStr) -> Result<&'t OsStr> {
        let parts: Vec<&OsStr> = Path::new(text).iter().collect();
        match parts[..] {
            [stage, now, file]
                if is_stage(stage.as_encoded_bytes())
                    && now == "now"
                    && file == name
                    && text.len() == stage.len() + "/now/".len() + name.len()
                    && self.files.iter().any(|(known, _)| name == *known) =>
            {
                Ok(stage)
            }
            _ => {
                let what = format!("a link to {}, which depmod did not make; remove it", text.display());
                Err(Error::input(self.path.join(name), what))
            }
        }
    }

    /// Finds the file behind the link `name` in `set`: the set of its stage, or `None` if the stage is missing.
    fn link<'s>(&self, name: &'s OsStr, set: Option<Option<&'s Dir>>) -> Result<Link<'s>> {
        let path = || self.path.join(name);
        let Some(set) = set else { return Ok(Link { name, from: None }) };
        let set =
            set.ok_or_else(|| Error::input(path(), "a link into an incomplete directory of depmod's; remove it"))?;
        match set.file_type(name).map_err(Error::io(path()))? {
            None => Ok(Link { name, from: None }),
            Some(FileType::RegularFile) => Ok(Link { name, from: Some(set) }),
            Some(_) => {
                Err(Error::input(path(), "a link through a directory of depmod's to what is not a file; remove it"))
            }
        }
    }

    /// Makes a hard link in `old` to the file `name`, if it exists.
    fn keep(&self, name: &OsStr, old: &Dir) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match self.dir.file_type(name)? {
            None => return Ok(()),
            Some(FileType::Symlink) => {
                match self.root.follow(&self.path.join(name)).and_then(|path| input::open(&path)) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                    file => {
                        let file = file?;
                        let open = format!("/proc/self/fd/{}", file.as_raw_fd());
                        if linkat(CWD, open, old, name, AtFlags::SYMLINK_FOLLOW).is_ok() {
                            return Ok(());
                        }
                        file
                    }
                }
            }
            Some(kind) => match linkat(&self.dir, name, old, name, AtFlags::empty()) {
                Ok(()) => return Ok(()),
                Err(errno) if kind != FileType::RegularFile => return Err(errno.into()),
                Err(_) => File::from(openat(&self.dir, name, flags, Mode::empty())?),
            },
        };
        // The file is in another file system, or in one without hard links: a copy serves as well.
        copy(file, name, old)
    }
}

fn copy(mut from: File, name: &OsStr, to: &Dir) -> io::Result<()> {
    let (mut data, mode) = (Vec::new(), from.metadata()?.mode() & 0o777);
    from.read_to_end(&mut data)?;
    let mut file = to.create_file(name, 0o600)?;
    file.write_all(&data)?;
    fchmod(&file, Mode::from_raw_mode(mode))?;
    file.sync_all()
}

/// A directory in which a new set waits for the change.
struct Stage<'a> {
    set: &'a Set<'a>,
    /// Relative to the set's directory, as links beside it need it.
    name: &'a str,
    path: PathBuf,
    dir: Dir,
}

impl<'a> Stage<'a> {
    fn new(set: &'a Set<'a>, name: &'a str) -> Result<Self> {
        let path = set.path.join(name);
        let dir = set.dir.create_dir(OsStr::new(name), 0o700).map_err(Error::io(&path))?;
        Ok(Stage { set, name, path, dir })
    }

    /// Writes the new set, links the old one, and syncs both to the disk.
    fn fill(&self) -> Result<()> {
        let make = |name: &str| self.dir.create_dir(OsStr::new(name), 0o755).map_err(Error::io(self.path.join(name)));
        let (old, new) = (make("old")?, make("new")?);
        let mut files = Vec::with_capacity(self.set.files.len());
        for (name, bytes) in self.set.files {
            let name = OsStr::new(name);
            self.set.keep(name, &old).map_err(Error::io(self.set.path.join(name)))?;
            let written = new.create_file(name, 0o666).and_then(|mut file| file.write_all(bytes).map(|()| file));
            files.push(written.map_err(Error::io(self.path.join("new").join(name)))?);
        }
        self.link("old", "now")?;
        // Readers of all users pass through these directories, whatever the umask.
        for dir in [&old, &new, &self.dir] {
            fchmod(dir, Mode::from_raw_mode(0o755)).map_err(|errno| Error::io(&self.path)(errno.into()))?;
        }
        self.sync(&files, [&old, &new, &self.dir])
    }

    /// Syncs all files at once: the file system makes one commit of concurrent requests.
    fn sync(&self, files: &[File], dirs: [&Dir; 3]) -> Result<()> {
        let fds: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).chain(dirs.map(AsFd::as_fd)).collect();
        std::thread::scope(|scope| {
            let sync = |fd| fsync(fd).map_err(|errno| Error::io(&self.path)(errno.into()));
            let syncs: Vec<_> = fds.into_iter().map(|fd| scope.spawn(move || sync(fd))).collect();
            syncs.into_iter().try_for_each(|sync| sync.join().expect("syncing does not panic"))
        })
    }

    /// Replaces the files with links, and turns these to the new set.
    fn change(&self) -> Result<()> {
        for (name, _) in self.set.files {
            self.link(&format!("{}/now/{name}", self.name), "link")?;
            let renamed = renameat(&self.dir, "link", &self.set.dir, *name);
            renamed.map_err(|errno| Error::io(self.set.path.join(name))(errno.into()))?;
        }
        self.link("new", "link")?;
        let synced = fsync(&self.set.dir);
        let changed = synced.and_then(|()| renameat(&self.dir, "link", &self.dir, "now"));
        changed.map_err(|errno| Error::io(self.path.join("now"))(errno.into()))
    }

    fn link(&self, text: &str, name: &str) -> Result<()> {
        symlinkat(text, &self.dir, name).map_err(|errno| Error::io(self.path.join(name))(errno.into()))
    }
}
