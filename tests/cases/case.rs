// SPDX-License-Identifier: MIT OR Apache-2.0
//! A case, a directory of tests/trees: the root that `tree.toml` describes. tests/trees/README.md is the format.

use crate::support::fakekernel::Troubles;
use crate::support::fixture::{Fixture, KVER, compress};
use crate::support::mkko::{Ko, Versions};
use initmod::host::modules::file::modname;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A case, as `tree.toml` has it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    #[serde(default)]
    pub commands: Vec<String>,
    #[serde(default)]
    pub depmod: Option<Vec<String>>,
    #[serde(default)]
    modules: Vec<Module>,
    #[serde(default)]
    builtin: Vec<Module>,
    #[serde(default)]
    loaded: Vec<String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    links: BTreeMap<String, String>,
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    no_finit: bool,
    #[serde(default)]
    pub wants: Vec<String>,
    #[serde(skip)]
    pub dir: PathBuf,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Module {
    path: String,
    #[serde(default = "yes")]
    listed: bool,
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    export: Option<Vec<String>>,
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
    #[serde(default)]
    fails: Option<i32>,
    #[serde(default)]
    busy: u32,
    #[serde(default)]
    gone: bool,
    #[serde(default)]
    damaged: Option<String>,
    #[serde(default)]
    cut: Option<isize>,
    #[serde(default)]
    signed: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Form {
    Elf32,
    BigEndian,
    ExtendedVersions,
    NoVersions,
}

fn yes() -> bool {
    true
}

impl Case {
    /// Reads all cases, by name.
    pub fn all() -> Vec<Case> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees");
        let entries = fs::read_dir(&dir).expect("tests/trees is there").map(|entry| entry.unwrap().path());
        let mut dirs: Vec<_> = entries.filter(|path| path.is_dir()).collect();
        dirs.sort();
        let read = |dir: PathBuf| {
            let text =
                fs::read_to_string(dir.join("tree.toml")).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
            let case = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
            Case { dir, ..case }
        };
        dirs.into_iter().map(read).collect()
    }

    /// Returns the directory's name.
    pub fn name(&self) -> String {
        self.dir.file_name().expect("a directory of tests/trees has a name").to_string_lossy().into_owned()
    }

    /// Reads a text of the case, `None` where there is none.
    pub fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.dir.join(path)).ok()
    }

    /// Whether kmod is left out, as it would not end or would do nothing.
    pub fn is_alone(&self) -> bool {
        self.text("differs/README").is_some_and(|text| text.starts_with("alone"))
    }

    /// Makes the root.
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

    /// Makes the root and indexes it, by the program `depmod` or by mkinitmod's own code.
    pub fn root(&self, depmod: Option<&Path>) -> Fixture {
        let fixture = self.lay();
        match depmod {
            Some(depmod) => run_depmod(depmod, &fixture),
            None => _ = fixture.index(),
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

    /// Makes each loaded module a holder of those that it needs.
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

    /// Returns where the fake kernel refuses.
    pub fn troubles(&self) -> Troubles {
        let modules = self.modules.iter();
        Troubles {
            failing: modules.clone().filter_map(|module| Some((module.name(), module.fails?))).collect(),
            busy: modules.map(|module| (module.name(), module.busy)).collect(),
            no_finit: self.no_finit,
            ..Troubles::default()
        }
    }

    /// Whether the case has `install` or `remove` commands, which a shell runs.
    pub fn has_shell_commands(&self) -> bool {
        self.files
            .values()
            .any(|text| text.lines().any(|line| line.starts_with("install ") || line.starts_with("remove ")))
    }
}

impl Module {
    fn name(&self) -> String {
        modname(&self.path)
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
        let ko = self.signed.iter().fold(ko, |ko, message| ko.signed(message.as_bytes()));
        self.form.iter().fold(ko, |ko, form| match form {
            Form::Elf32 => ko.elf32(),
            Form::BigEndian => ko.big_endian(),
            Form::ExtendedVersions => ko.versions(Versions::Extended),
            Form::NoVersions => ko.versions(Versions::None).without_crcs(),
        })
    }
}

/// Splits a command into words, as a shell does that knows `'` alone for quotes.
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

fn run_depmod(depmod: &Path, fixture: &Fixture) {
    let status = std::process::Command::new(depmod).arg("-b").arg(fixture.root()).arg(KVER).status();
    assert!(status.is_ok_and(|status| status.success()), "{} failed", depmod.display());
}
