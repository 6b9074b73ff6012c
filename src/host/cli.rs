//! The command line of mkinitmod.

use super::board::ModuleFormat;
use super::codec::Format;
use std::ffi::OsString;
use std::path::PathBuf;

/// Decides which kernel modules a board needs, and builds its initramfs.
#[derive(Debug, clap::Parser)]
#[command(name = "mkinitmod", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Build an initramfs that loads a board's modules and goes on to its root.
    Build(BuildArgs),
    /// Index a module tree; mkinitmod called by the name of depmod does the same.
    #[command(disable_help_flag = true)]
    Depmod {
        /// What depmod takes: see `mkinitmod depmod --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        args: Vec<OsString>,
    },
}

/// Arguments of `mkinitmod build`. What is given here counts instead of what the board file says.
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// The board file: which modules go in, and what the image looks like
    #[arg(long, value_name = "FILE")]
    pub board: PathBuf,
    /// The image to write
    #[arg(short, long, value_name = "IMAGE")]
    pub output: PathBuf,
    /// The module tree of the kernel to boot: ROOT/lib/modules/KVER
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    /// The loader to take as /init [default: ../lib/initmod/ARCH/initmod from where mkinitmod is]
    #[arg(long, value_name = "FILE")]
    pub loader: Option<PathBuf>,
    /// How the image is compressed [default: zst]
    #[arg(long, value_name = "FORMAT")]
    pub compress: Option<Format>,
    /// How the modules in it are [default: keep]
    #[arg(long, value_name = "FORMAT")]
    pub module_format: Option<ModuleFormat>,
    /// Leave the table of modules out
    #[arg(short, long)]
    pub quiet: bool,
}
