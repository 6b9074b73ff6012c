// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mkinitmod build --append`: what is built goes behind an initramfs that is there already.

use crate::support::fixture::{Fixture, KVER};
use crate::support::mkko::Ko;
use crate::support::rootfs::Rootfs;
use initmod::host::image::compress::{Method, compress};
use std::fs;
use std::process::Output;

/// A tree, and a loader. `wifi` needs `mac`, which the existing image has.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture
        .module("kernel/net/mac.ko.xz", &Ko::new("mac").export("mac_open"))
        .module("kernel/drivers/net/wifi.ko.xz", &Ko::new("wifi").import("mac_open").depends("mac"))
        .module("kernel/fs/ext4.ko", &Ko::new("ext4").alias("fs-ext4"));
    fixture.put("loader", Ko::loader().build());
    fixture.put("b.toml", "arch = 'x86_64'\n[modules]\nload = ['wifi']\n[modprobe]\nconf = ['options wifi a=1']\n");
    fixture
}

/// Emits an archive of path, mode, links and content. Those with several links are one file.
pub(super) fn archive(entries: &[(&str, u32, u32, &[u8])]) -> Vec<u8> {
    use std::io::Write;
    let mut out = Vec::new();
    for (path, mode, nlink, data) in entries {
        let entry = cpio::newc::Builder::new(path).mode(*mode).nlink(*nlink).ino(if *nlink > 1 { 9 } else { 0 });
        let mut writer = entry.write(&mut out, data.len() as u32);
        writer.write_all(data).and_then(|()| writer.finish()).unwrap();
    }
    cpio::newc::trailer(out).unwrap()
}

const DIR: u32 = 0o040_755;
const EXE: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// An image as Debian makes it: /usr merged, busybox under several names, a module and indexes of that alone.
fn debian() -> Vec<u8> {
    let (mac, tree) = (Ko::new("mac").export("mac_open").build(), format!("usr/lib/modules/{KVER}"));
    archive(&[
        (".", DIR, 2, b""),
        ("lib", LINK, 1, b"usr/lib"),
        ("bin", LINK, 1, b"usr/bin"),
        ("sbin", LINK, 1, b"usr/sbin"),
        ("tmp", 0o041_777, 2, b""),
        ("etc", 0o040_700, 2, b""),
        ("usr", DIR, 2, b""),
        ("usr/bin", DIR, 2, b""),
        ("usr/bin/busybox", EXE, 2, b"busybox"),
        ("usr/sbin", DIR, 2, b""),
        ("usr/sbin/modprobe", EXE, 2, b"busybox"),
        ("usr/lib", DIR, 2, b""),
        ("usr/lib/modules", DIR, 2, b""),
        (&tree, DIR, 2, b""),
        (&format!("{tree}/mac.ko"), 0o100_644, 1, &mac),
        (&format!("{tree}/modules.dep"), 0o100_644, 1, b"mac.ko:\n"),
        ("init", EXE, 1, b"#!/bin/sh\n"),
    ])
}

fn build(fixture: &Fixture, args: &[&str]) -> Output {
    let given = ["--board", "b.toml", "--loader", "loader", "--append", "base", "-o", "image"];
    fixture.mkinitmod("build").args(given).args(args).output().expect("mkinitmod runs")
}

