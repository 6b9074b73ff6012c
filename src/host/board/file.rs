// SPDX-License-Identifier: MIT OR Apache-2.0
//! The board file, config/boards/NAME.toml: the content of one board's image. Paths are relative to the file.
//!
//! The structs below are the format. An unknown key is an error, with the most similar known key. The modules of the
//! device tree and those of `[modules]` are joined:
//!
//! ```toml
//! name = "Beagle"                    # for titles
//! arch = "armv7"                     # x86_64, aarch64, armv7
//! root = "mmc"                       # mmc, usb, nvme, sata, ufs, nfs, virtio, /dev/…, or a node: /soc/mmc@1, mmc0
//! fs = "ext4"
//! [dt]
//! blob = "am335x-boneblack.dtb"      # beside this file, or among the kernel's device trees
//! overlays = ["cape.dtbo"]           # applied in this order
//! also = ["am335x-bonegreen.dtb"]    # other boards that the same image boots
//! scope = "board"                    # the whole board, or only the way to the `root` (the default with a root)
//! [modules]
//! names = ["smsc"]                   # and load, globs, dirs, aliases, exclude: see `Modules`
//! [modules.why]
//! smsc = "the PHY's driver: its id is read from the chip"     # for the report
//! [image]
//! compress = "xz"                    # and modules, signatures, strip, files, early, append, loader-as: see `ImageKeys`
//! [modules.optional]                 # missing ones are reported
//! [modules.expected-missing]         # missing ones are ignored
//! ```

use crate::host::arch::Arch;
use crate::host::codec::Format;
use crate::host::error::{COMMAND_LINE, Error, Result};
use crate::host::image::compress::Method;
use crate::host::image::layout::LoaderAs;
use crate::host::image::signature::Signatures;
use crate::host::input;
use crate::host::spelling;
use crate::modules::config::{Config, join_lines};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The content of a board file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// The file's path.
    #[serde(skip)]
    pub path: PathBuf,
    /// Name for titles.
    pub name: Option<String>,
    /// Architecture: selects the loader.
    pub arch: Arch,
    /// Location of the root, as [`Root`](crate::host::dt::root::Root) parses it: the way to it is loaded first.
    pub root: Option<String>,
    /// The root's file systems: one, or several that it may have.
    #[serde(default, deserialize_with = "one_or_several")]
    pub fs: Vec<String>,
    /// The board's device tree.
    #[serde(default)]
    pub dt: DtKeys,
    /// Module tree and kernel.
    #[serde(default)]
    pub tree: TreeKeys,
    /// Modules beyond those of the device tree.
    #[serde(default)]
    pub modules: Modules,
    /// Format and extra content of the image.
    #[serde(default)]
    pub image: ImageKeys,
    /// Firmware that the modules request.
    #[serde(default)]
    pub firmware: FirmwareKeys,
    /// modprobe.d configuration.
    #[serde(default)]
    pub modprobe: ModprobeKeys,
}

/// `[dt]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table: [dt]")]
pub struct DtKeys {
    /// The device tree blob: a path, or a name among the kernel's device trees.
    pub blob: Option<PathBuf>,
    /// Overlays to apply to it, in this order.
    pub overlays: Vec<PathBuf>,
    /// Device trees of other boards that the image also supports.
    pub also: Vec<PathBuf>,
    /// The part of the device tree to select; by default the way to the root, or without `root` all.
    pub scope: Option<Scope>,
}

/// The part of a device tree to select modules for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The way to the root: its devices and all their suppliers.
    Root,
    /// The whole board.
    Board,
}

/// `[tree]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: [tree]")]
pub struct TreeKeys {
    /// …/lib/modules/KVER of the kernel to boot.
    pub modules: Option<PathBuf>,
    /// A modules.builtin file in place of the tree's.
    pub builtin: Option<PathBuf>,
    /// Module.symvers of the kernel: the versions of its symbols.
    pub symvers: Option<PathBuf>,
    /// The kernel's configuration: names built-in options, and explains missing modules.
    pub config: Option<PathBuf>,
}

