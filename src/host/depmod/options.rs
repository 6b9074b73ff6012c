// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line of depmod, in all forms of getopt_long: `-b DIR`, `-bDIR`, `-aeF FILE`, `--basedir DIR`,
//! `--basedir=DIR`, `--base DIR`, and options after arguments.

use crate::host::error::{Error, Result};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Parser};
use std::path::{Path, PathBuf};

/// Writes the dependency and alias indexes of a module tree.
#[derive(Debug, Parser)]
#[command(
    name = "depmod",
    display_name = "initmod depmod",
    version,
    disable_version_flag = true,
    infer_long_args = true,
    args_override_self = true,
    override_usage = "depmod [OPTIONS] [KVER [FILE...]]"
)]
pub struct Options {
    /// Index all modules; the default without FILE
    #[arg(short, long)]
    pub all: bool,
    /// Do nothing if no module is newer than modules.dep
    #[arg(short = 'A', long)]
    pub quick: bool,
    /// Use the module tree below DIR instead of /
    #[arg(short, long, value_name = "DIR", allow_hyphen_values = true)]
    pub basedir: Option<PathBuf>,
    /// Directory of all kernels' module trees, below the base directory
    #[arg(short, long, value_name = "DIR", allow_hyphen_values = true, default_value = "/lib/modules")]
    pub moduledir: PathBuf,
    /// Write the indexes below DIR instead of the base directory
    #[arg(short, long, value_name = "DIR", allow_hyphen_values = true)]
    pub outdir: Option<PathBuf>,
    /// Read depmod.d from PATH instead of its usual places; may be repeated
    #[arg(short = 'C', long, value_name = "PATH", allow_hyphen_values = true, action = ArgAction::Append)]
    pub config: Vec<PathBuf>,
    /// Report symbols that nothing exports, or with another version; needs -E or -F
    #[arg(short, long)]
    pub errsyms: bool,
    /// Read the kernel's symbols and their versions from FILE, a Module.symvers
    #[arg(short = 'E', long, value_name = "FILE", allow_hyphen_values = true)]
    pub symvers: Option<PathBuf>,
    /// Read the kernel's symbols from FILE, a System.map
    #[arg(short = 'F', long, value_name = "FILE", allow_hyphen_values = true)]
    pub filesyms: Option<PathBuf>,
    /// Print the text files instead of writing any file
    #[arg(short = 'n', long, visible_alias = "dry-run")]
    pub show: bool,
    /// Ignore CHAR at the start of every symbol
    #[arg(short = 'P', long, value_name = "CHAR", allow_hyphen_values = true, value_parser = one_byte)]
    pub symbol_prefix: Option<u8>,
    /// Print the symbol behind each dependency
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Report aliases that a module has twice
    #[arg(short, long)]
    pub warn: bool,
    /// Replace the indexes, and succeed, even if a module cannot be read, like kmod
    #[arg(long)]
    pub keep_going: bool,
    /// Cache the parsed modules in DIR [default: ~/.cache/initmod, for large trees]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Read every module, and cache none
    #[arg(long, conflicts_with = "cache")]
    pub no_cache: bool,
    /// Limit of what one compressed module may unpack to, MiB [default: 128]
    #[arg(long, value_name = "MIB")]
    pub unpacked_max: Option<u16>,
    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
    /// Kernel version [default: the running kernel's]; then absolute paths of the only modules to index
    #[arg(value_name = "KVER [FILE]", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub args: Vec<PathBuf>,
}

impl Options {
    /// Returns the version of the kernel to which the tree belongs.
    ///
    /// # Errors
    /// The argument does not begin with two numbers, as a version does.
    pub fn kver(&self) -> Result<String> {
        let Some(kver) = self.args.first() else {
            return Ok(rustix::system::uname().release().to_string_lossy().into_owned());
        };
        let text = kver.to_str().map(|text| text.trim_end_matches('/')).filter(|text| is_version(text));
        text.map(str::to_owned)
            .ok_or_else(|| Error::input(kver, "not a kernel version; expected one like 6.12.0-amd64"))
    }

    /// Returns the module files on the command line. None means all of the tree.
    ///
    /// # Errors
    /// A relative path.
    pub fn files(&self) -> Result<&[PathBuf]> {
        let files = self.args.get(1..).unwrap_or_default();
        match files.iter().find(|file| file.is_relative()) {
            Some(file) => Err(Error::input(file, "not an absolute path; depmod takes no relative module files")),
            None => Ok(files),
        }
    }

    /// Returns the root of the indexes' path; `None` is `/`.
    pub fn out_root(&self) -> Option<&Path> {
        self.outdir.as_deref().or(self.basedir.as_deref())
    }

    /// Returns the tree's path below its root, which is also that of the indexes below theirs.
    pub fn below(&self, kver: &str) -> PathBuf {
        self.moduledir.join(kver)
    }
}

fn is_version(text: &str) -> bool {
    let starts_with_digit = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let behind_major = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    starts_with_digit(text) && behind_major.strip_prefix('.').is_some_and(starts_with_digit) && !text.contains('/')
}

fn one_byte(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err("expected one character".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(args: &[&str]) -> Options {
        Options::try_parse_from([&["depmod"], args].concat()).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn getopt_forms_are_accepted() {
        for args in [
            &["-b", "/r", "6.1", "-a"][..],
            &["-ab/r", "6.1"],
            &["--basedir=/r", "6.1", "--all"],
            &["6.1", "--base", "/r", "--al"],
            &["-ae", "-b", "/x", "-aab", "/r", "--", "6.1"],
        ] {
            let options = options(args);
            assert!(options.all, "{args:?}");
            assert_eq!(options.out_root(), Some(Path::new("/r")), "{args:?}");
            assert_eq!(options.below(&options.kver().unwrap()), Path::new("/lib/modules/6.1"), "{args:?}");
        }
        let options = options(&["-C", "/a", "-C/b", "-vvwnP_"]);
        assert_eq!((options.config.len(), options.verbose, options.symbol_prefix), (2, 2, Some(b'_')));
    }

    #[test]
    fn options_that_depmod_has_dropped_are_refused() {
        for args in [["--map"], ["-q"], ["-r"], ["-u"], ["--unresolved-error"]] {
            assert!(Options::try_parse_from([&["depmod"], &args[..]].concat()).is_err(), "{args:?}");
        }
    }

    #[test]
    fn a_version_begins_with_two_numbers() {
        for (text, is) in [("6.1", true), ("6.12.0-x/..", false), ("6", false), ("v6.1", false), ("2.6.32-5", true)] {
            assert_eq!(is_version(text), is, "{text}");
        }
    }
}
