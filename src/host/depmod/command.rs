//! `depmod`: a tree's modules.* files, as kmod's depmod writes them, with its options and its configuration.
//!
//! Better than kmod on purpose: the set is replaced as a whole or not at all; a module that can't be read is an error
//! with file and offset and exit status 1; loops of links end; what an index can't hold is left out of it, alone.
//! Where a module can't be read and an index set is already there, it stands; where there is none, one is made of all
//! other modules, since with it most of a system still starts. `--keep-going` is kmod's way: replace, status 0.

use super::emit::{Builtin, emit};
use super::options::Options;
use super::progress;
use super::replace::replace;
use crate::host::error::{Error, Result};
use crate::host::modules::cache;
use crate::host::modules::cache::Cache;
use crate::host::modules::depmod_d;
use crate::host::modules::depmod_d::Rules;
use crate::host::modules::module::Module;
use crate::host::modules::scan;
use crate::host::modules::symbols::{KernelSymbols, Linkage, Misfit, Owner};
use crate::host::modules::tree::Tree;
use clap::Parser;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// A tree with fewer modules is read in no time: it gets a cache only on request.
const CACHE_MODULES_MIN: usize = 256;

/// Runs depmod on the command line `args`, of which the first is the program's name.
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
        Err(error) => {
            tell("ERROR", error);
            ExitCode::FAILURE
        }
    }
}

fn tell(level: &str, what: impl std::fmt::Display) {
    eprintln!("depmod: {level}: {what}");
}

