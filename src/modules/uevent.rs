// SPDX-License-Identifier: MIT OR Apache-2.0
//! A device's uevent: the lines of its `uevent` file in sysfs, or a message of the kernel's netlink socket.
//!
//! ```text
//! file      KEY=value LF ...
//! message   add@/devices/... NUL KEY=value NUL ...
//! ```
//! Source: the kernel's lib/kobject_uevent.c, drivers/base/core.c; drivers/of/device.c for the OF_ keys.

use crate::bytes::{split, split_once};
use crate::error::Error;
use heapless::VecView;

/// The keys and values of a uevent.
#[derive(Clone, Copy, Debug)]
pub struct Uevent<'map> {
    text: &'map [u8],
    end: u8,
}

impl<'map> Uevent<'map> {
    /// Wraps the text of a `uevent` file.
    pub fn file(text: &'map [u8]) -> Self {
        Uevent { text, end: b'\n' }
    }

    /// Wraps a netlink message of the kernel.
    pub fn message(text: &'map [u8]) -> Self {
        Uevent { text, end: 0 }
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&'map [u8]> {
        let end = self.end;
        split(self.text, end).find_map(|line| line.strip_prefix(key)?.strip_prefix(b"="))
    }

    /// Whether one of the device's compatible strings is `compatible`.
    pub fn is_compatible(&self, compatible: &[u8]) -> bool {
        let lines = split(self.text, self.end).filter_map(|line| line.strip_prefix(b"OF_COMPATIBLE_"));
        lines.filter_map(|line| split_once(line, b'=')).any(|(number, value)| number != b"N" && value == compatible)
    }

    /// Writes the alias `number`, from 0 on, by which the device is requested if no module matches its modalias. Returns false
    /// if there is none.
    ///
    /// The `spi:` modalias has only the first `compatible`, without its vendor: some drivers have `of:` aliases alone. An
    /// I2C device of a device tree has an `of:` modalias: some drivers have `i2c:` aliases alone. Its bus is not in the
    /// uevent; the names of other buses' devices differ from those of I2C chips.
    ///
    /// Source: drivers/spi/spi.c, drivers/i2c/i2c-core-base.c, `i2c_device_uevent`, `i2c_device_match`.
    ///
    /// # Errors
    /// [`Error::Full`] if it does not fit in `out`.
    pub fn fallback_alias(&self, number: u8, out: &mut VecView<u8>) -> Result<bool, Error> {
        let modalias = self.get(b"MODALIAS").unwrap_or_default();
        if modalias.starts_with(b"spi:") {
            return self.of_modalias(number, out);
        }
        let first = self.get(b"OF_COMPATIBLE_0").filter(|_| number == 0 && modalias.starts_with(b"of:"));
        let Some(compatible) = first else { return Ok(false) };
        out.clear();
        for part in [&b"i2c:"[..], split_once(compatible, b',').map_or(compatible, |(_, name)| name)] {
            out.extend_from_slice(part).map_err(|_| Error::Full)?;
        }
        Ok(true)
    }

    /// Writes the `of:` modalias of the device tree node with its compatible string `number`, from 0 to 9:
    /// `of:N<name>T<type>C<compatible>`. Returns false if the node has no such string.
    ///
    /// # Errors
    /// [`Error::Full`] if it does not fit in `out`.
    fn of_modalias(&self, number: u8, out: &mut VecView<u8>) -> Result<bool, Error> {
        let mut key = *b"OF_COMPATIBLE_0";
        if let (Some(digit), true) = (key.last_mut(), number < 10) {
            *digit = b'0'.wrapping_add(number);
        }
        let Some(compatible) = self.get(&key).filter(|_| number < 10) else { return Ok(false) };
        let name = self.get(b"OF_NAME").unwrap_or_default();
        let of_type = self.get(b"OF_TYPE").unwrap_or(b"(null)");
        out.clear();
        for part in [b"of:N", name, b"T", of_type, b"C", compatible] {
            out.extend_from_slice(part).map_err(|_| Error::Full)?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_messages_have_the_same_keys() {
        let message = b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0MODALIAS=virtio:d00000002v00001AF4\0";
        assert_eq!(Uevent::message(message).get(b"MODALIAS"), Some(&b"virtio:d00000002v00001AF4"[..]));
        assert_eq!(Uevent::message(message).get(b"MODALIA"), None);
        assert_eq!(Uevent::file(b"MAJOR=8\nMODALIAS=mmc:block\n").get(b"MODALIAS"), Some(&b"mmc:block"[..]));
    }

    #[test]
    fn each_compatible_string_gives_a_modalias() {
        let spi = Uevent::file(b"OF_NAME=flash\nOF_COMPATIBLE_0=micron,n25q256a\nOF_COMPATIBLE_1=jedec,spi-nor\n");
        let mut out = heapless::Vec::<u8, 64>::new();
        assert_eq!(spi.of_modalias(1, &mut out), Ok(true));
        assert_eq!(out, b"of:NflashT(null)Cjedec,spi-nor");
        assert_eq!(spi.of_modalias(2, &mut out), Ok(false));
        assert!(spi.is_compatible(b"jedec,spi-nor") && !spi.is_compatible(b"jedec"));
        assert_eq!(spi.of_modalias(0, &mut heapless::Vec::<u8, 9>::new()), Err(Error::Full));
    }
}
