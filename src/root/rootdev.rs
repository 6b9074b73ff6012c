//! What `root=` says: a device by name, by number, or by what is on it.
//!
//! Source: the kernel's block/early-lookup.c for its own forms; systemd's and dracut's words for UUID= and LABEL=,
//! which the kernel leaves to an initramfs; udev's /dev/disk/by-*, read here as the words they stand for.

use crate::bytes::{decimal, split_once};

/// How the root's device is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootDev<'map> {
    /// A path under /dev.
    Path(&'map [u8]),
    /// A device number, major and minor.
    Number(u32, u32),
    /// By something that is written on it, or in the partition table.
    Tag(Tag, &'map [u8]),
    /// The partition so many behind (or before) the one with this PARTUUID.
    Beside(&'map [u8], i64),
}

/// What a device can be named by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// Of its file system.
    Uuid,
    /// Of its file system.
    Label,
    /// Of its partition.
    PartUuid,
    /// Of its partition.
    PartLabel,
}

const TAGS: [(&[u8], &[u8], Tag); 4] = [
    (b"UUID=", b"/dev/disk/by-uuid/", Tag::Uuid),
    (b"LABEL=", b"/dev/disk/by-label/", Tag::Label),
    (b"PARTUUID=", b"/dev/disk/by-partuuid/", Tag::PartUuid),
    (b"PARTLABEL=", b"/dev/disk/by-partlabel/", Tag::PartLabel),
];

impl<'map> RootDev<'map> {
    /// Parses the value of `root=`; `None` for a form that is not known.
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
