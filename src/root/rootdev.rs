// SPDX-License-Identifier: MIT OR Apache-2.0
//! The forms of `root=`: a device name, a device number, or a tag such as `UUID=` that is read from the disk.
//!
//! Source: the kernel's block/early-lookup.c for its own forms; systemd and dracut for `UUID=` and `LABEL=`, which the
//! kernel leaves to an initramfs. udev's links in /dev/disk/by-* are read as the tags they stand for.

use crate::bytes::{decimal, split_once};

/// Name of the root device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootDev<'map> {
    /// A path under /dev.
    Path(&'map [u8]),
    /// A device number, major and minor.
    Number(u32, u32),
    /// A tag of its file system or partition, and the tag's value.
    Tag(Tag, &'map [u8]),
    /// `PARTUUID=X/PARTNROFF=N`: the partition whose number is N above that of X; N may be negative.
    Beside(&'map [u8], i64),
}

/// A tag that identifies a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The file system's UUID.
    Uuid,
    /// The file system's label.
    Label,
    /// The partition's UUID.
    PartUuid,
    /// The partition's name.
    PartLabel,
}

/// The prefix of each tag in `root=`, and udev's directory of links for it.
const TAGS: [(&[u8], &[u8], Tag); 4] = [
    (b"UUID=", b"/dev/disk/by-uuid/", Tag::Uuid),
    (b"LABEL=", b"/dev/disk/by-label/", Tag::Label),
    (b"PARTUUID=", b"/dev/disk/by-partuuid/", Tag::PartUuid),
    (b"PARTLABEL=", b"/dev/disk/by-partlabel/", Tag::PartLabel),
];

impl<'map> RootDev<'map> {
    /// Parses the value of `root=`; `None` for an unknown form.
    pub fn parse(text: &'map [u8]) -> Option<RootDev<'map>> {
        for (word, dir, tag) in TAGS {
            let Some(value) = text.strip_prefix(word).or_else(|| text.strip_prefix(dir)) else { continue };
            let value = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
            return match split_once(value, b'/') {
                Some((uuid, rest)) if tag == Tag::PartUuid => {
                    let offset = rest.strip_prefix(b"PARTNROFF=")?;
                    let (digits, negative) = offset.strip_prefix(b"-").map_or((offset, false), |rest| (rest, true));
                    let distance = i64::from(decimal(digits)?);
                    Some(RootDev::Beside(uuid, if negative { distance.wrapping_neg() } else { distance }))
                }
                _ if value.is_empty() => None,
                _ => Some(RootDev::Tag(tag, value)),
            };
        }
        if let Some(name) = text.strip_prefix(b"/dev/") {
            return (!name.is_empty()).then_some(RootDev::Path(text));
        }
        let (major, minor) = split_once(text, b':')?;
        Some(RootDev::Number(decimal(major)?, decimal(minor)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_parse() {
        let parse = |text: &'static str| RootDev::parse(text.as_bytes());
        assert_eq!(parse("/dev/vda1"), Some(RootDev::Path(b"/dev/vda1")));
        assert_eq!(parse("8:1"), Some(RootDev::Number(8, 1)));
        assert_eq!(parse("UUID=1a-2b"), Some(RootDev::Tag(Tag::Uuid, b"1a-2b")));
        assert_eq!(parse("LABEL=\"my root\""), Some(RootDev::Tag(Tag::Label, b"my root")));
        assert_eq!(parse("LABEL=a/b"), Some(RootDev::Tag(Tag::Label, b"a/b")));
        assert_eq!(parse("PARTLABEL=root"), Some(RootDev::Tag(Tag::PartLabel, b"root")));
        assert_eq!(parse("/dev/disk/by-uuid/1a"), Some(RootDev::Tag(Tag::Uuid, b"1a")));
        assert_eq!(parse("PARTUUID=1a-02"), Some(RootDev::Tag(Tag::PartUuid, b"1a-02")));
        assert_eq!(parse("PARTUUID=1a-02/PARTNROFF=-1"), Some(RootDev::Beside(b"1a-02", -1)));
    }

    #[test]
    fn what_is_no_root_is_none() {
        for text in ["", "/dev/", "UUID=", "8:", "8:x", "/mnt", "PARTUUID=a/b", "PARTUUID=a/PARTNROFF=", "nonsense"] {
            assert_eq!(RootDev::parse(text.as_bytes()), None, "{text}");
        }
    }
}
