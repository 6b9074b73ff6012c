// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make install` and `make uninstall`, of a build directory made for the test.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a build directory with this mkinitmod, and a loader that is empty.
fn built(dir: &Path) -> PathBuf {
    let dist = dir.join("dist");
    for folder in ["bin", "lib/initmod/armv7", "share/doc/initmod/licenses"] {
        fs::create_dir_all(dist.join(folder)).unwrap();
    }
    fs::copy(env!("CARGO_BIN_EXE_mkinitmod"), dist.join("bin/mkinitmod")).unwrap();
    fs::write(dist.join("lib/initmod/armv7/initmod"), "").unwrap();
    fs::write(dist.join("share/doc/initmod/licenses/clap"), "").unwrap();
    dist
}

/// Runs make without set-up, and returns its exit status and standard error.
fn make(target: &str, dist: &Path, vars: &[String]) -> (bool, String) {
    let mut make = Command::new("make");
    make.args(["-s", target, "SETUP=no"]).arg(format!("DIST={}", dist.display())).args(vars);
    // The make that runs these tests leaves its own variables in the environment.
    for name in ["MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "PREFIX", "DESTDIR", "LINKS"] {
        make.env_remove(name);
    }
    let output = make.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("make is there: set-up needs it");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn files(dir: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                dirs.push(path);
            } else {
                files.push(path.strip_prefix(dir).unwrap().display().to_string());
            }
        }
    }
    files.sort();
    files
}

#[test]
fn what_install_installs_uninstall_removes() {
    let dir = tempfile::tempdir().unwrap();
    let dist = built(dir.path());
    let dest = dir.path().join("dest");
    let vars = [
        format!("DESTDIR={}", dest.display()),
        "PREFIX=/usr".into(),
        "LINKS=modprobe depmod".into(),
        "LINKS_ARCH=armv7".into(),
    ];
    assert_eq!(make("install", &dist, &vars), (true, String::new()));
    let usr = dest.join("usr");
    let installed = files(&usr);
    for file in ["bin/mkinitmod", "lib/initmod/armv7/initmod", "sbin/depmod", "share/doc/initmod/licenses/clap"] {
        assert!(installed.iter().any(|name| name == file), "{file} is not in {installed:?}");
    }
    assert_eq!(fs::read_link(usr.join("sbin/modprobe")).unwrap(), Path::new("../lib/initmod/armv7/initmod"));
    let depmod = Command::new(usr.join("sbin/depmod")).arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&depmod.stdout).contains("depmod"), "{depmod:?}");
    // Files of others stay.
    symlink("/bin/kmod", usr.join("sbin/lsmod")).unwrap();
    assert_eq!(make("uninstall", &dist, &vars), (true, String::new()));
    assert_eq!(files(&usr), ["sbin/lsmod"]);
    assert!(!usr.join("lib/initmod").exists());
}

#[test]
fn a_link_without_its_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dist = built(dir.path());
    for (links, complaint) in [
        (
            "LINKS_ARCH=x86_64 LINKS=modprobe",
            "sbin/modprobe would lead to ../lib/initmod/x86_64/initmod, which is not installed",
        ),
        ("LINKS=modprobes", "modprobes is not a command of initmod; use modprobe,"),
    ] {
        let mut vars: Vec<String> = links.split(' ').map(String::from).collect();
        vars.push(format!("DESTDIR={}", dir.path().join("dest").display()));
        let (done, stderr) = make("install", &dist, &vars);
        assert!(!done && stderr.contains(complaint), "{stderr}");
    }
}
