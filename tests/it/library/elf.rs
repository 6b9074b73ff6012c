// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the loader reads of a module's file, on modules without a compiler: whole, cut short and damaged.

use crate::library::regress::targets;
use crate::support::mkko::{Ko, Versions};
use initmod::modules::elf::{Elf, strings};

fn ko(ko: Ko) -> Vec<u8> {
    ko.export("has_a").export("has_b").import("wants_c").info("parm", "x:what").build()
}

fn all() -> Vec<Vec<u8>> {
    vec![
        ko(Ko::new("m")),
        ko(Ko::new("m").elf32()),
        ko(Ko::new("m").big_endian()),
        ko(Ko::new("m").versions(Versions::Extended)),
        ko(Ko::new("m").versions(Versions::Extended).elf32().big_endian()),
        ko(Ko::new("m").versions(Versions::None)),
    ]
}

fn names(elf: &Elf<'_>, has: bool) -> Vec<String> {
    let mut names = Vec::new();
    elf.versions(has, &mut |version| {
        names.push(String::from_utf8_lossy(version.symbol).into_owned());
        assert_ne!(version.crc, 0);
    });
    names
}

#[test]
fn both_classes_and_byte_orders_are_read() {
    for image in &all()[..5] {
        let elf = Elf::new(image).unwrap();
        assert_eq!(elf.info(b"parm"), Some(&b"x:what"[..]));
        assert!(elf.modinfo().any(|text| text == b"name=m"));
        assert_eq!(names(&elf, true), ["has_a", "has_b"]);
        assert!(names(&elf, false).contains(&"wants_c".to_owned()));
        assert_eq!(&image[elf.info_range(b"vermagic").unwrap()][..9], b"vermagic=");
    }
}

#[test]
fn every_cut_and_many_flipped_bits_are_survived() {
    for image in all() {
        for len in 0..image.len() {
            targets::elf(&image[..len]);
        }
        for bit in (0..image.len() * 8).step_by(3) {
            let mut flipped = image.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            targets::elf(&flipped);
        }
    }
}

#[test]
fn strings_are_what_stands_between_nuls() {
    assert_eq!(strings(b"a=b\0\0c\0d").collect::<Vec<_>>(), [&b"a=b"[..], b"c", b"d"]);
}
