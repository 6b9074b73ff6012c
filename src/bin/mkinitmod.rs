//! `mkinitmod`: see [`initmod::host`].

use clap::Parser;
use initmod::host::cli::{Cli, Command};
use initmod::host::{build, depmod};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let called_as = std::env::args_os().next().unwrap_or_default();
    if Path::new(&called_as).file_name().is_some_and(|name| name == "depmod") {
        return depmod::main(std::env::args_os());
    }
    match Cli::parse().command {
        Command::Build(args) => match build::run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("mkinitmod: {error}");
                ExitCode::FAILURE
            }
        },
        Command::Depmod { args } => depmod::main(std::iter::once("depmod".into()).chain(args)),
    }
}
