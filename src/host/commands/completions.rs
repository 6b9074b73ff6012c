// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mkinitmod completions SHELL`: completions of mkinitmod's commands and options, made from its own command line.
//! Those of the loader's commands are files in config/completions.

use super::args::{Cli, Shell};
use crate::host::{Error, Result};
use clap::CommandFactory;
use clap_complete::{generate, shells};
use std::io::Write;

/// Prints the completions for a shell.
///
/// # Errors
/// If standard output can't be written.
pub fn run(shell: Shell) -> Result<()> {
    let mut command = Cli::command();
    let mut text = Vec::new();
    match shell {
        Shell::Bash => generate(shells::Bash, &mut command, "mkinitmod", &mut text),
        Shell::Zsh => generate(shells::Zsh, &mut command, "mkinitmod", &mut text),
        Shell::Fish => generate(shells::Fish, &mut command, "mkinitmod", &mut text),
    }
    std::io::stdout().write_all(&text).map_err(Error::io("standard output"))
}
