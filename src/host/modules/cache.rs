// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cache of the parsed modules of a tree, for the next run.
//!
//! An entry is valid only for the state of the file that was read: path, device, inode, length, and both mtime and ctime
//! to the nanosecond. A content hash would be safer, but hashing a module means reading it, and the cache exists to save
//! reading 94 MB. A change of a file changes its ctime, which no program can set back; a file renamed into place has
//! another inode; a restored tree has other ctimes. One case is left: a write after our read, within the same tick of
//! the file system's clock as the write before it. So a file that was changed less than two seconds before the scan
//! is not cached. Two seconds are the tick of FAT, the coarsest clock of a file system that holds modules.
//!
//! The format: magic; CRC-32 and length of all that follows; version; the tree's directory; the entries. Numbers are
//! little-endian, each string follows its u32 length. The whole file is rejected if it is damaged, truncated, writable
//! by others, or of another version, tree or owner.

use super::file::{ModuleFile, Stamp};
use super::module::{Facts, Module, Strings, Symbols};
use super::tree::Tree;
use crate::host::error::{Error, Result};
use crate::host::input;
use crate::host::output::{self, Dir};
use rustix::fs::{AtFlags, statat};
use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MAGIC: &[u8; 16] = b"initmod modules\n";

/// Version of the format: that of the package, and one of the layout within it.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "/1");

/// Age at which a cache file is removed: its kernel is most likely gone.
const EXPIRY: Duration = Duration::from_secs(90 * 24 * 3600);

/// Time since the last change, before the scan, from which on a file is cached.
const SETTLED: Duration = Duration::from_secs(2);

/// Typical length of an entry, bytes; only to reserve memory.
const ENTRY_LEN: usize = 3072;

/// The modules of a tree as an earlier run read them; empty by default.
#[derive(Debug, Default)]
pub struct Cache {
    data: Vec<u8>,
    /// For each path, the range of its entry in `data`.
    entries: HashMap<String, Range<usize>>,
}

/// Returns the path of the cache file in `caches` for the tree at `dir`.
///
/// # Errors
/// The tree does not exist.
pub fn file(caches: &Path, dir: &Path) -> Result<PathBuf> {
    let dir = fs::canonicalize(dir).map_err(Error::io(dir))?;
    let kver = dir.file_name().unwrap_or_default().to_string_lossy();
    let sum = libdeflater::crc32(dir.as_os_str().as_encoded_bytes());
    Ok(caches.join(format!("{kver}-{sum:08x}.modules")))
}

/// Returns the directory of the user's caches; `None` for a user without a home, as when a package is built.
pub fn default_dir() -> Option<PathBuf> {
    let dir = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let home = || dir("HOME").filter(|home| home.is_dir());
    let caches = dir("XDG_CACHE_HOME").or_else(|| Some(home()?.join(".cache")))?;
    Some(caches.join("initmod"))
}

impl Cache {
    /// Reads the cache file at `path` for the tree at `dir`. A missing file is an empty cache.
    ///
    /// # Errors
    /// The file cannot be read or is rejected. The caller warns and reads the modules instead.
    pub fn read(path: &Path, dir: &Path) -> Result<Cache> {
        let mut file = match input::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Cache::default()),
            file => file.map_err(Error::io(path))?,
        };
        let meta = file.metadata().map_err(Error::io(path))?;
        let reject = |what| Error::input(path, format!("cache ignored: {what}"));
        if meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o022 != 0 {
            return Err(reject("others can write to it"));
        }
        let mut data = Vec::new();
        file.read_to_end(&mut data).map_err(Error::io(path))?;
        let mut reader = Reader { data: &data, off: 0 };
        if reader.take(MAGIC.len()) != Some(MAGIC) {
            return Err(reject("not a cache of initmod"));
        }
        let (sum, len) = (reader.u32(), reader.u64());
        let body = data.get(reader.off..).unwrap_or_default();
        if len != Some(body.len() as u64) || sum != Some(libdeflater::crc32(body)) {
            return Err(reject("damaged or truncated"));
        }
        if reader.bytes() != Some(VERSION.as_bytes()) {
            return Err(reject("written by another version"));
        }
        if reader.bytes() != Some(dir_key(dir)?.as_bytes()) {
            return Err(reject("of another tree"));
        }
        let entries = reader.entries().ok_or_else(|| reject("damaged"))?;
        Ok(Cache { data, entries })
    }

    /// Returns the module that was read from `file`; `None` if the file has changed since, or was not cached.
    pub fn get(&self, file: &ModuleFile) -> Option<Module> {
        self.entry(file)?.module(file)
    }

    /// Whether it has all files of `tree` and no others, so that it need not be written again.
    pub fn is_complete(&self, tree: &Tree) -> bool {
        self.entries.len() == tree.files.len() && tree.files.iter().all(|file| self.entry(file).is_some())
    }

    /// Finds the entry for the present state of `file`, and returns a reader at its module.
    fn entry(&self, file: &ModuleFile) -> Option<Reader<'_>> {
        let range = self.entries.get(&file.path)?;
        let mut reader = Reader { data: self.data.get(..range.end)?, off: range.start };
        (reader.u64()? == file.file_len && reader.stamp()? == file.stamp).then_some(reader)
    }
}

