//! `mkinitmod`, the generator: see [`initmod::host`]. A link named depmod runs `mkinitmod depmod`.

use clap::Parser;
use initmod::host::commands::args::{Cli, Command, SnapshotCommand};
use initmod::host::commands::{build, select, snapshot, why};
use initmod::host::depmod;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if args.first().is_some_and(|name| Path::new(name).file_name() == Some("depmod".as_ref())) {
        return depmod::main(args);
    }
    let outcome = match Cli::parse_from(args).command {
        Command::Build(args) => build::run(&args),
        Command::Select(args) => select::run(&args),
        Command::Snapshot { command: SnapshotCommand::Import { file } } => snapshot::import(&file),
        Command::Why(args) => why::run(&args),
        Command::Depmod { args } => return depmod::main([OsString::from("depmod")].into_iter().chain(args)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mkinitmod: {error}");
            ExitCode::FAILURE
        }
    }
}
