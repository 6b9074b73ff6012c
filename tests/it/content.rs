//! What goes into an image beside what is selected: signatures or none, firmware; the manifest; a tree instead.

use crate::fixture::{Fixture, KVER};
use crate::mkko::Ko;
use std::fs;
use std::process::{Command, Output};

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    let signed = Ko::new("wifi").info("firmware", "acme/wifi.bin").info("firmware", "acme/gone.bin").signed(&[7; 100]);
    fixture.module("kernel/drivers/net/wifi.ko.xz", &signed);
    fixture.put("loader", Ko::new("loader").build()).put("fw/acme/wifi.bin.zst", "firmware");
    fixture.put("b.toml", "arch = 'x86_64'\n[modules]\nnames = ['wifi']\n");
    fixture
}

fn build(fixture: &Fixture, args: &[&str]) -> Output {
    let modules = format!("lib/modules/{KVER}");
    let mut mkinitmod = Command::new(env!("CARGO_BIN_EXE_mkinitmod"));
    mkinitmod.current_dir(fixture.root()).env_remove("SOURCE_DATE_EPOCH");
    let given = ["build", "--no-cache", "--board", "b.toml", "--loader", "loader", "--modules", &modules];
    mkinitmod.args(given).args(args).output().expect("mkinitmod runs")
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
        "mkinitmod: config: CONFIG_MODULE_SIG_FORCE is set, which forbids modules without signature"
    );
}

#[test]
fn the_kernel_has_to_take_the_image() {
    let fixture = fixture();
    fixture.put(&format!("boot/config-{KVER}"), "CONFIG_BLK_DEV_INITRD=y\n# CONFIG_RD_LZ4 is not set\n");
    let told = error(&fixture, &["--compress", "lz4", "-o", "image"]);
    assert!(told.ends_with("CONFIG_RD_LZ4 is not set, which an image so compressed needs"), "{told}");
    fixture.put(&format!("boot/config-{KVER}"), "CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_LZ4=y\n");
    ok(&fixture, &["--compress", "lz4", "-o", "image"]);
    assert!(has(&fixture, "image", b"\x02\x21\x4c\x18"));
}

#[test]
fn firmware_goes_in_compressed_or_not_and_what_is_missing_is_told() {
    let fixture = fixture();
    let text = ok(&fixture, &["--firmware", "fw", "--compress", "none", "--manifest", "m.json", "-o", "image"]);
    assert!(
        text.contains("1 firmware files") && text.ends_with("not there: acme/gone.bin (firmware of wifi)\n"),
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
    assert_eq!(
        String::from_utf8_lossy(&again.stderr),
        "mkinitmod: out: is there already; a tree is written to a new directory\n"
    );
}
