// SPDX-License-Identifier: MIT OR Apache-2.0
//! `depmod`: writes a tree's modules.* files like kmod's depmod, with its options and its configuration.
//!
//! It differs from kmod on purpose:
//! * The set of files is replaced as a whole or not at all.
//! * A module that cannot be read is an error with file and offset, and exit status 1. An existing set of files is then
//!   kept. If there is none, one is written for the other modules, as most of a system still starts with it.
//!   `--keep-going` is kmod's way: replace the set, exit status 0.
//! * Loops of symbolic links end.
//! * Only the entries that an index cannot hold are left out of it.

use super::emit::emit;
use super::options::Options;
use super::replace::replace;
use crate::host::codec;
use crate::host::error::{Error, Result, chain};
use crate::host::input;
use crate::host::modules::cache;
use crate::host::modules::depmod_d;
use crate::host::modules::depmod_d::DepmodConfig;
use crate::host::modules::graph::Graph;
use crate::host::modules::module::Module;
use crate::host::modules::symbols::{KernelSymbols, Mismatch, Owner, SymbolOwners};
use crate::host::modules::tree::Tree;
use crate::host::modules::{Progress, read_tree};
use crate::host::root::Root;
use clap::Parser;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

/// Modules of a tree from which on it is cached by default. A smaller one is read in a few milliseconds.
const CACHE_MODULES_MIN: usize = 256;

/// Runs depmod with the command line `args`, the program's name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = match Options::try_parse_from(args) {
        Ok(options) => options,
        Err(error) => {
            _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match run(&options) {
        Ok(code) => code,
        Err(Error::Cycle { cycles }) => {
            report_cycles(&cycles);
            ExitCode::FAILURE
        }
        Err(error) => {
            report("ERROR", error);
            ExitCode::FAILURE
        }
    }
}

/// Reports each cycle on a line of its own, and how many modules they have, in kmod's words.
fn report_cycles(cycles: &[Vec<String>]) {
    cycles.iter().for_each(|members| report("ERROR", format_args!("Cycle detected: {}", chain(members))));
    let members: BTreeSet<&String> = cycles.iter().flatten().collect();
    report("ERROR", format_args!("Found {} modules in dependency cycles!", members.len()));
}

fn report(level: &str, what: impl std::fmt::Display) {
    eprintln!("depmod: {level}: {what}");
}

