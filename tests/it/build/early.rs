// SPDX-License-Identifier: MIT OR Apache-2.0
//! The archive in front of an image: microcode and ACPI tables, where the kernel finds them before it unpacks anything.

use crate::support::fixture::{Fixture, KVER};
use crate::support::mkko::Ko;
use crate::support::rootfs::Rootfs;
use std::fs;
use std::process::{Command, Output};

/// An Intel update of 2048 bytes, whose words add up to 0.
fn intel(revision: u32) -> Vec<u8> {
    let mut words = vec![0u32; 512];
    (words[0], words[1], words[5], words[20]) = (1, revision, 1, 0x1234_5678);
    words[4] = words.iter().fold(0u32, |sum, &word| sum.wrapping_sub(word));
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// An AMD container: its table, and a patch of so many bytes.
fn amd(patch_len: u32) -> Vec<u8> {
    let mut out = [0x0041_4d44, 0, 16].into_iter().flat_map(u32::to_le_bytes).collect::<Vec<_>>();
    out.extend([9; 16]);
    out.extend([1, patch_len].into_iter().flat_map(u32::to_le_bytes));
    out.resize(out.len() + patch_len as usize, 7);
    out
}

fn ssdt() -> Vec<u8> {
    let mut table = b"SSDT\x28\0\0\0\x02\0INTEL ".to_vec();
    table.resize(40, 3);
    table[9] = table.iter().fold(0u8, |sum, &byte| sum.wrapping_sub(byte));
    table
}

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.module("kernel/a.ko", &Ko::new("a")).put("loader", Ko::loader().build());
    fixture.put("b.toml", "arch = 'x86_64'\n[modules]\nnames = ['a']\n");
    fixture.put("fw/intel-ucode/06-01-01", intel(1)).put("fw/intel-ucode/06-02-01", intel(2));
    fixture
        .put("fw/amd-ucode/microcode_amd_fam17h.bin", amd(100))
        .put("fw/amd-ucode/microcode_amd_fam17h.bin.asc", "PGP");
    fixture.put("fw/amd-ucode/README", "microcode").put("ssdt.aml", ssdt());
    fixture
}

fn build(fixture: &Fixture, args: &[&str]) -> Output {
    let given = ["--board", "b.toml", "--loader", "loader", "-o", "image"];
    fixture.mkinitmod("build").args(given).args(args).output().expect("mkinitmod runs")
}

