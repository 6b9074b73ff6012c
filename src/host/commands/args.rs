//! The command line of mkinitmod.

use crate::host::board::file::{ModuleFormat, Scope};
use crate::host::image::compress::Method;
use crate::host::image::layout::LoaderAs;
use crate::host::image::signature::Signatures;
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
    /// Show the modules that a board needs: size, reason, who else needs them, what leaving one out would save.
    Select(SelectArgs),
    /// Tell why a module is in, or what a node of the device tree leads to.
    Why(WhyArgs),
    /// Make use of what a running board tells.
    Snapshot {
        /// What to do.
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// Index a module tree; mkinitmod called by the name of depmod does the same.
    #[command(disable_help_flag = true)]
    Depmod {
        /// What depmod takes: see `mkinitmod depmod --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        args: Vec<OsString>,
    },
}

/// What to do with a snapshot.
#[derive(Debug, clap::Subcommand)]
pub enum SnapshotCommand {
    /// Print lines of a board file from lsmod's output, uevent files or modaliases.
    Import {
        /// The snapshot
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// What modules are selected for, and from. What is given here counts instead of what the board file says.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SourceArgs {
    /// The board file: which modules go in, and what the image looks like; given again, those of other boards that the
    /// same image boots
    #[arg(long, value_name = "FILE")]
    pub board: Vec<PathBuf>,
    /// The module tree of the kernel to boot: ROOT/lib/modules/KVER
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    /// The board's device tree; given again, those of other boards that the same image boots
    #[arg(long, value_name = "FILE")]
    pub dtb: Vec<PathBuf>,
    /// An overlay to apply to the first device tree; several are applied in order
    #[arg(long, value_name = "FILE", requires = "dtb")]
    pub overlay: Vec<PathBuf>,
    /// Where device trees lie that are named without directory [default: where the kernel's package puts them]
    #[arg(long, value_name = "DIR")]
    pub dtbs: Option<PathBuf>,
    /// What the root is on: mmc, usb, nvme, sata, ufs, nfs, virtio, a /dev/ name, or a node of the device tree
    #[arg(long, value_name = "WHAT")]
    pub root: Option<String>,
    /// The root's file system
    #[arg(long, value_name = "NAME")]
    pub fs: Option<String>,
    /// How much of the device tree counts [default: with a root the way to it, else the whole board]
    #[arg(long, value_name = "SCOPE")]
    pub scope: Option<Scope>,
    /// The kernel's image, which tells what is built in [default for select and why: ROOT/boot/vmlinuz-KVER]
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// The kernel's configuration: what is built in, and what the image may be [default: ROOT/boot/config-KVER, where it is]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The kernel's modules.builtin [default: that of the module tree]
    #[arg(long, value_name = "FILE")]
    pub builtin: Option<PathBuf>,
    /// Keep what was read from modules in DIR for the next run [default: initmod in the user's caches]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Read every module, and keep nothing
    #[arg(long, conflicts_with = "cache")]
    pub no_cache: bool,
}

/// Arguments of `mkinitmod build`. What is given here counts instead of what the board file says.
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// What goes in.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The image to write
    #[arg(short, long, value_name = "IMAGE", required_unless_present = "tree")]
    pub output: Option<PathBuf>,
    /// Write the trimmed tree as files below DIR, which must not be there: DIR/lib/modules/KVER, DIR/lib/firmware
    #[arg(long, value_name = "DIR", conflicts_with_all = ["output", "compress"])]
    pub tree: Option<PathBuf>,
    /// Write a list of the files in it, as JSON: length, SHA-256 and the reason it is in
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Where firmware lies that the modules ask for; what is there goes in
    #[arg(long, value_name = "DIR")]
    pub firmware: Vec<PathBuf>,
    /// The loader to take as /init [default: ../lib/initmod/ARCH/initmod from where mkinitmod is]
    #[arg(long, value_name = "FILE")]
    pub loader: Option<PathBuf>,
    /// How the image is compressed [default: zst]
    #[arg(long, value_name = "FORMAT")]
    pub compress: Option<Method>,
    /// How the modules in it are [default: keep]
    #[arg(long, value_name = "FORMAT")]
    pub module_format: Option<ModuleFormat>,
    /// What becomes of the modules' signatures [default: keep]
    #[arg(long, value_name = "WHAT")]
    pub signatures: Option<Signatures>,
    /// Take debug sections and BTF out of modules without signature
    #[arg(long)]
    pub strip: bool,
    /// Put microcode (amd-ucode, intel-ucode: files or directories), ACPI tables or an archive of these in front, where
    /// the kernel finds it before it unpacks the image
    #[arg(long, value_name = "FILE", conflicts_with = "tree")]
    pub early: Vec<PathBuf>,
    /// Append what is built to a copy of this initramfs: modules that it lacks, indexes of all, and the loader as
    /// /usr/bin/initmod; its own /init stays
    #[arg(long, value_name = "IMAGE", conflicts_with = "tree")]
    pub append: Option<PathBuf>,
    /// What else the loader is in an image that is appended to [default: modprobe]
    #[arg(long, value_name = "WHAT")]
    pub loader_as: Option<LoaderAs>,
    /// Leave the table of modules out
    #[arg(short, long)]
    pub quiet: bool,
}

/// Arguments of `mkinitmod select`.
#[derive(Debug, clap::Args)]
pub struct SelectArgs {
    /// What is selected for.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Take each --dtb for itself, a directory for all device trees in it, and print a line for each
    #[arg(long, requires = "dtb", conflicts_with_all = ["json", "overlay"])]
    pub each: bool,
}

/// Arguments of `mkinitmod why`.
#[derive(Debug, clap::Args)]
pub struct WhyArgs {
    /// A module's name, or a node of the device tree: path, alias, label, or name
    #[arg(value_name = "MODULE|NODE")]
    pub what: String,
    /// What is selected for.
    #[command(flatten)]
    pub source: SourceArgs,
}
