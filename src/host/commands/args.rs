// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line of mkinitmod. Each field's doc comment is its text in --help.

use crate::host::board::file::{ModuleFormat, Scope};
use crate::host::image::compress::Method;
use crate::host::image::layout::LoaderAs;
use crate::host::image::signature::Signatures;
use std::ffi::OsString;
use std::path::PathBuf;

/// Selects the kernel modules that a board needs, and builds its initramfs.
#[derive(Debug, clap::Parser)]
#[command(name = "mkinitmod", version, disable_help_subcommand = true, max_term_width = 80)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// A command of mkinitmod.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Build an initramfs that loads a board's modules and starts the system on its root.
    Build(BuildArgs),
    /// List the modules that a board needs: size, reason, other users, bytes saved by leaving it out.
    Select(SelectArgs),
    /// Explain why a module is selected, or which drivers a device-tree node needs.
    Why(WhyArgs),
    /// Import modules and devices from a running board.
    Snapshot {
        /// The command to run.
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// Index a module tree, like kmod's depmod (also run by a link named depmod).
    #[command(disable_help_flag = true)]
    Depmod {
        /// Arguments of depmod: see `mkinitmod depmod --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
        args: Vec<OsString>,
    },
    /// Print the completions for a shell: bash, zsh or fish.
    Completions {
        /// The shell
        shell: Shell,
    },
    /// List the pages of the manual, or print one: build, board, boot, kernel, ...
    Help {
        /// The page [default: the list]
        #[arg(value_name = "TOPIC")]
        topic: Option<String>,
    },
}

/// A shell that completions are made for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Shell {
    /// bash(1)
    Bash,
    /// zsh(1)
    Zsh,
    /// fish(1)
    Fish,
}

