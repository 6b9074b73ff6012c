// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files that options name: all that are missing are reported at once, each with its option.

use super::args::{BuildArgs, SourceArgs};
use crate::host::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Checks that the files of the sources' options exist. Those of --modules and --firmware are looked up when they are read,
/// as links in a target's tree are resolved below its root.
///
/// # Errors
/// Those that do not, all of them.
pub(super) fn check_sources(args: &SourceArgs) -> Result<()> {
    Error::all(missing_sources(args))
}

fn missing_sources(args: &SourceArgs) -> Vec<Error> {
    let one = [
        ("--dtbs", &args.dtbs),
        ("--kernel", &args.kernel),
        ("--config", &args.config),
        ("--builtin", &args.builtin),
        ("--symvers", &args.symvers),
    ];
    let many = [("--board", &args.board), ("--overlay", &args.overlay), ("--depmod-config", &args.depmod_config)];
    // A device tree may be a name among the kernel's.
    missing(&one, &many)
}

/// Checks that the files of build's options exist, and the directories of its outputs.
///
/// # Errors
/// Those that do not, all of them.
pub(super) fn check_build(args: &BuildArgs) -> Result<()> {
    let one = [("--loader", &args.loader), ("--append", &args.append)];
    let mut errors = missing_sources(&args.source);
    errors.extend(missing(&one, &[("--early", &args.early)]));
    for (option, output) in [("--output", &args.output), ("--manifest", &args.manifest), ("--tree", &args.tree)] {
        let dir = output.as_deref().and_then(Path::parent).filter(|dir| !dir.as_os_str().is_empty());
        if let (Some(output), Some(dir)) = (output, dir.filter(|dir| !dir.exists())) {
            errors.push(Error::Io {
                path: format!("{option} {}", output.display()).into(),
                source: std::io::Error::other(format!("there is no directory {}", dir.display())),
            });
        }
    }
    Error::all(errors)
}

/// Returns an error for each file that cannot be looked up.
fn missing(one: &[(&str, &Option<PathBuf>)], many: &[(&str, &Vec<PathBuf>)]) -> Vec<Error> {
    let one = one.iter().flat_map(|(option, path)| path.iter().map(move |path| (*option, path)));
    let many = many.iter().flat_map(|(option, paths)| paths.iter().map(move |path| (*option, path)));
    let error = |(option, path): (&str, &PathBuf)| {
        let source = path.metadata().err()?;
        Some(Error::Io { path: format!("{option} {}", path.display()).into(), source })
    };
    one.chain(many).filter_map(error).collect()
}