fn run(options: &Options) -> Result<ExitCode> {
    options.unpacked_max.into_iter().for_each(codec::set_unpacked_max);
    let kver = options.kver()?;
    let files = if options.all || options.quick { &[] } else { options.files()? };
    let (root, out_root) = (root_at(options.basedir.as_deref())?, root_at(options.out_root())?);
    let below = options.below(&kver);
    let unresolved = root.join(&below);
    let dir = root.follow(&unresolved).map_err(Error::io(&unresolved))?;
    let out_dir = out_root.follow(&out_root.join(&below)).map_err(Error::io(out_root.join(&below)))?;
    // The files' paths name the tree like the options do.
    let resolved = |file: &PathBuf| file.strip_prefix(&unresolved).map_or_else(|_| file.clone(), |rest| dir.join(rest));
    let files: Vec<PathBuf> = files.iter().map(resolved).collect();
    if options.quick && options.show {
        return Ok(ExitCode::SUCCESS);
    }
    let is_whole = files.is_empty();
    if is_whole && !dir.is_dir() {
        return Err(no_tree(options, &dir));
    }
    let kernel = kernel_symbols(options)?;
    let tree = if is_whole {
        let config = read_config(options, &kver)?;
        config.warnings.iter().for_each(|warning| report("WARNING", warning));
        Tree::open_with(&root, &dir, &config)?
    } else {
        Tree::of_files(&root, &dir, &files)?
    };
    tree.warnings.iter().for_each(|warning| report("WARNING", warning));
    if options.quick && is_up_to_date(&tree, &out_dir) {
        return Ok(ExitCode::SUCCESS);
    }
    if !options.show {
        check_writable(&out_dir)?;
    }
    report_missing(options, &tree);

    let (modules, faults) = read_modules(&tree, options);
    faults.iter().for_each(|fault| report("ERROR", fault));
    let owners = SymbolOwners::with_kernel(&modules, kernel.as_ref(), options.symbol_prefix);
    if options.verbose > 0 {
        print(&needed_symbols(&tree, &modules, &owners))?;
    }
    if options.errsyms && kernel.is_some() {
        report_mismatches(&tree, &modules, &owners, options.symvers.is_some());
    }
    let graph = Graph::with(&modules, &owners)?;
    let emitted = emit(tree.builtin(), &modules, &owners, &graph)?;
    emitted.warnings.iter().for_each(|warning| report("WARNING", warning));
    if options.warn {
        tree.hidden.iter().for_each(|hidden| report("WARNING", hidden));
        emitted.duplicates.iter().for_each(|alias| report("WARNING", format_args!("duplicate module alias:\n{alias}")));
    }

    let failed = !faults.is_empty() && !options.keep_going;
    if options.show {
        let texts = emitted.files.iter().filter(|(name, _)| !name.ends_with(".bin"));
        texts.into_iter().try_for_each(|(_, text)| print(text))?;
    } else if failed && out_dir.join("modules.dep.bin").exists() {
        let what = format_args!("the indexes in {} are unchanged; --keep-going replaces them", out_dir.display());
        report("ERROR", what);
    } else {
        replace(&out_root, &below, &emitted.files)?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Makes the root for `-b` or `-o`; without the option it is `/`.
fn root_at(dir: Option<&Path>) -> Result<Root> {
    let dir = dir.unwrap_or(Path::new("/"));
    Root::new(dir).map_err(Error::io(dir))
}

/// Fails where the indexes could not be written after all the work: on a read-only file system, or without the right to.
fn check_writable(dir: &Path) -> Result<()> {
    match rustix::fs::access(dir, rustix::fs::Access::WRITE_OK) {
        Err(error) if dir.exists() => Err(Error::io(dir)(error.into())),
        _ => Ok(()),
    }
}

/// Reports the files of the kernel's build that the tree lacks, like kmod: --show takes no lists of built-in modules.
fn report_missing(options: &Options, tree: &Tree) {
    for name in tree.missing.iter().filter(|name| !options.show || !name.starts_with("modules.builtin")) {
        let what = format_args!("could not open {name} at {}: No such file or directory", tree.dir.display());
        report("WARNING", what);
    }
}

/// Reports that there is no tree at `dir`, with the versions that are there.
fn no_tree(options: &Options, dir: &Path) -> Error {
    let Err(error) = std::fs::read_dir(dir) else { return Error::io(dir)(io::ErrorKind::NotADirectory.into()) };
    let parent = dir.parent().unwrap_or(Path::new("/"));
    let names = match input::names(parent) {
        Ok(names) => names.into_iter().filter(|name| parent.join(name).is_dir()),
        Err(error) => return error,
    };
    let versions: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    if error.kind() != io::ErrorKind::NotFound || versions.is_empty() {
        return Error::io(dir)(error);
    }
    let whose = if options.args.is_empty() { " for the running kernel; pass a version" } else { "" };
    Error::input(dir, format!("no such directory{whose}; {} has {}", parent.display(), versions.join(", ")))
}

fn read_config(options: &Options, kver: &str) -> Result<DepmodConfig> {
    if options.config.is_empty() {
        DepmodConfig::read(&Root::default(), &depmod_d::DIRS.map(PathBuf::from), kver)
    } else {
        DepmodConfig::read(&Root::default(), &options.config, kver)
    }
}

/// Reads Module.symvers (`-E`) or System.map (`-F`); bad lines are reported and ignored.
fn kernel_symbols(options: &Options) -> Result<Option<KernelSymbols>> {
    let read = |path: &PathBuf, parse: fn(&[u8], Option<u8>) -> KernelSymbols| {
        let symbols = parse(&input::read_named(path)?, options.symbol_prefix);
        for (line, what) in &symbols.faults {
            report("ERROR", format_args!("{}:{line}: {what}", path.display()));
        }
        Ok(symbols)
    };
    match (&options.symvers, &options.filesyms) {
        (Some(path), _) => read(path, KernelSymbols::from_symvers).map(Some),
        (None, Some(path)) => read(path, KernelSymbols::from_system_map).map(Some),
        (None, None) => {
            if options.errsyms {
                report("WARNING", "-e needs -E or -F");
            }
            Ok(None)
        }
    }
}

/// Whether modules.dep is newer than every module file.
fn is_up_to_date(tree: &Tree, out_dir: &Path) -> bool {
    let written = out_dir.join("modules.dep").metadata().and_then(|meta| meta.modified());
    let written = written.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    written.is_some_and(|written| tree.files.iter().all(|file| file.stamp.mtime_ns <= written.as_nanos() as i128))
}

/// Reads the tree's modules, from its cache if it has one. A module that cannot be read is empty, as in kmod.
fn read_modules(tree: &Tree, options: &Options) -> (Vec<Module>, Vec<Error>) {
    let by_default = tree.files.len() >= CACHE_MODULES_MIN && !options.no_cache;
    let caches = options.cache.clone().or_else(|| cache::default_dir().filter(|_| by_default));
    let scan = read_tree(tree, caches.as_deref(), &Progress::new(tree.files.len()));
    let on_request = |_: &Error| options.cache.is_some();
    for warning in scan.cache_rejected.into_iter().chain(scan.cache_unwritten.filter(on_request)) {
        report("WARNING", warning);
    }
    let mut faults = Vec::new();
    let modules = tree.files.iter().zip(scan.results).map(|(file, result)| {
        result.unwrap_or_else(|fault| {
            faults.push(fault);
            Module::hollow(file)
        })
    });
    (modules.collect(), faults)
}

/// Lists the symbol behind each dependency, like `depmod -v`.
fn needed_symbols(tree: &Tree, modules: &[Module], owners: &SymbolOwners<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    let full = |module: &Module| tree.dir.join(&module.path).display().to_string();
    for module in modules {
        let mut seen = Vec::new();
        for symbol in module.imports.iter() {
            let Some(Owner { module: Some(owner), .. }) = owners.find(symbol.name) else { continue };
            if !seen.contains(&owner) {
                seen.push(owner);
                text.extend(format!("{} needs \"", full(module)).bytes());
                text.extend(symbol.name.strip_prefix(b".").unwrap_or(symbol.name));
                text.extend(format!("\": {}\n", full(&modules[owner])).bytes());
            }
        }
    }
    text
}

/// Reports the imports that nothing exports, or with another version, like `depmod -e`.
fn report_mismatches(tree: &Tree, modules: &[Module], owners: &SymbolOwners<'_>, check_versions: bool) {
    for module in modules {
        let path = tree.dir.join(&module.path);
        for symbol in module.imports.iter() {
            let name = String::from_utf8_lossy(symbol.name);
            match owners.mismatch(symbol, check_versions) {
                None => {}
                Some(Mismatch::Unknown) => {
                    report("WARNING", format_args!("{} needs unknown symbol {name}", path.display()))
                }
                Some(Mismatch::Version) => {
                    report("WARNING", format_args!("{} disagrees about version of symbol {name}", path.display()));
                }
            }
        }
    }
}

/// Prints to stdout. A closed pipe is not a failure.
fn print(text: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("stdout")(error)),
        _ => Ok(()),
    }
}