/// Builds on the image `base`, and returns what is printed, and the image.
fn appended(fixture: &Fixture, base: &[u8], args: &[&str]) -> (String, Vec<u8>) {
    fixture.put("base", base);
    let output = build(fixture, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let image = fs::read(fixture.root().join("image")).unwrap();
    assert!(image.starts_with(base), "the image that was there is the start of the new one, to the byte");
    (String::from_utf8(output.stdout).unwrap(), image)
}

#[test]
fn what_the_image_has_stays_and_what_it_lacks_is_added() {
    let fixture = fixture();
    for (method, own) in
        [(Method::None, "none"), (Method::Gz, "zst"), (Method::Xz, "gz"), (Method::Zst, "xz"), (Method::Lz4, "lz4")]
    {
        let base = compress(&debian(), method);
        let (text, image) = appended(&fixture, &base, &["--compress", own]);
        let root = Rootfs::unpack(&image);
        assert_eq!(root.read("init"), Some(&b"#!/bin/sh\n"[..]));
        assert_eq!(root.read("bin/busybox"), Some(&b"busybox"[..]));
        assert_eq!(
            (root.shape("lib"), root.shape("tmp"), root.shape("etc")),
            ("-> usr/lib".into(), "dir 1777".into(), "dir 700".into())
        );
        assert_eq!(root.shape("sbin/modprobe"), "-> /usr/bin/initmod");
        assert_eq!(root.read("sbin/modprobe").unwrap(), fs::read(fixture.root().join("loader")).unwrap());
        assert_eq!(root.read("etc/modules-load.d/initmod.conf"), Some(&b"wifi\n"[..]));
        assert_eq!(root.read("etc/modprobe.d/initmod.conf"), Some(&b"options wifi a=1\n"[..]));
        let dep = String::from_utf8(root.read(&format!("lib/modules/{KVER}/modules.dep")).unwrap().into()).unwrap();
        assert_eq!(dep, "mac.ko:\nkernel/drivers/net/wifi.ko.xz: mac.ko\n", "{method:?}");
        let modules: Vec<_> = root.files().filter(|path| path.contains(".ko")).collect();
        assert_eq!(modules.len(), 2, "{modules:?}");
        assert!(text.contains("\n1 module ") && text.contains("already in the image: 1 of its 1 modules\n"), "{text}");
        assert!(text.contains("  needed by wifi; already in the image\n"), "{text}");
    }
}

#[test]
fn the_loader_is_what_it_is_asked_to_be() {
    let fixture = fixture();
    let shapes = |args: &[&str]| {
        let root = Rootfs::unpack(&appended(&fixture, &debian(), args).1);
        ["usr/bin/initmod", "sbin/modprobe", "init"].map(|path| root.shape(path))
    };
    assert_eq!(shapes(&["--loader-as", "helper"]), ["file 755", "file 755", "file 755"]);
    assert_eq!(shapes(&["--loader-as", "modprobe"]), ["file 755", "-> /usr/bin/initmod", "file 755"]);
    assert_eq!(shapes(&["--loader-as", "init"]), ["file 755", "-> /usr/bin/initmod", "-> /usr/bin/initmod"]);
    fixture.put("b.toml", "arch = 'x86_64'\n[image]\nappend = 'base'\nloader-as = 'init'\n");
    assert_eq!(shapes(&[])[2], "-> /usr/bin/initmod");
}

#[test]
fn modprobe_is_replaced_wherever_the_image_has_it() {
    let fixture = fixture();
    let base = archive(&[
        ("bin", DIR, 2, b""),
        ("bin/busybox", EXE, 1, b"busybox"),
        ("bin/modprobe", LINK, 1, b"busybox"),
        ("init", EXE, 1, b"#!"),
    ]);
    let root = Rootfs::unpack(&appended(&fixture, &base, &[]).1);
    assert_eq!(
        (root.shape("bin/modprobe"), root.shape("sbin/modprobe")),
        ("-> /usr/bin/initmod".into(), "-> /usr/bin/initmod".into())
    );
    assert_eq!((root.shape("usr/bin/modprobe"), root.read("bin/busybox")), ("none".into(), Some(&b"busybox"[..])));
}

#[test]
fn a_file_of_several_names_is_not_written_through_one_of_them() {
    let fixture = fixture();
    let base = archive(&[
        ("usr", DIR, 2, b""),
        ("usr/bin", DIR, 2, b""),
        ("usr/bin/initmod", EXE, 2, b"old"),
        ("usr/bin/other", EXE, 2, b"old"),
        ("init", EXE, 1, b"#!"),
    ]);
    let root = Rootfs::unpack(&appended(&fixture, &base, &[]).1);
    assert_eq!(root.read("usr/bin/other"), Some(&b"old"[..]));
    assert_eq!(root.read("usr/bin/initmod").unwrap(), fs::read(fixture.root().join("loader")).unwrap());
}

#[test]
fn firmware_that_the_image_has_is_its_own() {
    let fixture = fixture();
    fixture.module("kernel/a.ko", &Ko::new("a").info("firmware", "a.bin").info("firmware", "b.bin"));
    fixture.put("fw/a.bin", "new").put("fw/b.bin", "new").put("b.toml", "arch = 'x86_64'\nmodules.names = ['a']\n");
    let base =
        archive(&[("lib", DIR, 2, b""), ("lib/firmware", DIR, 2, b""), ("lib/firmware/a.bin", 0o100_644, 1, b"old")]);
    let (text, image) = appended(&fixture, &base, &["--firmware", "fw"]);
    let root = Rootfs::unpack(&image);
    assert_eq!(["a", "b"].map(|name| root.read(&format!("lib/firmware/{name}.bin")).unwrap()), [b"old", b"new"]);
    assert!(text.contains("\n1 firmware file "), "{text}");
}

#[test]
fn it_can_be_done_again_and_onto_itself() {
    let fixture = fixture();
    let once = appended(&fixture, &debian(), &[]).1;
    fixture.put("b.toml", "arch = 'x86_64'\n[modules]\nnames = ['ext4', 'wifi']\n").put("image", &once);
    let output = build(&fixture, &["--append", "image"]);
    assert_eq!(output.status.code(), Some(2), "given twice");
    let mut mkinitmod = fixture.mkinitmod("build");
    mkinitmod.args(["-q", "--board", "b.toml", "--loader", "loader", "--append", "image", "-o", "image"]);
    assert!(mkinitmod.status().unwrap().success());
    let root = Rootfs::unpack(&fs::read(fixture.root().join("image")).unwrap());
    let dep = String::from_utf8(root.read(&format!("lib/modules/{KVER}/modules.dep")).unwrap().into()).unwrap();
    assert_eq!(dep, "mac.ko:\nkernel/drivers/net/wifi.ko.xz: mac.ko\nkernel/fs/ext4.ko:\n");
}

/// Packs bytes as they are; [`compress`] adds an archive's padding.
fn gzip(data: &[u8]) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
    let mut out = vec![0; compressor.gzip_compress_bound(data.len())];
    let len = compressor.gzip_compress(data, &mut out).expect("the buffer has the bound's length");
    out.truncate(len);
    out
}

