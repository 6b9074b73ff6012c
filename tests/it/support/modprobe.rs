// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two programs that the tests compare: the loader as `modprobe`, and kmod's.

use crate::support::fixture::Fixture;
use std::env;
use std::path::{Path, PathBuf};

/// A program that can be installed in a fixture root as `modprobe`.
#[derive(Clone)]
pub enum Modprobe {
    /// The loader's file.
    Loader(PathBuf),
    /// The directory with kmod's tools; the directory above it holds the whole package.
    Kmod(PathBuf),
}

impl Modprobe {
    /// Returns the loader that INITMOD_LOADER names, or that `make` left in target/dist.
    ///
    /// # Panics
    /// Where there is none.
    pub fn loader() -> Modprobe {
        let path = Modprobe::loader_path();
        let arch = env::consts::ARCH;
        assert!(
            path.exists(),
            "no loader at {}: `make loader-{arch}` builds it, INITMOD_LOADER names another",
            path.display()
        );
        Modprobe::Loader(path)
    }

    /// Returns where [`Modprobe::loader`] looks.
    pub fn loader_path() -> PathBuf {
        let built = format!("target/dist/lib/initmod/{}/initmod", env::consts::ARCH);
        env::var_os("INITMOD_LOADER").map_or(Path::new(env!("CARGO_MANIFEST_DIR")).join(built), PathBuf::from)
    }

    /// Returns the kmod that INITMOD_ORACLE names; `make oracle` and `make bless` set it.
    ///
    /// # Panics
    /// Where it is not set.
    pub fn kmod() -> Modprobe {
        let tools = env::var_os("INITMOD_ORACLE").expect("INITMOD_ORACLE names the directory of kmod's tools");
        Modprobe::Kmod(tools.into())
    }

    /// Copies the program to `path` in a root, and the libraries that it needs.
    pub fn install(&self, fixture: &Fixture, path: &str) {
        let tools = match self {
            Modprobe::Loader(loader) => {
                fixture.copy(loader, path);
                return;
            }
            Modprobe::Kmod(tools) => tools,
        };
        let package = tools.parent().expect("the tools lie in the package's directory");
        fixture.copy(&package.join("usr/bin/kmod"), path);
        fixture.copy(&package.join("usr/lib64/ld-linux-x86-64.so.2"), "lib64/ld-linux-x86-64.so.2");
        for library in ["libkmod.so.2", "libc.so.6", "liblzma.so.5", "libzstd.so.1", "libz.so.1", "libcrypto.so.3"] {
            let path = format!("usr/lib/x86_64-linux-gnu/{library}");
            fixture.copy(&package.join(&path), &path);
        }
    }
}
