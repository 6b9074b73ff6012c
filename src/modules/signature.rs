// SPDX-License-Identifier: MIT OR Apache-2.0
//! A module's signature: the trailer at the end of the file, and the PKCS#7 message before it. It is parsed, not
//! verified: the kernel verifies it.
//!
//! ```text
//! module, [signer's name, key's id,] signature, u8 algo, hash, id_type, signer_len, key_len, 0, 0, 0, u32 sig_len, MAGIC
//! ```
//! Only the fields needed are read from the message: without recursion, and never past the end of an element. Source:
//! the kernel's include/linux/module_signature.h; RFC 2315 and RFC 5652 for the message.

use super::index::Fault;
use crate::bytes::{u8_at, u32_at};
use crate::error::Error;

/// The last bytes of a signed module.
pub const MAGIC: &[u8] = b"~Module signature appended~\n";

/// Bytes between the signature and [`MAGIC`].
const TRAILER_LEN: usize = 12;

const PKCS7: u8 = 2;

/// Object identifiers of hashes, with OpenSSL's names for them.
const HASHES: [(&[u8], &[u8]); 9] = [
    (&[0x2b, 0x0e, 0x03, 0x02, 0x1a], b"sha1"),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01], b"sha256"),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02], b"sha384"),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03], b"sha512"),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x04], b"sha224"),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x08], b"sha3-256"),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x09], b"sha3-384"),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x0a], b"sha3-512"),
    (&[0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x11], b"sm3"),
];

/// Hash names by their number in the trailer of an old signature. Source: include/uapi/linux/hash_info.h of Linux 3.7.
const OLD_HASHES: [&[u8]; 8] = [b"md4", b"md5", b"sha1", b"rmd160", b"sha256", b"sha384", b"sha512", b"sha224"];

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// A module's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature<'map> {
    /// Format of the signature: `PKCS#7`, `X509` or `PGP`.
    pub id_type: &'static [u8],
    /// Common name of the certificate's issuer.
    pub signer: &'map [u8],
    /// Serial number of the certificate, or the key's identifier.
    pub key: &'map [u8],
    /// Name of the hash function.
    pub hash: &'static [u8],
    /// The signature's bytes.
    pub bytes: &'map [u8],
}

/// The parts of a signed module's file.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'map> {
    /// The module; an old signature's name of the signer and identifier of the key are at its end.
    pub module: &'map [u8],
    bytes: &'map [u8],
    trailer: &'map [u8],
    outside: Fault,
}

impl<'map> Signed<'map> {
    /// Takes a module's file apart; `None` if it is not signed.
    ///
    /// # Errors
    /// A [`Fault`] with [`Error::OutOfBounds`] for a signature that is longer than the file.
    pub fn of(file: &'map [u8]) -> Result<Option<Self>, Fault> {
        let Some(rest) = file.strip_suffix(MAGIC) else { return Ok(None) };
        let outside = Fault { error: Error::OutOfBounds, off: end(rest) };
        let (rest, trailer) = split_end(rest, TRAILER_LEN).ok_or(outside)?;
        let sig_len = u32_at(trailer, 8).ok_or(outside)?;
        let (module, bytes) = split_end(rest, sig_len as usize).ok_or(outside)?;
        Ok(Some(Signed { module, bytes, trailer, outside }))
    }
}

fn end(rest: &[u8]) -> u32 {
    u32::try_from(rest.len()).unwrap_or(u32::MAX)
}