/// `[modules]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table: [modules]")]
pub struct Modules {
    /// Modules or aliases to load first, in this order.
    pub load: Vec<String>,
    /// Modules by their modnames.
    pub names: Vec<String>,
    /// Shell patterns of modnames.
    pub globs: Vec<String>,
    /// Directories of the tree.
    pub dirs: Vec<String>,
    /// Modaliases, or other names that match an alias of a module.
    pub aliases: Vec<String>,
    /// Modnames to exclude, and names of softdeps and weakdeps not to follow.
    pub exclude: Vec<String>,
    /// Notes on entries of any list, for the report.
    pub why: BTreeMap<String, String>,
    /// Modules to include if the tree has them; missing ones are reported.
    pub optional: Lists,
    /// Modules to include if the tree has them; missing ones are ignored.
    #[serde(rename = "expected-missing")]
    pub expected_missing: Lists,
}

/// Lists of modules: `[modules.optional]` and `[modules.expected-missing]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table: [modules.optional]")]
pub struct Lists {
    /// Modules by their modnames.
    pub names: Vec<String>,
    /// Patterns of modnames.
    pub globs: Vec<String>,
    /// Directories of the tree.
    pub dirs: Vec<String>,
    /// Modaliases.
    pub aliases: Vec<String>,
}

/// `[image]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table: [image]")]
pub struct ImageKeys {
    /// Compression of the image; zst by default.
    pub compress: Option<Method>,
    /// Compression of the modules in the image; by default as in the tree.
    pub modules: Option<ModuleFormat>,
    /// Handling of module signatures; kept by default.
    pub signatures: Option<Signatures>,
    /// Removes debug sections and BTF from unsigned modules.
    pub strip: Option<bool>,
    /// Files to add.
    pub files: Vec<ExtraFile>,
    /// Microcode and ACPI tables, or archives of them, for the uncompressed archive in front of the image.
    pub early: Vec<PathBuf>,
    /// An existing image to append to.
    pub append: Option<PathBuf>,
    /// Role of the loader in that image; modprobe by default.
    #[serde(rename = "loader-as")]
    pub loader_as: Option<LoaderAs>,
}

/// `[firmware]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table: [firmware]")]
pub struct FirmwareKeys {
    /// Firmware directories; without any, the image has no firmware.
    pub dirs: Vec<PathBuf>,
    /// More names or patterns, relative to these directories.
    pub files: Vec<String>,
    /// Adds the firmware of built-in drivers that these directories have.
    pub builtin: bool,
}

/// A file to add to the image.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table { from = \"FILE\", to = \"/PATH\" }")]
pub struct ExtraFile {
    /// The file on the host.
    pub from: PathBuf,
    /// Path in the image.
    pub to: String,
    /// Permissions.
    #[serde(default = "ExtraFile::mode")]
    pub mode: u32,
}

/// `[modprobe]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table: [modprobe]")]
pub struct ModprobeKeys {
    /// Lines of modprobe.d(5).
    pub conf: Vec<String>,
}

/// Compression of the modules in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ModuleFormat {
    /// Keep the tree's compression.
    Keep,
    /// Decompress.
    None,
    /// Recompress with gzip.
    Gz,
    /// Recompress with xz.
    Xz,
    /// Recompress with zstd.
    Zst,
}

impl Board {
    /// Returns the board of a command line without board file.
    pub fn of_command_line(arch: Arch) -> Board {
        Board {
            path: COMMAND_LINE.into(),
            name: None,
            arch,
            root: None,
            fs: Vec::new(),
            dt: DtKeys::default(),
            tree: TreeKeys::default(),
            modules: Modules::default(),
            image: ImageKeys::default(),
            firmware: FirmwareKeys::default(),
            modprobe: ModprobeKeys::default(),
        }
    }