#[test]
fn what_is_no_initramfs_is_refused_and_what_stands_in_the_way_too() {
    let fixture = fixture();
    let error = |base: &[u8]| {
        fixture.put("base", base).put("image", "as it was");
        let output = build(&fixture, &[]);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(fs::read(fixture.root().join("image")).unwrap(), b"as it was");
        String::from_utf8(output.stderr).unwrap().strip_prefix("mkinitmod: ").unwrap().trim_end().to_owned()
    };
    let none = "base: not an initramfs: neither a cpio archive (newc) nor in a compression that the kernel reads at offset 0x0";
    assert_eq!(error(b"\x7fELF"), none);
    assert_eq!(error(&debian()[..1700]), "base: truncated cpio archive at offset 0x638");
    assert_eq!(error(&gzip(b"0")), "base: truncated cpio archive at offset 0x0");
    assert_eq!(error(b""), "base: not an initramfs: the archive has no entries at offset 0x0");
    assert_eq!(
        error(&archive(&[("usr", EXE, 1, b"")])),
        "base: /usr is not a directory: no file can be added below it"
    );
    assert_eq!(
        error(&archive(&[("usr", LINK, 1, b"usr")])),
        "base: /usr is not a directory: no file can be added below it"
    );
    fs::remove_file(fixture.root().join("base")).unwrap();
    let missing = build(&fixture, &[]);
    assert_eq!(String::from_utf8_lossy(&missing.stderr), "mkinitmod: --append base: No such file or directory\n");
}

#[test]
fn an_image_for_another_kernel_is_told() {
    let fixture = fixture();
    let base = archive(&[("lib", DIR, 2, b""), ("lib/modules", DIR, 2, b""), ("lib/modules/5.4", DIR, 2, b"")]);
    fixture.put("base", base);
    let output = build(&fixture, &[]);
    let told = format!("mkinitmod: base: no modules for Linux {KVER}, only for 5.4; check --modules\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), told);
}
