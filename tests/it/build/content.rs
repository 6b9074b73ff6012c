// SPDX-License-Identifier: MIT OR Apache-2.0
//! What goes into an image beside what is selected: signatures or none, firmware; the manifest; a tree instead.

use crate::support::fixture::{Fixture, KVER};
use crate::support::mkko::Ko;
use std::fs;
use std::process::Output;

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    let signed = Ko::new("wifi").info("firmware", "acme/wifi.bin").info("firmware", "acme/gone.bin").signed(&[7; 100]);
    fixture.module("kernel/drivers/net/wifi.ko.xz", &signed);
    fixture.put("loader", Ko::loader().build()).put("fw/acme/wifi.bin.zst", "firmware");
    fixture.put("b.toml", "arch = 'x86_64'\n[modules]\nnames = ['wifi']\n");
    fixture
}

fn build(fixture: &Fixture, args: &[&str]) -> Output {
    let given = ["--board", "b.toml", "--loader", "loader"];
    fixture.mkinitmod("build").args(given).args(args).output().expect("mkinitmod runs")
}

fn ok(fixture: &Fixture, args: &[&str]) -> String {
    let output = build(fixture, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn error(fixture: &Fixture, args: &[&str]) -> String {
    let output = build(fixture, args);
    assert_eq!(output.status.code(), Some(1));
    assert!(!fixture.root().join("image").exists());
    String::from_utf8(output.stderr).unwrap().trim_end().to_owned()
}

fn has(fixture: &Fixture, name: &str, text: &[u8]) -> bool {
    fs::read(fixture.root().join(name)).unwrap().windows(text.len()).any(|window| window == text)
}

const MAGIC: &[u8] = b"~Module signature appended~";

#[test]
fn signatures_stay_unless_they_are_to_go_and_may() {
    let fixture = fixture();
    let plain = ["--compress", "none", "--module-format", "none", "-o", "image"];
    ok(&fixture, &plain);
    assert!(has(&fixture, "image", MAGIC));
    ok(&fixture, &[&plain[..], &["--signatures", "drop"]].concat());
    assert!(!has(&fixture, "image", MAGIC));
    fs::remove_file(fixture.root().join("image")).unwrap();
    fixture.put("config", "CONFIG_BLK_DEV_INITRD=y\nCONFIG_MODULE_SIG_FORCE=y\n");
    assert_eq!(
        error(&fixture, &[&plain[..], &["--signatures", "drop", "--config", "config"]].concat()),
        "mkinitmod: config: CONFIG_MODULE_SIG_FORCE is set, which forbids unsigned modules"
    );
}

#[test]
fn the_kernel_has_to_take_the_image() {
    let fixture = fixture();
    let magics = [("gz", "GZIP", &b"\x1f\x8b"[..]), ("xz", "XZ", b"\xfd7zXZ"), ("zst", "ZSTD", b"\x28\xb5\x2f\xfd")];
    for (method, option, magic) in magics.into_iter().chain([("lz4", "LZ4", &b"\x02\x21\x4c\x18"[..])]) {
        let config = format!("CONFIG_BLK_DEV_INITRD=y\n# CONFIG_RD_{option} is not set\n");
        fixture.put(&format!("boot/config-{KVER}"), config);
        let told = error(&fixture, &["--compress", method, "-o", "image"]);
        assert!(
            told.ends_with(&format!("CONFIG_RD_{option} is not set, which an image in this compression needs")),
            "{told}"
        );
        fixture.put(&format!("boot/config-{KVER}"), format!("CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_{option}=y\n"));
        ok(&fixture, &["--compress", method, "-o", "image"]);
        let image = fs::read(fixture.root().join("image")).unwrap();
        assert!(image.starts_with(magic), "{method}");
        assert!(crate::support::rootfs::Rootfs::unpack(&image).read("init").is_some());
        fs::remove_file(fixture.root().join("image")).unwrap();
    }
    fixture.put(&format!("boot/config-{KVER}"), "CONFIG_RD_GZIP=y\n");
    let told = error(&fixture, &["--compress", "none", "-o", "image"]);
    assert!(told.ends_with("CONFIG_BLK_DEV_INITRD is not set, which an initramfs needs"), "{told}");
}

#[test]
fn signatures_that_go_are_spoken_of_where_the_kernel_may_want_them() {
    let fixture = fixture();
    let drop = ["--signatures", "drop", "-o", "image"];
    let text = ok(&fixture, &drop);
    assert!(text.contains("\ncannot check whether the kernel accepts unsigned modules; pass --config FILE\n"));
    let config = "CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_ZSTD=y\n";
    fixture.put("config", format!("{config}CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT=y\n"));
    let text = ok(&fixture, &[&drop[..], &["--config", "config"]].concat());
    assert!(text.contains("\nunder Secure Boot this kernel refuses unsigned modules\n"), "{text}");
    fixture.put("config", format!("{config}CONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY=y\n"));
    fs::remove_file(fixture.root().join("image")).unwrap();
    let told = error(&fixture, &[&drop[..], &["--config", "config"]].concat());
    assert!(told.ends_with("CONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY is set, which forbids unsigned modules"));
}

#[test]
fn the_manifest_has_every_file_with_its_length_hash_and_reason() {
    use sha2::{Digest, Sha256};
    let fixture = fixture();
    fixture.put(
        "b.toml",
        "arch = 'x86_64'\nmodules.load = ['wifi']\nmodprobe.conf = ['options wifi a=1']\n\
        image.files = [{ from = 'b.toml', to = '/etc/b' }]\n",
    );
    ok(&fixture, &["--firmware", "fw", "--manifest", "m.json", "-o", "image"]);
    let json: serde_json::Value = serde_json::from_slice(&fs::read(fixture.root().join("m.json")).unwrap()).unwrap();
    let listed: std::collections::BTreeMap<String, serde_json::Value> = json["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| (file["path"].as_str().unwrap().trim_start_matches('/').to_owned(), file.clone()))
        .collect();
    let root = crate::support::rootfs::Rootfs::unpack(&fs::read(fixture.root().join("image")).unwrap());
    assert_eq!(root.files().collect::<Vec<_>>(), listed.keys().map(String::as_str).collect::<Vec<_>>());
    for path in root.files() {
        let (data, file) = (root.read(path).unwrap(), &listed[path]);
        let hash: String = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (file["bytes"].as_u64(), file["sha256"].as_str()),
            (Some(data.len() as u64), Some(&*hash)),
            "{path}"
        );
        assert!(!file["why"].as_str().unwrap().is_empty(), "{path}");
    }
}

#[test]
fn firmware_goes_in_compressed_or_not_and_what_is_missing_is_told() {
    let fixture = fixture();
    let text = ok(&fixture, &["--firmware", "fw", "--compress", "none", "--manifest", "m.json", "-o", "image"]);
    assert!(
        text.contains("1 firmware file ") && text.contains("\nmissing: acme/gone.bin (firmware of wifi)\n"),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_slice(&fs::read(fixture.root().join("m.json")).unwrap()).unwrap();
    let of = |path: &str| json["files"].as_array().unwrap().iter().find(|file| file["path"] == path).unwrap().clone();
    let firmware = of("/lib/firmware/acme/wifi.bin.zst");
    assert_eq!((firmware["bytes"].as_u64(), firmware["why"].as_str()), (Some(8), Some("firmware of wifi")));
    assert_eq!(firmware["sha256"], "c3bf47ea1f4a4a605470313cacb3a44f4a461f68c6faeab07e737610cb5ac835");
    assert_eq!(of(&format!("/lib/modules/{KVER}/kernel/drivers/net/wifi.ko.xz"))["why"], "names");
    assert_eq!(of("/init")["why"], "the loader");
}

#[test]
fn a_tree_is_new_whole_and_nothing_but_lib() {
    let fixture = fixture();
    ok(&fixture, &["--tree", "out"]);
    let out = fixture.root().join("out");
    assert!(out.join(format!("lib/modules/{KVER}/kernel/drivers/net/wifi.ko.xz")).is_file());
    assert!(out.join(format!("lib/modules/{KVER}/modules.dep.bin")).is_file());
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    let again = build(&fixture, &["--tree", "out"]);
    assert_eq!(String::from_utf8_lossy(&again.stderr), "mkinitmod: out: already exists; give --tree a new directory\n");
}