impl<'map> Signature<'map> {
    /// Parses the signature of a module file; `None` if the file is not signed.
    ///
    /// # Errors
    /// A [`Fault`] with [`Error::OutOfBounds`] for lengths past the file, with [`Error::BadSignature`] for a malformed
    /// message or an unknown hash.
    pub fn of(module: &'map [u8]) -> Result<Option<Self>, Fault> {
        let Some(Signed { module: rest, bytes, trailer, outside }) = Signed::of(module)? else { return Ok(None) };
        let byte = |off| u8_at(trailer, off).ok_or(outside);
        let bad = Fault { error: Error::BadSignature, off: end(rest) };
        if byte(2)? == PKCS7 {
            return message(bytes).map(Some).ok_or(bad);
        }
        let (rest, key) = split_end(rest, byte(4)?.into()).ok_or(outside)?;
        let (_, signer) = split_end(rest, byte(3)?.into()).ok_or(outside)?;
        let id_type: &[u8] = if byte(2)? == 0 { b"PGP" } else { b"X509" };
        let hash = OLD_HASHES.get(usize::from(byte(1)?)).copied().ok_or(bad)?;
        Ok(Some(Signature { id_type, signer, key, hash, bytes }))
    }
}

/// Parses a PKCS#7 message: issuer, serial number, hash and signature of its first signer.
fn message(data: &[u8]) -> Option<Signature<'_>> {
    const SEQUENCE: u8 = 0x30;
    const SET: u8 = 0x31;
    const INTEGER: u8 = 2;
    const OCTETS: u8 = 4;
    const OBJECT: u8 = 6;
    const CONTEXT_0: u8 = 0xa0;

    let mut outer = Der(Der(data).expect(SEQUENCE)?);
    outer.expect(OBJECT)?;
    let mut signed = Der(Der(outer.expect(CONTEXT_0)?).expect(SEQUENCE)?);
    signed.expect(INTEGER)?;
    signed.expect(SET)?; // hashes
    signed.expect(SEQUENCE)?; // content, empty: the signature is detached
    // Certificates and revocations, both optional, come before the set of signers.
    let mut signers = loop {
        let (tag, content) = signed.next()?;
        if tag == SET {
            break Der(content);
        }
    };
    let mut info = Der(signers.expect(SEQUENCE)?);
    info.expect(INTEGER)?;
    let (signer, key) = match info.next()? {
        (SEQUENCE, content) => {
            let mut id = Der(content);
            let issuer = id.expect(SEQUENCE)?;
            let serial = id.expect(INTEGER)?;
            (common_name(issuer), serial.strip_prefix(&[0]).unwrap_or(serial))
        }
        (_, key_id) => (&[][..], key_id),
    };
    let hash = Der(info.expect(SEQUENCE)?).expect(OBJECT)?;
    let hash = HASHES.iter().find(|(oid, _)| *oid == hash).map_or(&b"unknown"[..], |(_, name)| name);
    // Signed attributes are optional; the algorithm and the signature follow.
    let bytes = loop {
        let (tag, content) = info.next()?;
        if tag == OCTETS {
            break content;
        }
    };
    Some(Signature { id_type: b"PKCS#7", signer, key, hash, bytes })
}

/// Returns the common name in a distinguished name, or else its last part.
fn common_name(name: &[u8]) -> &[u8] {
    let (mut parts, mut last) = (Der(name), &[][..]);
    while let Some((_, set)) = parts.next() {
        let Some((_, part)) = Der(set).next() else { break };
        let mut part = Der(part);
        let (Some((_, kind)), Some((_, value))) = (part.next(), part.next()) else { break };
        last = value;
        if kind == COMMON_NAME {
            break;
        }
    }
    last
}

/// The unread rest of a sequence of DER elements: tag, length, content. Source: ITU-T X.690.
struct Der<'map>(&'map [u8]);

impl<'map> Der<'map> {
    /// Reads the next element; `None` at the end, or if its length is past the end.
    #[inline(never)] // one copy for all callers
    fn next(&mut self) -> Option<(u8, &'map [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&short, rest) = rest.split_first()?;
        let (len, rest) = match short {
            0..=0x7f => (usize::from(short), rest),
            0x81..=0x84 => {
                let (long, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
                (long.iter().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte)), rest)
            }
            _ => return None,
        };
        let content;
        (content, self.0) = rest.split_at_checked(len)?;
        Some((tag, content))
    }

    /// Reads the next element and returns its content; `None` if it has another tag.
    #[inline(never)] // one copy for all callers
    fn expect(&mut self, tag: u8) -> Option<&'map [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

