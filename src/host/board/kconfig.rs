//! A kernel's configuration, as packages install it: /boot/config-KVER. What an image asks of the kernel is checked
//! against it, and it tells of a name that the tree does not have what became of it. Source: the kernel's Documentation/kbuild/kconfig.rst.

use crate::host::error::{Error, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A kernel's configuration.
#[derive(Debug)]
pub struct Kconfig {
    path: PathBuf,
    /// By name, without `CONFIG_`; `n` for what is said not to be set.
    values: HashMap<String, String>,
}

impl Kconfig {
    /// Reads the configuration at `path`.
    ///
    /// # Errors
    /// It can't be read, or sets nothing.
    pub fn read(path: &Path) -> Result<Kconfig> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let set = text.lines().filter_map(|line| match line.strip_prefix("# CONFIG_") {
            Some(unset) => Some((unset.strip_suffix(" is not set")?, "n")),
            None => line.strip_prefix("CONFIG_")?.split_once('='),
        });
        let values: HashMap<String, String> = set.map(|(name, value)| (name.into(), value.into())).collect();
        if values.is_empty() {
            return Err(Error::input(path, "is no configuration of a kernel: no CONFIG_ line in it"));
        }
        Ok(Kconfig { path: path.into(), values })
    }

    /// The option is built in: `y`.
    pub fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| value == "y")
    }

    /// Finds the option that a module is named for: its value, with `CONFIG_`. Where the two are not of one name nothing
    /// is known of it.
    pub fn of_module(&self, modname: &str) -> Option<(String, &str)> {
        let name = modname.replace('-', "_").to_uppercase();
        self.values.get(&name).map(|value| (format!("CONFIG_{name}"), value.as_str()))
    }

    /// Insists on an option; `what` says what needs it.
    ///
    /// # Errors
    /// It is not set.
    pub fn require(&self, name: &str, what: &str) -> Result<()> {
        if self.has(name) {
            return Ok(());
        }
        Err(Error::input(&self.path, format!("CONFIG_{name} is not set, which {what} needs")))
    }

    /// Refuses an option; `what` says what it stands in the way of.
    ///
    /// # Errors
    /// It is set.
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
    fn what_is_not_set_is_refused_by_name() {
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
