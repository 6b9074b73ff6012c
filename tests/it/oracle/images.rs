// SPDX-License-Identifier: MIT OR Apache-2.0
//! kmod 34 as the oracle of images: what mkinitmod builds from stock kernels' trees, judged by depmod and modprobe.
//!
//! INITMOD_ORACLE names the directory with kmod's tools, as `qemu/oracle` prints it; without it these tests say that they
//! are skipped. They take mkinitmod from target/dist, where `make` leaves it, and kernels from `qemu/kernel`.

use crate::support::oracle::{kernel, tool};
use initmod::loading::plan::Plan;
use initmod::modules::index::Index;
use initmod::modules::resolve::{IndexFile, Indexes, Resolver};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds an image of a stock kernel's tree and unpacks it.
fn image(kernel_dir: &Path, kver: &str, board: &str, format: &str) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let packed = out.path().join("image");
    let built = Command::new(root().join("target/dist/bin/mkinitmod"))
        .args(["build", "--quiet", "--compress", "none", "--module-format", format])
        .arg("--board")
        .arg(root().join(board))
        .arg("--modules")
        .arg(kernel_dir.join("lib/modules").join(kver))
        .arg("--dtbs")
        .arg(kernel_dir.join("dtb"))
        .arg("-o")
        .arg(&packed)
        .status()
        .expect("target/dist/bin/mkinitmod is there: run `make` first");
    assert!(built.success());
    let unpacked = Command::new("cpio")
        .args(["--quiet", "-id", "lib/*"])
        .current_dir(out.path())
        .stdin(fs::File::open(&packed).unwrap())
        .status()
        .unwrap();
    assert!(unpacked.success());
    out
}

/// Kernel, board, and the modules' format; not gz, which Debian's kmod is built without.
const IMAGES: [(&str, &str, &str); 5] = [
    ("trixie-armhf", "config/boards/orangepi-pc.toml", "keep"),
    ("bookworm-amd64", "qemu/boards/q35-nvme.toml", "keep"),
    ("bookworm-amd64", "qemu/boards/q35-virtio.toml", "xz"),
    ("trixie-arm64", "qemu/boards/virt-aarch64.toml", "none"),
    ("trixie-amd64", "qemu/boards/q35-nvme.toml", "zst"),
];

#[test]
fn depmod_writes_the_indexes_that_the_image_has() {
    let Some(depmod) = tool("depmod") else { return };
    for (name, board, format) in IMAGES {
        let (kernel_dir, kver) = kernel(name);
        let image = image(&kernel_dir, &kver, board, format);
        let theirs = tempfile::tempdir().unwrap();
        let ran = Command::new(&depmod).arg("-b").arg(image.path()).arg("-o").arg(theirs.path()).arg(&kver).status();
        assert!(ran.unwrap().success());
        let tree = Path::new("lib/modules").join(&kver);
        let mut compared = 0;
        for entry in fs::read_dir(theirs.path().join(&tree)).unwrap() {
            let file = entry.unwrap().file_name();
            let [ours, theirs] =
                [image.path(), theirs.path()].map(|dir| fs::read(dir.join(&tree).join(&file)).unwrap());
            // kmod prints modules.symbols in the order of a hash table.
            let lines = |text: &[u8]| text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
            let same = if file == "modules.symbols" { lines(&ours) == lines(&theirs) } else { ours == theirs };
            assert!(same, "{name} {board} {format}: {} differs", file.display());
            compared += 1;
        }
        assert_eq!(compared, 11, "{name}: kmod 34 writes 11 files");
    }
}

#[test]
fn modprobe_loads_from_the_image_what_we_load() {
    let Some(modprobe) = tool("modprobe") else { return };
    for (name, board, format) in IMAGES {
        let (kernel_dir, kver) = kernel(name);
        let image = image(&kernel_dir, &kver, board, format);
        let tree = image.path().join("lib/modules").join(&kver);
        let output = Command::new(&modprobe)
            .args(["-C", "/dev/null", "-S", &kver, "--show-depends", "ext4", "-d"])
            .arg(image.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut theirs = Vec::new();
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let file = line.strip_prefix("insmod ").unwrap().trim_end();
            let path = Path::new(file).strip_prefix(&tree).unwrap().to_str().unwrap().to_owned();
            // kmod lists a module again where it is reached again; it loads it once.
            if !theirs.contains(&path) {
                theirs.push(path);
            }
        }
        assert_eq!(theirs, plan(&tree, b"ext4"), "{name} {board} {format}");
    }
}

/// Plans a module as the loader does, from the files of an image's tree.
fn plan(tree: &Path, modname: &[u8]) -> Vec<String> {
    let files = IndexFile::ALL.map(|file| fs::read(tree.join(file.file_name())).unwrap());
    let softdeps = fs::read(tree.join("modules.softdep")).unwrap();
    let config = initmod::modules::config::Config::new(&softdeps, b"");
    let indexes = Indexes(std::array::from_fn(|at| Index::new(&files[at]).unwrap()));
    let resolver = Resolver { indexes, config };
    let (mut steps, mut visited, mut matches) =
        (heapless::Vec::<_, 64>::new(), heapless::Vec::<_, 64>::new(), heapless::Vec::<_, 64>::new());
    let mut plan = Plan::new(&mut steps, &mut visited, &mut matches);
    plan.add(&resolver, indexes.dep(modname).unwrap().unwrap()).unwrap();
    plan.steps.iter().map(|step| String::from_utf8(step.path().to_vec()).unwrap()).collect()
}