fn split_end(data: &[u8], len: usize) -> Option<(&[u8], &[u8])> {
    data.split_at_checked(data.len().checked_sub(len)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns an element with this content.
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let mut out = vec![tag];
        match content.len() {
            len @ 0..0x80 => out.push(len as u8),
            len => out.extend([0x82, (len >> 8) as u8, len as u8]),
        }
        out.extend(content);
        out
    }

    fn signed(id: &[u8], attributes: &[u8]) -> Vec<u8> {
        let hash = der(0x30, &[&der(6, &[HASHES[3].0]), &der(5, &[])]);
        let algorithm = der(0x30, &[&der(6, &[&[1, 2]])]);
        let info = der(0x30, &[&der(2, &[&[1]]), id, &hash, attributes, &algorithm, &der(4, &[&[9; 200]])]);
        let content = der(0x30, &[&der(6, &[&[1, 3]])]);
        let signed = der(
            0x30,
            &[&der(2, &[&[1]]), &der(0x31, &[&hash]), &content, &der(0xa0, &[&[0x30, 0]]), &der(0x31, &[&info])],
        );
        let message = der(0x30, &[&der(6, &[&[1, 2, 3]]), &der(0xa0, &[&signed])]);
        [
            b"\x7fELF module".as_slice(),
            &message,
            &[0, 0, 2, 0, 0, 0, 0, 0],
            &(message.len() as u32).to_be_bytes(),
            MAGIC,
        ]
        .concat()
    }

    fn by_issuer() -> Vec<u8> {
        let part =
            |kind: &[u8], text: &str| der(0x31, &[&der(0x30, &[&der(6, &[kind]), &der(0x0c, &[text.as_bytes()])])]);
        let name = der(0x30, &[&part(&[0x55, 4, 10], "Organisation"), &part(COMMON_NAME, "Some key")]);
        der(0x30, &[&name, &der(2, &[&[0, 0xab, 0xcd]])])
    }

    #[test]
    fn a_message_has_issuer_serial_hash_and_signature() {
        let module = signed(&by_issuer(), &[]);
        let want = Signature {
            id_type: b"PKCS#7",
            signer: b"Some key",
            key: &[0xab, 0xcd],
            hash: b"sha512",
            bytes: &[9; 200],
        };
        assert_eq!(Signature::of(&module), Ok(Some(want)));
        let with_attributes = signed(&der(0x80, &[&[1, 2]]), &der(0xa0, &[&[0x30, 0]]));
        let want = Signature { signer: b"", key: &[1, 2], ..want };
        assert_eq!(Signature::of(&with_attributes), Ok(Some(want)), "by the key's identifier");
    }

    #[test]
    fn the_old_trailer_has_names_in_front_of_the_signature() {
        let module =
            [b"\x7fELF".as_slice(), b"me", b"key", b"SIG", &[1, 4, 1, 2, 3, 0, 0, 0, 0, 0, 0, 3], MAGIC].concat();
        let want = Signature { id_type: b"X509", signer: b"me", key: b"key", hash: b"sha256", bytes: b"SIG" };
        assert_eq!(Signature::of(&module), Ok(Some(want)));
        assert_eq!(Signature::of(b"\x7fELF"), Ok(None));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_survived() {
        let module = signed(&by_issuer(), &[]);
        for len in 0..module.len() - MAGIC.len() - TRAILER_LEN {
            let cut = [
                &module[len..module.len() - MAGIC.len() - TRAILER_LEN],
                &module[module.len() - MAGIC.len() - TRAILER_LEN..],
            ]
            .concat();
            let _ = Signature::of(&cut);
        }
        for bit in 0..module.len() * 8 {
            let mut flipped = module.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = Signature::of(&flipped);
        }
        let fault = Signature::of(&[&[0; 11][..], MAGIC].concat()).unwrap_err();
        assert_eq!(fault, Fault { error: Error::OutOfBounds, off: 11 });
    }
}
