//! tests/trees/NN-name: a root and what is run in it in `tree.toml`, and what comes of that in `expected/`.

use crate::support::fakekernel::Troubles;
use crate::support::fixture::{Fixture, KVER, compress};
use crate::support::mkko::{Ko, Versions};
use initmod::host::depmod;
use initmod::host::modules::scan::scan;
use initmod::host::modules::tree;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A case, as `tree.toml` has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    /// What is run, each in a fresh root that has been indexed; words as a shell splits them, with `'` alone for quotes.
    #[serde(default)]
    pub commands: Vec<String>,
    /// In the place of commands: what depmod is called with behind the version. The root has no indexes then.
    #[serde(default)]
    pub depmod: Option<Vec<String>>,
    #[serde(default)]
    modules: Vec<Module>,
    #[serde(default)]
    builtin: Vec<Module>,
    /// Modnames that the kernel has already.
    #[serde(default)]
    loaded: Vec<String>,
    /// Files by their path in the root; `@ROOT@` stands for the root.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// Symbolic links by their path in the root.
    #[serde(default)]
    links: BTreeMap<String, String>,
    /// What a root has otherwise.
    #[serde(default)]
    remove: Vec<String>,
    /// The kernel is older than Linux 3.8.
    #[serde(default)]
    no_finit: bool,
    /// What a loader has to be built with: `decoders`, `modinfo`.
    #[serde(default)]
    pub wants: Vec<String>,
    #[serde(skip)]
    pub dir: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Module {
    /// Relative to lib/modules/KVER, or with `/` first to the root. Its ending says how the file is compressed.
    path: String,
    /// Whether modules.order has it; it has none of those that are not in lib/modules/KVER.
    #[serde(default = "yes")]
    listed: bool,
    /// Modnames of modules whose symbols it uses.
    #[serde(default)]
    needs: Vec<String>,
    /// Symbols that it exports, instead of one that is named like it.
    #[serde(default)]
    export: Option<Vec<String>>,
    /// Symbols that it uses beside those of `needs`.
    #[serde(default)]
    import: Vec<String>,
    #[serde(default)]
    weak: Vec<String>,
    #[serde(default)]
    alias: Vec<String>,
    #[serde(default)]
    softdep: Option<String>,
    #[serde(default)]
    weakdep: Option<String>,
    #[serde(default)]
    form: Vec<Form>,
    /// The errno with which its init fails.
    #[serde(default)]
    fails: Option<i32>,
    /// How often the kernel says that it is in use, when it is to go.
    #[serde(default)]
    busy: u32,
    /// Indexed, but its file is gone.
    #[serde(default)]
    gone: bool,
    /// What its file holds in the place of the module, once indexed: a byte for each character.
    #[serde(default)]
    damaged: Option<String>,
    /// How many bytes of its file there are, or if negative, are missing, before it is indexed.
    #[serde(default)]
    cut: Option<isize>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Form {
    Elf32,
    BigEndian,
    /// __version_ext_names and __version_ext_crcs.
    ExtendedVersions,
    NoVersions,
}

fn yes() -> bool {
    true
}

impl Case {
    /// Reads the cases of commands, in order.
    pub fn all() -> Vec<Case> {
        Case::read().into_iter().filter(|case| case.depmod.is_none()).collect()
    }

    /// Reads the cases of depmod, in order.
    pub fn of_depmod() -> Vec<Case> {
        Case::read().into_iter().filter(|case| case.depmod.is_some()).collect()
    }

    fn read() -> Vec<Case> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees");
        let mut dirs: Vec<_> =
            fs::read_dir(&dir).expect("tests/trees is there").map(|entry| entry.unwrap().path()).collect();
        dirs.sort();
        let read = |dir: PathBuf| {
            let text =
                fs::read_to_string(dir.join("tree.toml")).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
            let case = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
            Case { dir, ..case }
        };
        dirs.into_iter().map(read).collect()
    }

    /// Lays the tree into a root.
    pub fn lay(&self) -> Fixture {
        let fixture = Fixture::new();
        for module in &self.modules {
            module.lay(&fixture);
        }
        for module in &self.builtin {
            let info: Vec<_> = module.alias.iter().map(|alias| ("alias", alias.as_str())).collect();
            fixture.builtin(&module.path, &info);
        }
        for modname in &self.loaded {
            fixture.put(&format!("sys/module/{modname}/initstate"), "live\n");
            fixture.put(&format!("sys/module/{modname}/refcnt"), "0\n");
            fixture.put(&format!("sys/module/{modname}/coresize"), "16384\n");
            fs::create_dir_all(fixture.root().join(format!("sys/module/{modname}/holders")))
                .expect("it can be written");
        }
        self.hold(&fixture);
        fixture.put("proc/cmdline", "quiet\n");
        for (path, text) in &self.files {
            fixture.put(path, text.replace("@ROOT@", fixture.root().to_str().expect("the root's name is text")));
        }
        for (path, target) in &self.links {
            let path = fixture.root().join(path);
            fs::create_dir_all(path.parent().expect("it is in the root")).expect("the root can be written");
            symlink(target, path).expect("the root can be written");
        }
        for path in &self.remove {
            fs::remove_file(fixture.root().join(path)).expect("it is there");
        }
        fixture
    }

    /// Lays the tree into a root and indexes it, by `depmod` or by our own.
    pub fn root(&self, depmod: Option<&Path>) -> Fixture {
        let fixture = self.lay();
        match depmod {
            Some(depmod) => run_depmod(depmod, &fixture),
            None => index(&fixture),
        }
        for module in &self.modules {
            let path = fixture.modules_dir().join(&module.path);
            if module.gone {
                fs::remove_file(&path).expect("it was put there");
            }
            if let Some(damaged) = &module.damaged {
                let bytes: Vec<_> = damaged.chars().map(|c| c as u8).collect();
                fs::write(&path, bytes).expect("it was put there");
            }
        }
        fixture
    }

    /// Has each module that is in hold those that it needs.
    fn hold(&self, fixture: &Fixture) {
        for held in &self.loaded {
            let holds = |module: &&Module| module.needs.contains(held) && self.loaded.contains(&module.name());
            let holders: Vec<_> = self.modules.iter().filter(holds).map(Module::name).collect();
            for holder in &holders {
                fixture.put(&format!("sys/module/{held}/holders/{holder}"), "");
            }
            fixture.put(&format!("sys/module/{held}/refcnt"), format!("{}\n", holders.len()));
        }
    }

    /// Returns what the kernel makes trouble with.
    pub fn troubles(&self) -> Troubles {
        let modules = self.modules.iter();
        Troubles {
            failing: modules.clone().filter_map(|module| Some((module.name(), module.fails?))).collect(),
            busy: modules.map(|module| (module.name(), module.busy)).collect(),
            no_finit: self.no_finit,
        }
    }

    /// Says whether a shell will be wanted.
    pub fn has_shell_commands(&self) -> bool {
        self.files
            .values()
            .any(|text| text.lines().any(|line| line.starts_with("install ") || line.starts_with("remove ")))
    }
}

