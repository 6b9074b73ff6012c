//! `mkinitmod`: see [`initmod::host`].

use clap::Parser;
use initmod::host::build;
use initmod::host::cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Build(args) => build::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mkinitmod: {error}");
            ExitCode::FAILURE
        }
    }
}
