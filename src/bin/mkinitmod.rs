// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mkinitmod`, the generator: see [`initmod::host`]. A link named depmod runs `mkinitmod depmod`.

use clap::Parser;
use initmod::host::commands::args::{Cli, Command, SnapshotCommand};
use initmod::host::commands::{build, completions, manual, select, snapshot, why};
use initmod::host::depmod;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Exit status of a wrong command line.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if args.first().is_some_and(|name| Path::new(name).file_name() == Some("depmod".as_ref())) {
        return depmod::main(args);
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => error.exit(), // --help, --version
        Err(error) => {
            let text = error.render().to_string();
            eprint!("mkinitmod: {}", text.strip_prefix("error: ").unwrap_or(&text));
            return ExitCode::from(USAGE);
        }
    };
    let outcome = match cli.command {
        Command::Build(args) => build::run(&args),
        Command::Select(args) => select::run(&args),
        Command::Snapshot { command: SnapshotCommand::Import { file } } => snapshot::import(&file),
        Command::Why(args) => match why::run(&args) {
            Ok(false) => return ExitCode::FAILURE, // said on standard output
            answer => answer.map(drop),
        },
        Command::Completions { shell } => completions::run(shell),
        Command::Help { topic } => manual::run(topic.as_deref()),
        Command::Depmod { args } => return depmod::main([OsString::from("depmod")].into_iter().chain(args)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.to_string().lines().for_each(|line| eprintln!("mkinitmod: {line}"));
            if error.is_usage() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}
