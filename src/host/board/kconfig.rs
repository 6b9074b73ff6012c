// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel's configuration, as packages install it: /boot/config-KVER. An image's needs are checked against it, and it
//! explains why a module is missing. Source: the kernel's Documentation/kbuild/kconfig.rst.

use crate::host::error::{Error, Result};
use crate::host::input;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A kernel's configuration.
#[derive(Debug)]
pub struct Kconfig {
    path: PathBuf,
    /// By name, without `CONFIG_`; `n` for an option that is not set.
    values: HashMap<String, String>,
}

impl Kconfig {
    /// Reads the configuration at `path`.
    ///
    /// # Errors
    /// The file cannot be read, or has no CONFIG_ line.
    pub fn read(path: &Path) -> Result<Kconfig> {
        let text = input::read_named_text(path)?;
        let set = text.lines().filter_map(|line| match line.strip_prefix("# CONFIG_") {
            Some(unset) => Some((unset.strip_suffix(" is not set")?, "n")),
            None => line.strip_prefix("CONFIG_")?.split_once('='),
        });
        let values: HashMap<String, String> = set.map(|(name, value)| (name.into(), value.into())).collect();
        if values.is_empty() {
            return Err(Error::input(path, "not a kernel config: no CONFIG_ line"));
        }
        Ok(Kconfig { path: path.into(), values })
    }

    /// Whether the option is `y`.
    pub fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| value == "y")
    }

    /// Returns the value of an option, a string without its quotes.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.trim_matches('"'))
    }

    /// Returns the option that a module is named after, with `CONFIG_`, and its value. A module with another name than its
    /// option is not found.
    pub fn of_module(&self, modname: &str) -> Option<(String, &str)> {
        let name = modname.replace('-', "_").to_uppercase();
        self.values.get(&name).map(|value| (format!("CONFIG_{name}"), value.as_str()))
    }

    /// Checks that an option is `y`; `what` names the feature that needs it, for the message.
    ///
    /// # Errors
    /// The option is not `y`.
    pub fn require(&self, name: &str, what: &str) -> Result<()> {
        if self.has(name) {
            return Ok(());
        }
        Err(Error::input(&self.path, format!("CONFIG_{name} is not set, which {what} needs")))
    }

    /// Checks that an option is not `y`; `what` names the feature that it forbids, for the message.
    ///
    /// # Errors
    /// The option is `y`.
    pub fn forbid(&self, name: &str, what: &str) -> Result<()> {
        if self.has(name) {
            return Err(Error::input(&self.path, format!("CONFIG_{name} is set, which forbids {what}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unset_option_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, "# CONFIG_RD_LZ4 is not set\nCONFIG_RD_GZIP=y\nCONFIG_EXT4_FS=m\n").unwrap();
        let config = Kconfig::read(&path).unwrap();
        assert!(config.require("RD_GZIP", "x").is_ok() && config.forbid("EXT4_FS", "x").is_ok());
        let error = config.require("RD_LZ4", "an lz4 image").unwrap_err().to_string();
        assert!(error.ends_with("config: CONFIG_RD_LZ4 is not set, which an lz4 image needs"), "{error}");
        let of = |modname| config.of_module(modname).map(|(name, value)| format!("{name}={value}"));
        assert_eq!((of("ext4-fs"), of("rd_lz4")), (Some("CONFIG_EXT4_FS=m".into()), Some("CONFIG_RD_LZ4=n".into())));
        assert_eq!(of("ext4"), None);
        assert!(config.forbid("RD_GZIP", "that").unwrap_err().to_string().ends_with("is set, which forbids that"));
        std::fs::write(&path, "hello").unwrap();
        assert!(Kconfig::read(&path).is_err());
    }
}