fn run(options: &Options) -> Result<ExitCode> {
    if options.version {
        print(format!("initmod depmod {}\n", env!("CARGO_PKG_VERSION")).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let (kver, files) = (options.kver()?, options.files()?);
    let (dir, out_dir) = (options.tree_dir(&kver), options.out_dir(&kver));
    if options.quick && options.show {
        return Ok(ExitCode::SUCCESS);
    }
    let kernel = kernel_symbols(options)?;
    let tree = if files.is_empty() || options.all || options.quick {
        let rules = rules(options, &kver)?;
        rules.warnings.iter().for_each(|warning| tell("WARNING", warning));
        Tree::open_with(&dir, &rules)?
    } else {
        Tree::of_files(&dir, files)?
    };
    tree.warnings.iter().for_each(|warning| tell("WARNING", warning));
    if options.quick && is_up_to_date(&tree, &out_dir) {
        return Ok(ExitCode::SUCCESS);
    }

    let (modules, faults) = read(&tree, options);
    faults.iter().for_each(|fault| tell("ERROR", fault));
    let linkage = Linkage::with(&modules, kernel.as_ref(), options.symbol_prefix);
    if options.verbose > 0 {
        print(&needs(&tree, &modules, &linkage))?;
    }
    if options.errsyms && kernel.is_some() {
        report_misfits(&tree, &modules, &linkage, options.symvers.is_some());
    }
    let builtin = Builtin { list: tree.builtin.as_deref(), modinfo: tree.builtin_modinfo.as_deref() };
    let emitted = emit(builtin, &modules, &linkage)?;
    emitted.warnings.iter().for_each(|warning| tell("WARNING", warning));
    if options.warn {
        emitted.duplicates.iter().for_each(|alias| tell("WARNING", format_args!("duplicate module alias:\n{alias}")));
    }

    let failed = !faults.is_empty() && !options.keep_going;
    if options.show {
        let texts = emitted.files.iter().filter(|(name, _)| !name.ends_with(".bin"));
        texts.into_iter().try_for_each(|(_, text)| print(text))?;
    } else if failed && out_dir.join("modules.dep.bin").exists() {
        tell("ERROR", format_args!("the indexes in {} are left as they were (see --keep-going)", out_dir.display()));
    } else {
        replace(&out_dir, &emitted.files)?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn rules(options: &Options, kver: &str) -> Result<Rules> {
    if options.config.is_empty() {
        Rules::read(&depmod_d::DIRS.map(PathBuf::from), kver)
    } else {
        Rules::read(&options.config, kver)
    }
}

fn kernel_symbols(options: &Options) -> Result<Option<KernelSymbols>> {
    let read = |path: &PathBuf, parse: fn(&[u8], Option<u8>) -> KernelSymbols| {
        let symbols = parse(&std::fs::read(path).map_err(Error::io(path))?, options.symbol_prefix);
        for (line, what) in &symbols.faults {
            tell("ERROR", format_args!("{}:{line}: {what}", path.display()));
        }
        Ok(symbols)
    };
    match (&options.symvers, &options.filesyms) {
        (Some(path), _) => read(path, KernelSymbols::from_symvers).map(Some),
        (None, Some(path)) => read(path, KernelSymbols::from_system_map).map(Some),
        (None, None) => {
            if options.errsyms {
                tell("WARNING", "-e needs -E or -F");
            }
            Ok(None)
        }
    }
}

/// Says whether no module file was changed after modules.dep was written.
fn is_up_to_date(tree: &Tree, out_dir: &Path) -> bool {
    let written = out_dir.join("modules.dep").metadata().and_then(|meta| meta.modified());
    let written = written.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    written.is_some_and(|written| tree.files.iter().all(|file| file.stamp.mtime_ns <= written.as_nanos() as i128))
}

/// Reads the tree's modules, by way of the cache. A module that can't be read stands there hollow, as in kmod.
fn read(tree: &Tree, options: &Options) -> (Vec<Module>, Vec<Error>) {
    let begun = SystemTime::now();
    let pays = tree.files.len() >= CACHE_MODULES_MIN;
    let caches = options.cache.clone().or_else(|| cache::default_dir().filter(|_| pays && !options.no_cache));
    let cache_file = caches.and_then(|caches| cache::file(&caches, &tree.dir).ok());
    let cache = cache_file.as_deref().map(|file| Cache::read(file, &tree.dir)).transpose().unwrap_or_else(|error| {
        tell("WARNING", error);
        None
    });
    let cache = cache.unwrap_or_default();
    let progress = progress::Progress::new(tree.files.len());
    let results = scan::read_all(tree, &cache, &|| progress.step());
    progress.end();
    let (mut modules, mut faults) = (Vec::with_capacity(results.len()), Vec::new());
    for (file, result) in tree.files.iter().zip(results) {
        modules.push(result.unwrap_or_else(|fault| {
            faults.push(fault);
            Module::hollow(file)
        }));
    }
    if let Some(file) = cache_file
        && !cache.is_complete(tree)
        && let Err(error) = cache::write(&file, tree, &modules, begun)
        && options.cache.is_some()
    {
        tell("WARNING", error); // nobody asked for the default one
    }
    (modules, faults)
}

/// Says which symbol makes each dependency, as `depmod -v` does.
fn needs(tree: &Tree, modules: &[Module], linkage: &Linkage<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    let full = |module: &Module| tree.dir.join(&module.path).display().to_string();
    for module in modules {
        let mut seen = Vec::new();
        for symbol in module.imports.iter() {
            let Some(Owner { module: Some(owner), .. }) = linkage.find(symbol.name) else { continue };
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

fn report_misfits(tree: &Tree, modules: &[Module], linkage: &Linkage<'_>, check_versions: bool) {
    for module in modules {
        let path = tree.dir.join(&module.path);
        for symbol in module.imports.iter() {
            let name = String::from_utf8_lossy(symbol.name);
            match linkage.misfit(symbol, check_versions) {
                None => {}
                Some(Misfit::Unknown) => {
                    tell("WARNING", format_args!("{} needs unknown symbol {name}", path.display()))
                }
                Some(Misfit::Version) => {
                    tell("WARNING", format_args!("{} disagrees about version of symbol {name}", path.display()));
                }
            }
        }
    }
}

/// Prints to stdout; that nobody reads it any more is no failure.
fn print(text: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("stdout")(error)),
        _ => Ok(()),
    }
}