/// Writes the modules of `tree` that could be read to the cache file at `path`, by an atomic rename. `results` has one
/// for each of the tree's files; the scan began at `begun`.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, tree: &Tree, results: &[Result<Module>], begun: SystemTime) -> Result<()> {
    let settled = begun.checked_sub(SETTLED).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let settled = settled.map_or(0, |time| time.as_nanos() as i128);
    let mut body = Vec::with_capacity(results.len() * ENTRY_LEN);
    put_bytes(&mut body, VERSION.as_bytes());
    put_bytes(&mut body, dir_key(&tree.dir)?.as_bytes());
    for (file, result) in tree.files.iter().zip(results) {
        if file.stamp.ctime_ns < settled
            && let Ok(module) = result
        {
            put_bytes(&mut body, file.path.as_bytes());
            let entry_len_off = body.len();
            put_u32(&mut body, 0);
            put_entry(&mut body, file, module);
            let entry_len = length(body.len() - entry_len_off - 4);
            body.splice(entry_len_off..entry_len_off + 4, entry_len.to_le_bytes());
        }
    }
    let caches = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(caches).map_err(Error::io(caches))?;
    let file =
        [&MAGIC[..], &libdeflater::crc32(&body).to_le_bytes(), &(body.len() as u64).to_le_bytes(), &body].concat();
    let (dir, name) = output::parent(path)?;
    remove_expired(&dir);
    dir.replace_file(name, 0o600, &file).map_err(Error::io(path))
}

fn remove_expired(caches: &Dir) {
    let is_expired = |stat: rustix::fs::Stat| {
        let written = u64::try_from(stat.st_mtime).map_or(UNIX_EPOCH, |secs| UNIX_EPOCH + Duration::from_secs(secs));
        written.elapsed().is_ok_and(|age| age > EXPIRY)
    };
    for name in caches.names().unwrap_or_default() {
        let stat = || statat(caches, &name, AtFlags::SYMLINK_NOFOLLOW);
        if Path::new(&name).extension().is_some_and(|suffix| suffix == "modules") && stat().is_ok_and(is_expired) {
            _ = caches.remove(&name);
        }
    }
}

fn dir_key(dir: &Path) -> Result<String> {
    Ok(fs::canonicalize(dir).map_err(Error::io(dir))?.to_string_lossy().into_owned())
}

/// Returns the length of a part of an entry as the cache stores it: what is known of a module is shorter than its file,
/// which is read up to a limit far below 4 GiB.
fn length(len: usize) -> u32 {
    u32::try_from(len).expect("less than a module's file")
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend(value.to_le_bytes());
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend(value.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, length(bytes.len()));
    out.extend(bytes);
}

fn put_entry(out: &mut Vec<u8>, file: &ModuleFile, module: &Module) {
    put_u64(out, file.file_len);
    put_u64(out, file.stamp.dev);
    put_u64(out, file.stamp.ino);
    out.extend(file.stamp.mtime_ns.to_le_bytes());
    out.extend(file.stamp.ctime_ns.to_le_bytes());
    put_u64(out, module.plain_len);
    put_u32(out, module.signed.into());
    put_bytes(out, &module.info.0);
    for symbols in [&module.exports, &module.imports] {
        put_bytes(out, &symbols.names.0);
        put_u32(out, length(symbols.facts.len()));
        for facts in &symbols.facts {
            put_u32(out, facts.crc.unwrap_or_default());
            out.push(u8::from(facts.crc.is_some()) | u8::from(facts.weak) << 1);
        }
    }
}

