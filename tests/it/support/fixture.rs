// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fixture roots: a directory that looks like `/` to depmod and modprobe, gone when the test ends.

use crate::support::mkko::Ko;
use initmod::host::depmod;
use initmod::host::modules::scan::scan;
use initmod::host::modules::tree::Tree;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The kernel version of fixtures.
pub const KVER: &str = "6.12.0-it";

/// A root with /lib/modules/[`KVER`] in it.
pub struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    /// Makes a root with empty modules.order, modules.builtin and modules.builtin.modinfo.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("initmod-it-").tempdir().expect("a directory for temporary files");
        let fixture = Fixture { dir };
        for name in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
            fixture.put(&format!("lib/modules/{KVER}/{name}"), "");
        }
        fixture
    }

    /// Returns the root.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Returns lib/modules/[`KVER`] in the root.
    pub fn modules_dir(&self) -> PathBuf {
        self.root().join("lib/modules").join(KVER)
    }

    /// Begins a call of mkinitmod in the root, with this module tree.
    pub fn mkinitmod(&self, command: &str) -> Command {
        let mut mkinitmod = Command::new(env!("CARGO_BIN_EXE_mkinitmod"));
        mkinitmod.current_dir(self.root()).env_remove("SOURCE_DATE_EPOCH").args([command, "--no-cache", "--modules"]);
        mkinitmod.arg(format!("lib/modules/{KVER}"));
        mkinitmod
    }

    /// Writes the indexes of the tree, as `mkinitmod depmod` makes them.
    pub fn index(&self) -> &Self {
        let tree = Tree::open(&self.modules_dir()).expect("the fixture is a tree");
        let modules = scan(&tree).expect("its modules can be read");
        for (name, bytes) in depmod::indexes(tree.builtin(), &modules).expect("it can be indexed") {
            fs::write(self.modules_dir().join(name), bytes).expect("the root can be written");
        }
        self
    }

    /// Writes a file, its path relative to the root, and the directories above it.
    pub fn put(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("the root can be written");
        fs::write(path, content).expect("the root can be written");
        self
    }

    /// Appends to a file, its path relative to the root.
    pub fn append(&self, path: &str, content: &str) -> &Self {
        let mut file =
            fs::File::options().append(true).create(true).open(self.root().join(path)).expect("the file is there");
        file.write_all(content.as_bytes()).expect("the root can be written");
        self
    }

    /// Puts a program of this machine at `path`, and its shared libraries where it looks for them.
    pub fn program(&self, from: &Path, path: &str) -> &Self {
        self.copy(from, path);
        let ldd = Command::new("ldd").arg(from).output().expect("ldd can be run");
        let text = String::from_utf8_lossy(&ldd.stdout);
        for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
            self.copy(Path::new(library), library.trim_start_matches('/'));
        }
        self
    }

    /// Copies a file of this machine to `path`. Another process does it: while this one has a program open for writing, a
    /// child that another thread starts has it too, and the program can't be run.
    pub fn copy(&self, from: &Path, path: &str) -> &Self {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("the root can be written");
        let status = std::process::Command::new("cp").arg(from).arg(&path).status().expect("cp can be run");
        assert!(status.success(), "{} can't be copied", from.display());
        self
    }

    /// Adds a module, its path relative to lib/modules/[`KVER`], compressed as its name says, last in modules.order.
    pub fn module(&self, path: &str, ko: &Ko) -> &Self {
        self.put(&format!("lib/modules/{KVER}/{path}"), compress(path, &ko.built_for(KVER).build()));
        let plain = path.split_once(".ko").map_or(path, |(stem, _)| stem);
        self.append(&format!("lib/modules/{KVER}/modules.order"), &format!("{plain}.ko\n"))
    }

    /// Adds a built-in with what modules.builtin.modinfo says of it; its path is relative to lib/modules/[`KVER`].
    pub fn builtin(&self, path: &str, info: &[(&str, &str)]) -> &Self {
        let name = initmod::modules::name::modname(path.as_bytes()).expect("a module's name");
        let name = String::from_utf8_lossy(&name);
        let info: String = info.iter().map(|(key, value)| format!("{name}.{key}={value}\0")).collect();
        self.append(&format!("lib/modules/{KVER}/modules.builtin"), &format!("{path}\n"));
        self.append(&format!("lib/modules/{KVER}/modules.builtin.modinfo"), &info)
    }
}

/// Compresses by the ending of `path`, as the kernel's decompressors need it: xz with CRC32, zstd with its size.
pub fn compress(path: &str, plain: &[u8]) -> Vec<u8> {
    match path.rsplit('.').next() {
        Some("gz") => {
            let mut packer = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
            let mut out = vec![0; packer.gzip_compress_bound(plain.len())];
            let len = packer.gzip_compress(plain, &mut out).expect("the buffer is as long as asked for");
            out.truncate(len);
            out
        }
        Some("xz") => {
            let stream = liblzma::stream::Stream::new_easy_encoder(6, liblzma::stream::Check::Crc32).expect("preset 6");
            let mut packer = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
            packer.write_all(plain).and_then(|()| packer.finish()).expect("memory suffices")
        }
        Some("zst") => zstd::bulk::compress(plain, 3).expect("memory suffices"),
        _ => plain.into(),
    }
}

#[test]
fn a_fixture_lists_its_modules_in_order() {
    let fixture = Fixture::new();
    fixture.module("kernel/a.ko.xz", &Ko::new("a")).module("kernel/b.ko", &Ko::new("b"));
    fixture.builtin("kernel/c-d.ko", &[("alias", "x")]);
    let read = |name| fs::read(fixture.modules_dir().join(name)).unwrap();
    assert_eq!(read("modules.order"), b"kernel/a.ko\nkernel/b.ko\n");
    assert_eq!(read("modules.builtin.modinfo"), b"c_d.alias=x\0");
    assert!(read("kernel/a.ko.xz").starts_with(b"\xfd7zXZ\0"));
}
