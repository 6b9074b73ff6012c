// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images in each format, read by the tools that people look into images with.

use crate::support::fixture::Fixture;
use crate::support::mkko::Ko;
use std::env;
use std::fs;
use std::process::{Command, Stdio};

/// Compressions of an image, and the tool that tests such a file.
const FORMATS: [(&str, &[&str]); 5] = [
    ("none", &[]),
    ("gz", &["gzip", "-t"]),
    ("xz", &["xz", "-t"]),
    ("zst", &["zstd", "-q", "-t"]),
    ("lz4", &["lz4", "-q", "-t"]),
];

/// Makes an image of each format, of one module.
fn images() -> Fixture {
    let fixture = Fixture::new();
    fixture.module("kernel/foo.ko", &Ko::new("foo"));
    fixture.put("loader", Ko::loader().build()).put("b.toml", "arch = 'x86_64'\n[modules]\nload = ['foo']\n");
    for (format, _) in FORMATS {
        let image = format!("image.{format}");
        let args = ["--board", "b.toml", "--loader", "loader", "--compress", format, "-o", &image];
        let output = fixture.mkinitmod("build").args(args).output().expect("mkinitmod runs");
        assert!(output.status.success(), "{format}: {}", String::from_utf8_lossy(&output.stderr));
    }
    fixture
}

/// Runs a tool; returns its output where it succeeds without a complaint.
fn read(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{error}; config/setup qemu installs it"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    match output.status.success() && (stderr.is_empty() || stderr.trim_end().ends_with(" blocks")) {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{command:?}: {}: {stderr}", output.status)),
    }
}

#[test]
fn the_formats_own_tools_cpio_and_bsdtar_read_an_image_without_a_complaint() {
    let fixture = images();
    let mut faults = Vec::new();
    for (format, test) in FORMATS {
        let image = fixture.root().join(format!("image.{format}"));
        if let [tool, args @ ..] = test {
            let input = || Stdio::from(fs::File::open(&image).unwrap());
            faults.extend(read(Command::new(tool).args(args).stdin(input())).err());
            let unpack = format!("{tool} -dc <{} | cpio -t", image.display());
            let list = read(Command::new("sh").args(["-c", &unpack]));
            assert!(list.is_ok_and(|list| list.contains("foo.ko")), "{format}: cpio");
        }
        match read(Command::new("bsdtar").arg("-tf").arg(&image)) {
            Ok(list) if list.contains("foo.ko") && list.contains("init") => {}
            Ok(list) => faults.push(format!("{format}: bsdtar lists {list}")),
            Err(fault) => faults.push(fault),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
#[ignore = "wants INITMOD_UNMKINITRAMFS, which make test sets"]
fn debians_unmkinitramfs_reads_an_image() {
    let programs = env::var("INITMOD_UNMKINITRAMFS").expect("qemu/unmkinitramfs prints its value");
    let fixture = images();
    for program in programs.split_whitespace() {
        // A plain archive alone is none of Debian's forms: it exits with 2 for any.
        for (format, _) in FORMATS.into_iter().filter(|(format, _)| *format != "none") {
            let dir = fixture.root().join(format!("out.{format}"));
            let image = fixture.root().join(format!("image.{format}"));
            read(Command::new(program).arg(image).arg(&dir)).expect(format);
            let find = read(Command::new("find").arg(&dir).args(["-name", "foo.ko*"])).unwrap();
            assert_eq!(find.lines().count(), 1, "{program}: {format}");
            fs::remove_dir_all(dir).unwrap();
        }
    }
}
