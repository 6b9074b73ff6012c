//! The board file: what goes into the image of one board, config/boards/NAME.toml. Paths in it are relative to it.
//!
//! The format is that of the structs below. An unknown key is an error, with the nearest right one. What the device
//! tree leads to and what `[modules]` lists add up:
//!
//! ```toml
//! name = "Beagle"                    # what people call it
//! arch = "armv7"                     # x86_64, aarch64, armv7
//! root = "mmc"                       # mmc, usb, nvme, sata, ufs, nfs, virtio, /dev/…, or a node: /soc/mmc@1, mmc0
//! fs = "ext4"
//! [dt]
//! blob = "am335x-boneblack.dtb"      # beside this file, or among the kernel's device trees
//! overlays = ["cape.dtbo"]           # applied in this order
//! also = ["am335x-bonegreen.dtb"]    # other boards that the same image boots
//! scope = "board"                    # all of the board, or only the way to the `root` (the default where there is one)
//! [modules]
//! names = ["smsc"]                   # and load, globs, dirs, aliases, exclude: see `Modules`
//! [modules.why]
//! smsc = "the PHY's driver: its id is read from the chip"     # told in the report
//! [image]
//! compress = "xz"                    # and modules, signatures, strip, files, early, append, loader-as: see `ImageKeys`
//! [modules.optional]                 # what is not there is told
//! [modules.expected-missing]         # and here it is not even that
//! ```

use crate::host::arch::Arch;
use crate::host::codec::Format;
use crate::host::error::{Error, Result};
use crate::host::image::compress::Method;
use crate::host::image::layout::LoaderAs;
use crate::host::image::signature::Signatures;
use crate::host::spelling;
use crate::modules::config::{Config, join_lines};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a board file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Where it was read from.
    #[serde(skip)]
    pub path: PathBuf,
    /// What people call it.
    pub name: Option<String>,
    /// What its CPU runs: picks the loader.
    pub arch: Arch,
    /// What the root is on, as [`Root`](crate::host::dt::root::Root) reads it: the way to it is loaded first.
    pub root: Option<String>,
    /// The root's file system.
    pub fs: Option<String>,
    /// The board's device tree.
    #[serde(default)]
    pub dt: DtKeys,
    /// Where the modules come from.
    #[serde(default)]
    pub tree: TreeKeys,
    /// Which modules go in.
    #[serde(default)]
    pub modules: Modules,
    /// What the image looks like.
    #[serde(default)]
    pub image: ImageKeys,
    /// Firmware that the modules ask for.
    #[serde(default)]
    pub firmware: FirmwareKeys,
    /// Configuration of modules.
    #[serde(default)]
    pub modprobe: ModprobeKeys,
}

/// `[dt]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DtKeys {
    /// The device tree: a path, or a name among the device trees of the kernel.
    pub blob: Option<PathBuf>,
    /// Overlays to apply to it, in this order.
    pub overlays: Vec<PathBuf>,
    /// Device trees of other boards that the image is for too.
    pub also: Vec<PathBuf>,
    /// Which part of it counts; by default the way to the root, or without `root` all.
    pub scope: Option<Scope>,
}

/// Which part of a device tree counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The way to the root: what it is on, and all that this hangs on.
    Root,
    /// The whole board.
    Board,
}

/// `[tree]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeKeys {
    /// …/lib/modules/KVER of the kernel to boot.
    pub modules: Option<PathBuf>,
    /// What the kernel has built in, where the tree has no modules.builtin, or another.
    pub builtin: Option<PathBuf>,
    /// The kernel's configuration: what is built in by it, and why something is not there.
    pub config: Option<PathBuf>,
}

/// `[modules]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Modules {
    /// Modules or aliases on the way to the root, loaded in this order before anything else.
    pub load: Vec<String>,
    /// Modnames.
    pub names: Vec<String>,
    /// Patterns of modnames, as in the shell.
    pub globs: Vec<String>,
    /// Directories of the tree.
    pub dirs: Vec<String>,
    /// Modaliases, or other names that an alias of a module matches.
    pub aliases: Vec<String>,
    /// Modnames that must stay out, and names of softdeps and weakdeps that are not followed.
    pub exclude: Vec<String>,
    /// For entries of any list below or above why they are there, for the report.
    pub why: BTreeMap<String, String>,
    /// What goes in where the tree has it; where not, the report says so.
    pub optional: Optional,
    /// What goes in where the tree has it, and is known to be missing from some: nothing is said.
    #[serde(rename = "expected-missing")]
    pub expected_missing: Optional,
}

/// `[modules.optional]` and `[modules.expected-missing]`: as in `[modules]`, but nothing found is no error.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Optional {
    /// Modnames.
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
#[serde(deny_unknown_fields, default)]
pub struct ImageKeys {
    /// How the image is compressed; zst by default.
    pub compress: Option<Method>,
    /// How the modules in it are; by default as the tree has them.
    pub modules: Option<ModuleFormat>,
    /// What becomes of the modules' signatures; they are kept by default.
    pub signatures: Option<Signatures>,
    /// Modules without signature lose debug sections and BTF.
    pub strip: Option<bool>,
    /// Files to add.
    pub files: Vec<ExtraFile>,
    /// Microcode and ACPI tables, or archives of them, for the kernel to find before it unpacks the image.
    pub early: Vec<PathBuf>,
    /// The image that all is appended to.
    pub append: Option<PathBuf>,
    /// What the loader is in that image; modprobe by default.
    #[serde(rename = "loader-as")]
    pub loader_as: Option<LoaderAs>,
}

