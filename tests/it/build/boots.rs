// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images and inputs that `build` refuses or warns of because the image could not boot: the wrong directory, no module,
//! no file system, modules that the kernel would refuse; and that image and manifest are written both or not at all.

use crate::support::fixture::{Fixture, KVER};
use crate::support::mkdtb;
use crate::support::mkko::Ko;
use crate::support::rootfs::Rootfs;
use std::fs;
use std::process::{Command, Output};

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.module("kernel/drivers/disk.ko", &Ko::new("disk")).put("loader", Ko::loader().build());
    fixture.put("b.toml", "arch = 'x86_64'\nmodules.load = ['disk']\n");
    fixture
}

fn build(fixture: &Fixture, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mkinitmod"));
    command.current_dir(fixture.root()).args(["build", "--no-cache", "--loader", "loader", "--quiet"]).args(args);
    command.output().expect("mkinitmod runs")
}

pub(super) fn error(fixture: &Fixture, args: &[&str]) -> String {
    let output = build(fixture, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap().trim_end().replace(&*fixture.root().to_string_lossy(), "")
}

/// Returns the warnings of a build that succeeds.
pub(super) fn told(fixture: &Fixture, args: &[&str]) -> String {
    let output = build(fixture, args);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    told
}

/// Builds `image` for b.toml. Returns the warnings, and the paths of the image's modules.
fn built(fixture: &Fixture, args: &[&str]) -> (String, Vec<String>) {
    let output = build(fixture, &[&["--board", "b.toml", "-o", "image"], args].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    let root = Rootfs::unpack(&fs::read(fixture.root().join("image")).unwrap());
    let modules = root.files().filter(|path| path.ends_with(".ko")).map(str::to_owned).collect();
    (told, modules)
}

fn tree() -> String {
    format!("lib/modules/{KVER}")
}

#[test]
fn a_directory_that_is_not_the_kernels_is_refused_and_the_right_one_is_named() {
    let fixture = fixture();
    let told = |dir: &str| error(&fixture, &["--board", "b.toml", "-o", "image", "--modules", dir]);
    let wrong = format!("the modules are for Linux {KVER}, and not in a directory of that name; ");
    assert_eq!(told("lib/modules"), format!("mkinitmod: lib/modules: {wrong}pass --modules lib/modules/{KVER}"));
    assert_eq!(told("."), format!("mkinitmod: .: a root, not a module tree; pass --modules ./lib/modules/{KVER}"));
    let low = format!("{}/kernel", tree());
    assert_eq!(told(&low), format!("mkinitmod: {low}: {wrong}pass --modules /{}", tree()));
    fs::rename(fixture.modules_dir(), fixture.root().join("mods")).unwrap();
    assert_eq!(told("mods"), format!("mkinitmod: mods: {wrong}rename the directory to `{KVER}`"));

    let path = vec![format!("{}/kernel/drivers/disk.ko", tree())];
    std::os::unix::fs::symlink("../../mods", fixture.modules_dir()).unwrap();
    assert_eq!(
        built(&fixture, &["--modules", &tree()]),
        (String::new(), path.clone()),
        "a link with the kernel's name"
    );
    fs::remove_file(fixture.modules_dir()).unwrap();
    fs::rename(fixture.root().join("mods"), fixture.modules_dir()).unwrap();
    std::os::unix::fs::symlink(KVER, fixture.root().join("lib/modules/current")).unwrap();
    assert_eq!(built(&fixture, &["--modules", "lib/modules/current"]).1, path, "a link to such a directory");
}

#[test]
fn an_image_without_module_or_file_system_is_refused_or_told() {
    let fixture = fixture();
    let modules = ["--modules", &*tree()];
    assert_eq!(
        error(&fixture, &[&modules[..], &["-o", "image"]].concat()),
        "mkinitmod: command line: modules: the image has no module: nothing asks for one; pass --dtb FILE, --fs NAME or \
        --board FILE with modules.load or modules.names"
    );
    assert_eq!(built(&fixture, &modules).0, "", "the tree shows no file system: it may be built in");
    fixture.module("kernel/fs/xfs/xfs.ko", &Ko::new("xfs").alias("fs-xfs"));
    let told = built(&fixture, &modules).0;
    let what = "the image has no file system for its root, and the kernel has none built in; pass --fs NAME (xfs)";
    assert_eq!(told, format!("mkinitmod: b.toml: fs: {what}\n"));
    assert_eq!(built(&fixture, &[&modules[..], &["--fs", "xfs"]].concat()).0, "");
    fixture.builtin("kernel/fs/ext4/ext4.ko", &[]);
    assert_eq!(built(&fixture, &modules).0, "");
}

#[test]
fn a_module_that_the_kernel_would_refuse_is_refused() {
    let fixture = fixture();
    let told = |module: &str| {
        fixture.put("w.toml", format!("arch = 'x86_64'\nmodules.names = ['{module}']\n"));
        error(&fixture, &["--board", "w.toml", "--modules", &tree(), "-o", "image"])
    };
    let path = format!("mkinitmod: {}/extra", tree());
    let advice = "pass a tree with its build for this kernel, or leave it out: modules.exclude";
    fixture.module("extra/opts.ko", &Ko::new("opts").info("vermagic", &format!("{KVER} SMP preempt mod_unload")));
    let kernel = format!("the kernel's `{KVER} SMP mod_unload modversions`");
    assert_eq!(
        told("opts"),
        format!(
            "{path}/opts.ko: is built with other options than the kernel: vermagic `{KVER} SMP preempt mod_unload`, {kernel}, \
            only the module has preempt, only the kernel has modversions; {advice}"
        )
    );
    fixture.module("extra/kabi.ko", &Ko::new("kabi").info("vermagic", "6.12.9 SMP mod_unload modversions "));
    fixture.put("b.toml", "arch = 'x86_64'\nmodules.load = ['kabi']\n");
    assert_eq!(built(&fixture, &["--modules", &tree()]).1.len(), 1, "with symbol versions the release does not count");
}

#[test]
fn a_program_that_is_not_the_loader_or_needs_libraries_is_refused() {
    let fixture = fixture();
    let told = |program: Vec<u8>| {
        fixture.put("loader", program);
        error(&fixture, &["--board", "b.toml", "--modules", &tree(), "-o", "image"])
    };
    let advice = "pass the file initmod that make leaves in target/dist/lib/initmod/ARCH";
    assert_eq!(told(Ko::new("other").build()), format!("mkinitmod: loader: not the loader; {advice}"));
    // A test program is linked with libc.
    let own = fs::read(std::env::current_exe().unwrap()).unwrap();
    let advice = "build the loader for a musl target";
    assert_eq!(told(own), format!("mkinitmod: loader: dynamically linked, and the image has no libraries; {advice}"));
}

#[test]
fn modules_of_a_32_bit_kernel_for_64_bit_cpus_are_noted() {
    let fixture = Fixture::new();
    let ko = |name: &str| Ko::new(name).elf32().machine(40).built_for(KVER).build();
    let path = format!("{}/kernel/m.ko", tree());
    fixture.put(&path, ko("m")).put("loader", ko("initmod"));
    let node = "/cpus/cpu@0\ndevice_type = \"cpu\"\ncompatible = \"arm,cortex-a53\"";
    fixture
        .put("a53.dtb", mkdtb::dtb(node))
        .put("b.toml", "arch = 'armv7'\ndt.blob = 'a53.dtb'\nmodules.load = ['m']\n");
    let mut command = fixture.mkinitmod("build");
    let output = command.args(["--board", "b.toml", "--loader", "loader", "-o", "image"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("the device tree has 64-bit CPUs (arm,cortex-a53), and the modules are for a 32-bit kernel"),
        "{text}"
    );
}

#[test]
fn the_images_name_tells_its_compression() {
    let fixture = fixture();
    for (name, magic) in [
        ("i.cpio", &b"070701"[..]),
        ("i.img.gz", b"\x1f\x8b"),
        ("i.xz", b"\xfd7zXZ"),
        ("i.lz4", b"\x02\x21"),
        ("i", b"\x28\xb5"),
    ] {
        let output = build(&fixture, &["--board", "b.toml", "--modules", &tree(), "-o", name]);
        assert!(output.status.success());
        assert!(fs::read(fixture.root().join(name)).unwrap().starts_with(magic), "{name}");
    }
    assert_eq!(
        error(&fixture, &["--board", "b.toml", "--modules", &tree(), "--compress", "xz", "-o", "new.gz"]),
        "mkinitmod: new.gz: the name is that of an image with --compress gz, not xz; pass --compress gz, or another \
        name with -o"
    );
}

#[test]
fn absolute_links_of_a_target_stay_below_its_root() {
    let fixture = Fixture::new();
    let tree = format!("usr/lib/modules/{KVER}");
    fs::rename(fixture.root().join("lib"), fixture.root().join("usr-lib")).unwrap();
    fs::create_dir(fixture.root().join("usr")).unwrap();
    fs::rename(fixture.root().join("usr-lib"), fixture.root().join("usr/lib")).unwrap();
    let link = |target: &str, link: &str| {
        let link = fixture.root().join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, link).unwrap();
    };
    fixture.put("opt/vendor/wifi.ko", Ko::new("wifi").built_for(KVER).build()).put("loader", Ko::loader().build());
    fixture.put(&format!("{tree}/kernel/disk.ko"), Ko::new("disk").built_for(KVER).build());
    fixture
        .put("etc/vendor/depmod.conf", "search vendor built-in\n")
        .put("etc/vendor/config", "# CONFIG_BLK_DEV_INITRD is not set\n");
    fixture
        .put("etc/vendor/builtin", "kernel/fs/ext4/ext4.ko\n")
        .put("b.toml", "arch = 'x86_64'\nmodules.load = ['wifi']\n");
    link("/usr/lib", "lib");
    link("/opt/vendor", &format!("{tree}/vendor"));
    link("/etc/vendor/depmod.conf", "etc/depmod.d/v.conf");
    link("/dev/null", "etc/depmod.d/no.conf");
    link("/etc/vendor/config", &format!("boot/config-{KVER}"));
    fs::remove_file(fixture.root().join(&tree).join("modules.builtin")).unwrap();
    link("/etc/vendor/builtin", &format!("{tree}/modules.builtin"));
    fixture.put(&format!("{tree}/kernel/wifi.ko"), Ko::new("wifi").built_for(KVER).build());
    let modules = ["--modules", &*self::tree()];
    let told = error(&fixture, &[&modules[..], &["--board", "b.toml", "-o", "image"]].concat());
    assert!(told.contains(&format!("boot/config-{KVER}")) || told.contains("etc/vendor/config"), "{told}");
    fs::remove_file(fixture.root().join("boot").join(format!("config-{KVER}"))).unwrap();
    let (told, files) = built(&fixture, &modules);
    assert_eq!((told.as_str(), files), ("", vec![format!("lib/modules/{KVER}/vendor/wifi.ko")]));
    let outside = fixture.root().join(format!("{tree}/kernel/passwd.ko"));
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mkinitmod"), &outside).unwrap();
    let (told, _) = built(&fixture, &modules);
    assert!(told.contains("passwd.ko: skipped: cannot follow the symbolic link"), "a link to the host's files: {told}");
}

#[test]
fn image_and_manifest_are_written_both_or_not_at_all() {
    let fixture = fixture();
    let args = ["--board", "b.toml", "--modules", &*tree()];
    fixture.put("old", "as it was");
    for (image, manifest) in [("old", "gone/m.json"), ("gone/image", "old")] {
        error(&fixture, &[&args[..], &["-o", image, "--manifest", manifest]].concat());
        assert_eq!(fs::read(fixture.root().join("old")).unwrap(), b"as it was", "{image} {manifest}");
    }
    let left =
        fs::read_dir(fixture.root()).unwrap().flatten().any(|entry| entry.file_name().as_encoded_bytes()[0] == b'.');
    assert!(!left, "a temporary file is left");
}

#[test]
fn the_targets_depmod_d_decides_and_both_files_are_named() {
    let fixture = fixture();
    fixture.module("kernel/net/wifi.ko", &Ko::new("wifi")).module("vendor/wifi.ko", &Ko::new("wifi"));
    fixture.module("kernel/net/.debug/wifi.ko", &Ko::new("wifi"));
    fixture.put("b.toml", "arch = 'x86_64'\nmodules.load = ['wifi']\n").put("other/x.conf", "search built-in vendor\n");
    fixture.put("usr/lib/depmod.d/v.conf", "search vendor built-in\n");
    let image = |args: &[&str]| built(&fixture, &[&["--modules", &*tree()], args].concat());
    assert_eq!(image(&[]).1, [format!("{}/vendor/wifi.ko", tree())]);
    assert_eq!(image(&["--depmod-config", "other"]).1, [format!("{}/kernel/net/wifi.ko", tree())]);
    fixture.put(&format!("{}/modules.dep", tree()), "kernel/net/wifi.ko:\n");
    assert_eq!(
        image(&[]).0,
        format!(
            "mkinitmod: {}/modules.dep: wifi is kernel/net/wifi.ko there, and vendor/wifi.ko by the target's depmod.d; \
            run depmod for the target, or pass --depmod-config DIR\n",
            tree()
        )
    );
    let args = ["--board", "b.toml", "--loader", "loader", "-o", "image"];
    let output = fixture.mkinitmod("build").args(args).output().unwrap();
    let note = "wifi: two modules of one name: vendor/wifi.ko is used, kernel/net/wifi.ko is not\n";
    assert!(String::from_utf8_lossy(&output.stdout).contains(note), "{}", String::from_utf8_lossy(&output.stdout));
    let mut depmod = Command::new(env!("CARGO_BIN_EXE_mkinitmod"));
    depmod.current_dir(fixture.root()).args(["depmod", "-nw", "-b", ".", "-C", "usr/lib/depmod.d", KVER]);
    let output = depmod.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("depmod: WARNING: {note}"));
}