    /// Reads and checks a board file, and resolves its paths against its directory.
    ///
    /// # Errors
    /// The file cannot be read, has an unknown key or an invalid value: with the line or key.
    pub fn read(path: &Path) -> Result<Board> {
        let text = input::read_named_text(path)?;
        let mut board: Board = toml::from_str(&text).map_err(|error| {
            let before = text.bytes().take(error.span().map_or(0, |span| span.start));
            let line = 1 + before.filter(|&byte| byte == b'\n').count();
            Error::Line { path: path.into(), line, what: with_suggestion(error.message()) }
        })?;
        board.path = path.into();
        board.check()?;
        let dir = path.parent().unwrap_or(Path::new(""));
        let tree = &mut board.tree;
        let paths = [&mut tree.modules, &mut tree.builtin, &mut tree.symvers, &mut tree.config];
        for path in paths.into_iter().flatten() {
            *path = dir.join(&*path);
        }
        for firmware in &mut board.firmware.dirs {
            *firmware = dir.join(&*firmware);
        }
        for file in &mut board.image.files {
            file.from = dir.join(&file.from);
        }
        for path in board.image.early.iter_mut().chain(&mut board.image.append) {
            *path = dir.join(&*path);
        }
        Ok(board)
    }

    /// Returns the part of the device tree to select: by default the way to the root if there is one.
    pub fn scope(&self, has_root: bool) -> Scope {
        self.dt.scope.unwrap_or(if has_root { Scope::Root } else { Scope::Board })
    }

    /// Returns an error about the value of a key.
    pub fn fault(&self, key: &str, what: String) -> Error {
        Error::Key { path: self.path.clone(), key: key.into(), what }
    }

    /// Refuses invalid values.
    fn check(&self) -> Result<()> {
        let odd =
            |name: &&String| name.is_empty() || name.contains(char::is_whitespace) || name.starts_with(['#', ';']);
        if let Some(name) = self.modules.load.iter().find(odd) {
            return Err(self.fault("modules.load", format!("`{name}` is not a modname")));
        }
        let entries = self.modules.entries();
        if let Some(entry) = self.modules.why.keys().find(|entry| !entries.contains(entry)) {
            let near = spelling::closest(entry, entries.iter().map(|entry| entry.as_str()));
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(self.fault("modules.why", format!("no list of modules has `{entry}`{hint}")));
        }
        if let Some(file) = self.image.files.iter().find(|file| file.mode > 0o7777) {
            return Err(self.fault("image.files", format!("{}: {:#o} is not a file mode", file.to, file.mode)));
        }
        let conf = self.modprobe.config_text();
        match (Config::new(&conf, &[])).bad_lines().next() {
            Some(line) => {
                Err(self.fault("modprobe.conf", format!("`{}` is not a line of modprobe.d", line.text.escape_ascii())))
            }
            None => Ok(()),
        }
    }
}

impl Modules {
    /// Returns all entries of all lists.
    pub fn entries(&self) -> Vec<&String> {
        let mut entries: Vec<&String> =
            [&self.load, &self.names, &self.globs, &self.dirs, &self.aliases].into_iter().flatten().collect();
        for list in [&self.optional, &self.expected_missing] {
            entries.extend([&list.names, &list.globs, &list.dirs, &list.aliases].into_iter().flatten());
        }
        entries
    }

    /// Returns the lists whose entries must exist.
    pub fn required(&self) -> Lists {
        let Modules { names, globs, dirs, aliases, .. } = self;
        Lists { names: names.clone(), globs: globs.clone(), dirs: dirs.clone(), aliases: aliases.clone() }
    }
}

impl ModprobeKeys {
    /// Returns the text of /etc/modprobe.d/initmod.conf; empty without lines.
    pub fn file_text(&self) -> String {
        self.conf.iter().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    /// Returns the lines in the form that [`Config`] reads.
    pub fn config_text(&self) -> Vec<u8> {
        let mut text = self.file_text().into_bytes();
        let len = join_lines(&mut text);
        text.truncate(len);
        text
    }
}

impl ExtraFile {
    fn mode() -> u32 {
        0o644
    }
}

impl ModuleFormat {
    /// Returns the format to compress to; `None` to keep the file as it is.
    pub fn format(self) -> Option<Format> {
        match self {
            ModuleFormat::Keep => None,
            ModuleFormat::None => Some(Format::None),
            ModuleFormat::Gz => Some(Format::Gz),
            ModuleFormat::Xz => Some(Format::Xz),
            ModuleFormat::Zst => Some(Format::Zst),
        }
    }
}

/// Reads a string, or a list of strings.
fn one_or_several<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Names;
    impl<'de> serde::de::Visitor<'de> for Names {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string, or a list of strings")
        }