fn image(fixture: &Fixture, args: &[&str]) -> Vec<u8> {
    let output = build(fixture, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(fixture.root().join("image")).unwrap()
}

/// Finds a file as the kernel does before it unpacks: entry by entry, as long as these are cpio's. Source: the kernel's
/// lib/earlycpio.c, `find_cpio_data`. Returns where its content is.
fn find(image: &[u8], path: &str) -> Option<std::ops::Range<usize>> {
    let mut at = 0;
    while at + 110 < image.len() {
        if image[at] == 0 {
            at += 4;
            continue;
        }
        if !image[at..].starts_with(b"070701") && !image[at..].starts_with(b"070702") {
            return None;
        }
        let field = |number: usize| {
            let text = std::str::from_utf8(&image[at + 6 + 8 * number..at + 14 + 8 * number]).unwrap();
            usize::from_str_radix(text, 16).unwrap()
        };
        let (mode, len, name_len) = (field(1), field(6), field(11));
        let name = &image[at + 110..at + 110 + name_len];
        let data = (at + 110 + name_len).next_multiple_of(4);
        if mode & 0o170_000 == 0o100_000
            && name.strip_prefix(path.as_bytes()).is_some_and(|rest| rest.starts_with(b"\0"))
        {
            return Some(data..data + len);
        }
        at = (data + len).next_multiple_of(4);
    }
    None
}

#[test]
fn the_kernel_finds_microcode_and_tables_before_it_unpacks() {
    let fixture = fixture();
    let early = ["--early", "fw/intel-ucode", "--early", "fw/amd-ucode", "--early", "ssdt.aml"];
    for compress in ["none", "zst", "lz4"] {
        let image = image(&fixture, &[&early[..], &["--compress", compress, "--manifest", "m.json"]].concat());
        let intel_at = find(&image, "kernel/x86/microcode/GenuineIntel.bin").unwrap();
        assert_eq!(intel_at.start % 16, 0, "the CPU reads it in place");
        assert!(image[intel_at] == [intel(1), intel(2)].concat());
        assert!(image[find(&image, "kernel/x86/microcode/AuthenticAMD.bin").unwrap()] == amd(100));
        assert!(image[find(&image, "kernel/firmware/acpi/ssdt.aml").unwrap()] == ssdt());
        let root = Rootfs::unpack(&image);
        assert!(root.read("init").is_some() && root.read("kernel/x86/microcode/AuthenticAMD.bin").is_some());
    }
    let json: serde_json::Value = serde_json::from_slice(&fs::read(fixture.root().join("m.json")).unwrap()).unwrap();
    let files = json["files"].as_array().unwrap();
    let why =
        files.iter().find(|file| file["path"] == "/kernel/x86/microcode/GenuineIntel.bin").unwrap()["why"].clone();
    assert_eq!(why, "early archive, from fw/intel-ucode/06-01-01, fw/intel-ucode/06-02-01");
}

#[test]
fn an_archive_that_is_ready_goes_in_and_cpio_reads_what_comes_of_it() {
    let fixture = fixture();
    let first = image(&fixture, &["--early", "fw/intel-ucode/06-01-01"]);
    let end = first.windows(4).position(|word| word == [0x28, 0xb5, 0x2f, 0xfd]).unwrap();
    fixture.put("ready.cpio", &first[..end]);
    let again = image(&fixture, &["--early", "ready.cpio", "--early", "fw/intel-ucode/06-02-01"]);
    assert!(again[find(&again, "kernel/x86/microcode/GenuineIntel.bin").unwrap()] == [intel(1), intel(2)].concat());
    let mut cpio = Command::new("sh");
    cpio.args(["-c", "command -v cpio >/dev/null || exit 9; cpio -t --quiet <ready.cpio"]).current_dir(fixture.root());
    let listed = cpio.output().unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    // Without cpio at hand there is nothing to compare with.
    assert!(listed.status.code() == Some(9) || names.ends_with("kernel/x86/microcode/GenuineIntel.bin\n"), "{names}");
}

#[test]
fn a_board_file_says_the_same_and_the_early_archive_is_in_front_of_an_image_too() {
    let fixture = fixture();
    let of_options = image(&fixture, &["--early", "fw/amd-ucode"]);
    fixture.put("b.toml", "arch = 'x86_64'\n[modules]\nnames = ['a']\n[image]\nearly = ['fw/amd-ucode']\n");
    assert!(image(&fixture, &[]) == of_options);
    fixture.put("base", image(&fixture, &[]));
    let both = image(&fixture, &["--append", "base"]);
    assert!(both[find(&both, "kernel/x86/microcode/AuthenticAMD.bin").unwrap()] == amd(100));
    assert_eq!(Rootfs::unpack(&both).shape("init"), "file 755");
}

#[test]
fn what_is_damaged_or_of_no_use_is_refused() {
    let fixture = fixture();
    let error = |data: &[u8], args: &[&str]| {
        fixture.put("x.bin", data).put("image", "as it was");
        let output = build(&fixture, &[&["--early", "x.bin"], args].concat());
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(fs::read(fixture.root().join("image")).unwrap(), b"as it was");
        String::from_utf8(output.stderr).unwrap().strip_prefix("mkinitmod: ").unwrap().trim_end().to_owned()
    };
    assert_eq!(error(b"hello", &[]), "x.bin: not Intel or AMD microcode, an ACPI table, or a cpio archive of these");
    let mut bad = [intel(1), intel(2)].concat();
    bad[2048 + 100] ^= 1;
    assert_eq!(error(&bad, &[]), "x.bin: Intel microcode update with a wrong checksum at offset 0x800");
    assert_eq!(error(&bad[..3000], &[]), "x.bin: truncated Intel microcode update at offset 0x800");
    assert_eq!(error(&amd(100)[..100], &[]), "x.bin: truncated AMD microcode patch at offset 0x1c");
    assert_eq!(error(&[amd(8), vec![5; 9]].concat(), &[]), "x.bin: not an AMD microcode patch at offset 0x2c");
    let mut table = ssdt();
    table[20] ^= 1;
    assert_eq!(error(&table, &[]), "x.bin: ACPI table with a wrong checksum at offset 0x9");
    assert_eq!(error(b"070701", &[]), "x.bin: truncated cpio archive at offset 0x0");
    assert_eq!(error(&ssdt(), &["--early", "x.bin"]), "x.bin: the image already has /kernel/firmware/acpi/x.bin");
    fixture.put("config", "CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_ZSTD=y\n");
    assert_eq!(
        error(&intel(1), &["--config", "config"]),
        "config: CONFIG_MICROCODE is not set, which an early archive needs"
    );
    fixture.put("b.toml", "arch = 'aarch64'\nmodules.load = ['a']\n").put("loader", Ko::loader().machine(183).build());
    fixture.put(&format!("lib/modules/{KVER}/kernel/a.ko"), Ko::new("a").machine(183).built_for(KVER).build());
    assert_eq!(error(&intel(1), &[]), "b.toml: image.early: microcode is for x86_64, not aarch64");
    fixture.put("fw/none/README", "");
    let none = String::from_utf8(build(&fixture, &["--early", "fw/none"]).stderr).unwrap();
    assert_eq!(
        none,
        "mkinitmod: fw/none: no Intel or AMD microcode, ACPI table, or cpio archive of these in this directory\n"
    );
}