/// Reads the cache file from an offset on; `None` at its end.
struct Reader<'a> {
    data: &'a [u8],
    off: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let bytes = self.data.get(self.off..)?.get(..len)?;
        self.off += len;
        Some(bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }

    fn i128(&mut self) -> Option<i128> {
        Some(i128::from_le_bytes(*self.take(16)?.first_chunk()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    fn entries(mut self) -> Option<HashMap<String, Range<usize>>> {
        let mut entries = HashMap::new();
        while self.off < self.data.len() {
            let path = std::str::from_utf8(self.bytes()?).ok()?.to_owned();
            let len = self.u32()? as usize;
            entries.insert(path, self.off..self.off + len);
            self.take(len)?;
        }
        Some(entries)
    }

    fn stamp(&mut self) -> Option<Stamp> {
        Some(Stamp { dev: self.u64()?, ino: self.u64()?, mtime_ns: self.i128()?, ctime_ns: self.i128()? })
    }

    fn module(&mut self, file: &ModuleFile) -> Option<Module> {
        Some(Module {
            plain_len: self.u64()?,
            signed: self.u32()? != 0,
            info: Strings(self.bytes()?.into()),
            exports: self.symbols()?,
            imports: self.symbols()?,
            ..Module::hollow(file)
        })
    }

    fn symbols(&mut self) -> Option<Symbols> {
        let names = Strings(self.bytes()?.into());
        let count = self.u32()? as usize;
        let facts = self.take(count.checked_mul(5)?)?.chunks_exact(5).map(|entry| {
            let (crc, flags) = entry.split_first_chunk()?;
            let crc = u32::from_le_bytes(*crc);
            let flags = *flags.first()?;
            Some(Facts { crc: (flags & 1 != 0).then_some(crc), weak: flags & 2 != 0 })
        });
        Some(Symbols { names, facts: facts.collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A tree of one file, last changed in 1970, and its module.
    fn sample(dir: &Path) -> (Tree, [Result<Module>; 1]) {
        let stamp = Stamp { dev: 1, ino: 2, mtime_ns: 3, ctime_ns: 4 };
        let file = ModuleFile { path: "kernel/a.ko".into(), file_len: 5, stamp };
        let facts = [Facts { crc: Some(6), weak: false }, Facts { crc: None, weak: true }];
        let imports = Symbols { names: Strings(b"x\0y\0"[..].into()), facts: facts.into() };
        let info = Strings(b"alias=b\0"[..].into());
        let module = Module { plain_len: 7, signed: true, info, imports, ..Module::hollow(&file) };
        (Tree { dir: dir.to_owned(), files: vec![file], ..Tree::default() }, [Ok(module)])
    }

    #[test]
    fn only_an_unchanged_file_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (path, (tree, modules)) = (dir.path().join("c.modules"), sample(dir.path()));
        write(&path, &tree, &modules, SystemTime::now()).unwrap();
        let cache = Cache::read(&path, dir.path()).unwrap();
        assert!(cache.is_complete(&tree));
        let file = &tree.files[0];
        assert_eq!(cache.get(file).as_ref(), modules[0].as_ref().ok());
        let stamps = [
            Stamp { dev: 0, ..file.stamp },
            Stamp { ino: 0, ..file.stamp },
            Stamp { mtime_ns: 0, ..file.stamp },
            Stamp { ctime_ns: 0, ..file.stamp },
        ];
        let others = stamps.map(|stamp| ModuleFile { stamp, ..file.clone() });
        let longer = ModuleFile { file_len: 6, ..file.clone() };
        let elsewhere = ModuleFile { path: "kernel/b.ko".into(), ..file.clone() };
        for other in others.iter().chain([&longer, &elsewhere]) {
            assert_eq!(cache.get(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_file_that_was_just_changed_is_not_cached() {
        let dir = tempfile::tempdir().unwrap();
        let (path, (mut tree, modules)) = (dir.path().join("c.modules"), sample(dir.path()));
        let now = SystemTime::now();
        tree.files[0].stamp.ctime_ns = now.duration_since(UNIX_EPOCH).unwrap().as_nanos() as i128;
        write(&path, &tree, &modules, now).unwrap();
        assert!(Cache::read(&path, dir.path()).unwrap().entries.is_empty());
    }

    #[test]
    fn a_cache_of_another_tree_or_that_others_can_write_is_rejected() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (path, (tree, modules)) = (dir.path().join("c.modules"), sample(dir.path()));
        write(&path, &tree, &modules, SystemTime::now()).unwrap();
        let why = |dir: &Path| Cache::read(&path, dir).unwrap_err().to_string();
        assert!(why(other.path()).ends_with("of another tree"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(why(dir.path()).ends_with("others can write to it"));
    }

    #[test]
    fn every_prefix_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let (path, (tree, modules)) = (dir.path().join("c.modules"), sample(dir.path()));
        write(&path, &tree, &modules, SystemTime::now()).unwrap();
        let whole = fs::read(&path).unwrap();
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            assert!(Cache::read(&path, dir.path()).is_err(), "{len} bytes");
        }
    }
}