impl Module {
    fn name(&self) -> String {
        tree::modname(&self.path)
    }

    fn lay(&self, fixture: &Fixture) {
        let at = match self.path.strip_prefix('/') {
            Some(path) => path.to_owned(),
            None => format!("lib/modules/{KVER}/{}", self.path),
        };
        if self.listed && !self.path.starts_with('/') {
            fixture.module(&self.path, &self.ko());
        } else {
            fixture.put(&at, compress(&self.path, &self.ko().build()));
        }
        if let Some(cut) = self.cut {
            let path = fixture.root().join(at);
            let data = fs::read(&path).expect("it was put there");
            let len = if cut < 0 { data.len().saturating_add_signed(cut) } else { cut as usize };
            fs::write(path, &data[..len]).expect("it was put there");
        }
    }

    fn ko(&self) -> Ko {
        let symbol = |name: &str| format!("{name}_symbol");
        let exports = self.export.clone().unwrap_or_else(|| vec![symbol(&self.name())]);
        let imports = self.needs.iter().map(|needed| symbol(needed)).chain(self.import.iter().cloned());
        let ko = Ko::new(&self.name()).depends(&self.needs.join(","));
        let ko = exports.iter().fold(ko, |ko, symbol| ko.export(symbol));
        let ko = imports.fold(ko, |ko, symbol| ko.import(&symbol));
        let ko = self.weak.iter().fold(ko, |ko, symbol| ko.weak(symbol));
        let ko = self.alias.iter().fold(ko, |ko, alias| ko.alias(alias));
        let ko = self.softdep.iter().fold(ko, |ko, softdep| ko.info("softdep", softdep));
        let ko = self.weakdep.iter().fold(ko, |ko, weakdep| ko.info("weakdep", weakdep));
        self.form.iter().fold(ko, |ko, form| match form {
            Form::Elf32 => ko.elf32(),
            Form::BigEndian => ko.big_endian(),
            Form::ExtendedVersions => ko.versions(Versions::Extended),
            Form::NoVersions => ko.versions(Versions::None).without_crcs(),
        })
    }
}

/// Splits a command into words.
pub fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = command.trim_start();
    while !rest.is_empty() {
        let (mut word, mut in_quote, mut len) = (String::new(), false, 0);
        for byte in rest.chars().take_while(|&c| {
            in_quote ^= c == '\'';
            c != ' ' || in_quote
        }) {
            len += byte.len_utf8();
            word.extend(Some(byte).filter(|&c| c != '\''));
        }
        words.push(word);
        rest = rest[len..].trim_start();
    }
    words
}

/// Indexes the tree of a root.
pub fn index(fixture: &Fixture) {
    let tree = tree::Tree::open(&fixture.modules_dir()).expect("the fixture is a tree");
    let modules = scan(&tree).expect("its modules can be read");
    let builtin = depmod::Builtin { list: tree.builtin.as_deref(), modinfo: tree.builtin_modinfo.as_deref() };
    let files = depmod::indexes(builtin, &modules).expect("it can be indexed");
    for (name, bytes) in files {
        fs::write(fixture.modules_dir().join(name), bytes).expect("the root can be written");
    }
}

fn run_depmod(depmod: &Path, fixture: &Fixture) {
    let status = std::process::Command::new(depmod).arg("-b").arg(fixture.root()).arg(KVER).status();
    assert!(status.is_ok_and(|status| status.success()), "{} failed", depmod.display());
}