        fn visit_str<E>(self, name: &str) -> Result<Vec<String>, E> {
            Ok(vec![name.to_owned()])
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut names: A) -> Result<Vec<String>, A::Error> {
            std::iter::from_fn(|| names.next_element().transpose()).collect()
        }
    }
    deserializer.deserialize_any(Names)
}

/// Shortens serde's message about an unknown key or value to the most similar known one.
fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    match quoted.next() {
        Some(unknown) if message.starts_with("unknown ") => {
            let right: Vec<&str> = quoted.collect();
            let what = if message.starts_with("unknown variant") { "value" } else { "key" };
            let hint = match arch_of(unknown)
                .filter(|arch| right.contains(arch))
                .or_else(|| spelling::closest(unknown, right.iter().copied()))
            {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", right.join(", ")),
            };
            format!("unknown {what} `{unknown}`; {hint}")
        }
        _ if message == "missing field `arch`" => "missing key `arch`: x86_64, aarch64 or armv7".into(),
        _ => message.trim_end().replace("missing field", "missing key").replace('\n', "; "),
    }
}

/// Returns the architecture that has other names elsewhere.
fn arch_of(name: &str) -> Option<&'static str> {
    match name {
        "arm" | "armhf" | "armv7l" | "armv7a" | "arm32" => Some("armv7"),
        "arm64" | "armv8" => Some("aarch64"),
        "amd64" | "x86-64" | "x64" | "x86" => Some("x86_64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Board, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.toml");
        std::fs::write(&path, text).unwrap();
        let shown = format!("{}/", dir.path().display());
        Board::read(&path).map_err(|error| error.to_string().replace(&shown, ""))
    }

    #[test]
    fn an_unknown_key_gets_its_line_and_the_right_spelling() {
        let error = |text| read(text).unwrap_err();
        assert_eq!(
            error("arch = \"armv7\"\n[modules]\nlaod = []\n"),
            "b.toml:3: unknown key `laod`; did you mean `load`?"
        );
        assert_eq!(error("arch = \"armv8\"\n"), "b.toml:1: unknown value `armv8`; did you mean `aarch64`?");
        assert_eq!(
            error("arch = \"armv7\"\n[modules.optional]\nexclude = []\n"),
            "b.toml:3: unknown key `exclude`; known: names, globs, dirs, aliases"
        );
        assert_eq!(error("arch = \"armhf\"\n"), "b.toml:1: unknown value `armhf`; did you mean `armv7`?");
        assert_eq!(
            error("arch = \"armv7\"\n[image]\nfiles = [\"bin/busybox\"]\n"),
            "b.toml:3: invalid type: string \"bin/busybox\", expected a table { from = \"FILE\", to = \"/PATH\" }"
        );
        assert_eq!(error("arch = \"armv7\"\nfs = [1]\n"), "b.toml:2: invalid type: integer `1`, expected a string");
        assert_eq!(error("name = \"x\"\n"), "b.toml:1: missing key `arch`: x86_64, aarch64 or armv7");
    }

    #[test]
    fn invalid_values_are_refused() {
        let board = |lines: &str| read(&format!("arch = \"armv7\"\n{lines}\n")).unwrap_err();
        assert_eq!(board("[modules]\nload = ['a b']"), "b.toml: modules.load: `a b` is not a modname");
        assert_eq!(
            board("[modprobe]\nconf = ['option x y=1']"),
            "b.toml: modprobe.conf: `option x y=1` is not a line of modprobe.d"
        );
    }

    #[test]
    fn paths_are_relative_to_the_board_file() {
        let board = read(
            "arch = \"x86_64\"\ntree.modules = \"t\"\n[image]\ncompress = \"xz\"\nmodules = \"none\"\n\
            files = [{ from = \"/abs\", to = \"/etc/x\" }]\n[modprobe]\nconf = [\"options a b=1\"]\n",
        );
        let board = board.unwrap();
        assert!(board.tree.modules.unwrap().ends_with("t") && board.image.files[0].from == Path::new("/abs"));
        assert_eq!((board.image.files[0].mode, board.image.compress), (0o644, Some(Method::Xz)));
        assert_eq!(board.modprobe.file_text(), "options a b=1\n");
    }
}