/// `[firmware]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FirmwareKeys {
    /// Where firmware lies; without any, none goes in.
    pub dirs: Vec<PathBuf>,
    /// More names, or patterns of names, relative to these.
    pub files: Vec<String>,
    /// What the drivers that are built into the kernel may ask for goes in too, where it is there.
    pub builtin: bool,
}

/// A file that is added to the image.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraFile {
    /// The file on the host.
    pub from: PathBuf,
    /// Its place in the image.
    pub to: String,
    /// Its permissions.
    #[serde(default = "ExtraFile::mode")]
    pub mode: u32,
}

/// `[modprobe]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModprobeKeys {
    /// Lines of modprobe.d(5).
    pub conf: Vec<String>,
}

/// What becomes of a module file on its way into the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ModuleFormat {
    /// As the tree has it.
    Keep,
    /// Unpacked.
    None,
    /// Packed anew by gzip.
    Gz,
    /// By xz.
    Xz,
    /// By zstd.
    Zst,
}

impl Board {
    /// Makes one that a file does not describe, but the command line.
    pub fn of_command_line(arch: Arch) -> Board {
        Board {
            path: "command line".into(),
            name: None,
            arch,
            root: None,
            fs: None,
            dt: DtKeys::default(),
            tree: TreeKeys::default(),
            modules: Modules::default(),
            image: ImageKeys::default(),
            firmware: FirmwareKeys::default(),
            modprobe: ModprobeKeys::default(),
        }
    }

    /// Reads and checks a board file, and turns its paths into ones that the caller can open.
    ///
    /// # Errors
    /// Where it can't be read, has an unknown key, or says what can't be: with file and line or key.
    pub fn read(path: &Path) -> Result<Board> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let mut board: Board = toml::from_str(&text).map_err(|error| {
            let before = text.bytes().take(error.span().map_or(0, |span| span.start));
            let line = 1 + before.filter(|&byte| byte == b'\n').count();
            Error::Line { path: path.into(), line, what: with_suggestion(error.message()) }
        })?;
        board.path = path.into();
        board.check()?;
        let dir = path.parent().unwrap_or(Path::new(""));
        for path in [&mut board.tree.modules, &mut board.tree.builtin, &mut board.tree.config].into_iter().flatten() {
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

    /// Makes an error of what is wrong with the value of a key.
    pub fn fault(&self, key: &str, what: String) -> Error {
        Error::Key { path: self.path.clone(), key: key.into(), what }
    }

    /// Refuses values that can't be.
    fn check(&self) -> Result<()> {
        let odd =
            |name: &&String| name.is_empty() || name.contains(char::is_whitespace) || name.starts_with(['#', ';']);
        if let Some(name) = self.modules.load.iter().find(odd) {
            return Err(self.fault("modules.load", format!("`{name}` is no name of a module")));
        }
        let entries = self.modules.entries();
        if let Some(entry) = self.modules.why.keys().find(|entry| !entries.contains(entry)) {
            let near = spelling::closest(entry, entries.iter().map(|entry| entry.as_str()));
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(self.fault("modules.why", format!("no list has `{entry}`{hint}")));
        }
        if let Some(file) = self.image.files.iter().find(|file| file.mode > 0o7777) {
            return Err(self.fault("image.files", format!("{:#o} is no mode, of {}", file.mode, file.to)));
        }
        let conf = self.modprobe.config_text();
        match (Config::new(&conf, &[])).bad_lines().next() {
            Some(line) => {
                Err(self.fault("modprobe.conf", format!("`{}` is no line of modprobe.d", line.text.escape_ascii())))
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

    /// Returns the lists whose entries have to be there, in the shape of the others.
    pub fn required(&self) -> Optional {
        let Modules { names, globs, dirs, aliases, .. } = self;
        Optional { names: names.clone(), globs: globs.clone(), dirs: dirs.clone(), aliases: aliases.clone() }
    }
}

impl ModprobeKeys {
    /// Returns what /etc/modprobe.d/initmod.conf holds; nothing without lines.
    pub fn file_text(&self) -> String {
        self.conf.iter().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    /// Returns the lines as [`Config`] reads them.
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
    /// Returns the format to pack in; `None` to leave the file alone.
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

/// Shortens serde's message on an unknown key or value to the nearest right spelling.
fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    match quoted.next() {
        Some(unknown) if message.starts_with("unknown ") => {
            let right: Vec<&str> = quoted.collect();
            let what = if message.starts_with("unknown variant") { "value" } else { "key" };
            let hint = match spelling::closest(unknown, right.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there is {}", right.join(", ")),
            };
            format!("unknown {what} `{unknown}`; {hint}")
        }
        _ => message.trim_end().replace('\n', "; "),
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
        assert_eq!(error("arch = \"armv8\"\n"), "b.toml:1: unknown value `armv8`; did you mean `armv7`?");
        assert_eq!(
            error("arch = \"armv7\"\n[modules.optional]\nexclude = []\n"),
            "b.toml:3: unknown key `exclude`; there is names, globs, dirs, aliases"
        );
        assert_eq!(error("name = \"x\"\n"), "b.toml:1: missing field `arch`");
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        let board = |lines: &str| read(&format!("arch = \"armv7\"\n{lines}\n")).unwrap_err();
        assert_eq!(board("[modules]\nload = ['a b']"), "b.toml: modules.load: `a b` is no name of a module");
        assert_eq!(
            board("[modprobe]\nconf = ['option x y=1']"),
            "b.toml: modprobe.conf: `option x y=1` is no line of modprobe.d"
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