/// A command of `mkinitmod snapshot`.
#[derive(Debug, clap::Subcommand)]
pub enum SnapshotCommand {
    /// Convert lsmod output, uevent files or modaliases to lines of a board file, on standard output.
    Import {
        /// The snapshot: any mixture of these
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Sources of a selection. An argument overrides its key in the board file.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SourceArgs {
    /// Board file: modules and image options. Repeat it for an image that boots several boards
    #[arg(long, value_name = "FILE")]
    pub board: Vec<PathBuf>,
    /// Module tree of the kernel to boot: ROOT/lib/modules/KVER
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    /// Device tree of the board. Repeat it for an image that boots several boards
    #[arg(long, value_name = "FILE")]
    pub dtb: Vec<PathBuf>,
    /// Overlay to apply to the first device tree. Repeat it to apply several, in this order
    #[arg(long, value_name = "FILE", requires = "dtb")]
    pub overlay: Vec<PathBuf>,
    /// Directory of device trees named without a path [default: where the kernel package installs them]
    #[arg(long, value_name = "DIR")]
    pub dtbs: Option<PathBuf>,
    /// Storage of the root: mmc, usb, nvme, sata, ufs, nfs, virtio, a /dev/ name, or a device-tree node
    #[arg(long, value_name = "TYPE|NODE")]
    pub root: Option<String>,
    /// File system of the root. Repeat it, or separate by commas, for a root that may have one of several
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub fs: Vec<String>,
    /// Part of the device tree to select drivers for [default: root if --root is given, else board]
    #[arg(long, value_name = "SCOPE")]
    pub scope: Option<Scope>,
    /// Kernel image, which lists the built-in drivers [default for select and why: vmlinuz of the module tree,
    /// or ROOT/boot/vmlinuz-KVER]
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// Kernel configuration, to check the image against [default: config of the module tree, or
    /// ROOT/boot/config-KVER, if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// modules.builtin of the kernel [default: that of the module tree]
    #[arg(long, value_name = "FILE")]
    pub builtin: Option<PathBuf>,
    /// Module.symvers of the kernel, to check modules against; also a System.map or vmlinux that has the versions
    /// [default: Module.symvers or symvers of the module tree, ROOT/boot/symvers-KVER, ..., if it exists]
    #[arg(long, value_name = "FILE")]
    pub symvers: Option<PathBuf>,
    /// depmod.d of the target, which decides between module files of one name; a directory or file [default: that of
    /// the module tree's root: ROOT/etc/depmod.d, ROOT/usr/lib/depmod.d, ...]
    #[arg(long, value_name = "DIR")]
    pub depmod_config: Vec<PathBuf>,
    /// Directory to cache module metadata in [default: initmod in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Read every module; neither use nor write the cache
    #[arg(long, conflicts_with = "cache")]
    pub no_cache: bool,
    /// Limit of what one compressed input may unpack to, MiB [default: 128 for a module, 256 for a kernel, 512 for an image]
    #[arg(long, value_name = "MIB")]
    pub unpacked_max: Option<u16>,
}

/// Arguments of `mkinitmod build`. An argument overrides its key in the board file.
#[derive(Debug, clap::Args)]
#[command(override_usage = "mkinitmod build --modules <DIR> [OPTIONS] --output <IMAGE>")]
pub struct BuildArgs {
    /// Sources of the selection.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Image to write; `-` for standard output
    #[arg(short, long, value_name = "IMAGE", required_unless_present = "tree")]
    pub output: Option<PathBuf>,
    /// Write the trimmed tree as files below a new directory: DIR/lib/modules/KVER, DIR/lib/firmware
    #[arg(long, value_name = "DIR", conflicts_with_all = ["output", "compress"])]
    pub tree: Option<PathBuf>,
    /// Write a list of the image's files as JSON: length, SHA-256, reason
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Directory with firmware files; those that the modules name are added to the image
    #[arg(long, value_name = "DIR")]
    pub firmware: Vec<PathBuf>,
    /// Loader to install as /init [default: ../lib/initmod/ARCH/initmod relative to mkinitmod's directory]
    #[arg(long, value_name = "FILE")]
    pub loader: Option<PathBuf>,
    /// Compression of the image [default: by the end of its name: .cpio, .gz, .xz, .zst or .lz4; else zst]
    #[arg(long, value_name = "FORMAT")]
    pub compress: Option<Method>,
    /// Compression of the modules in the image [default: keep]
    #[arg(long, value_name = "FORMAT")]
    pub module_format: Option<ModuleFormat>,
    /// Keep or remove the modules' signatures [default: keep]
    #[arg(long, value_name = "ACTION")]
    pub signatures: Option<Signatures>,
    /// Remove debug sections and BTF from unsigned modules
    #[arg(long)]
    pub strip: bool,
    /// Add microcode (amd-ucode, intel-ucode: files or directories), ACPI tables, or a cpio archive of these. The kernel
    /// reads them before it unpacks the image
    #[arg(long, value_name = "FILE", conflicts_with = "tree")]
    pub early: Vec<PathBuf>,
    /// Append to a copy of this initramfs: the modules that it lacks, indexes of all, and the loader as
    /// /usr/bin/initmod. Its /init stays
    #[arg(long, value_name = "IMAGE", conflicts_with = "tree")]
    pub append: Option<PathBuf>,
    /// With --append: commands of the image that the loader replaces [default: modprobe]
    #[arg(long, value_name = "COMMAND")]
    pub loader_as: Option<LoaderAs>,
    /// Do not print the report
    #[arg(short, long)]
    pub quiet: bool,
}

/// Arguments of `mkinitmod select`.
#[derive(Debug, clap::Args)]
pub struct SelectArgs {
    /// Sources of the selection.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Select for each --dtb on its own (a directory: every .dtb in it), and print a line for each
    #[arg(long, requires = "dtb", conflicts_with_all = ["json", "overlay"])]
    pub each: bool,
}

/// Arguments of `mkinitmod why`.
#[derive(Debug, clap::Args)]
pub struct WhyArgs {
    /// A module's name, or a device-tree node: path, alias, label, or name
    #[arg(value_name = "MODULE|NODE")]
    pub what: String,
    /// Sources of the selection.
    #[command(flatten)]
    pub source: SourceArgs,
}
