//! tests/trees/NN-name: a module tree and commands in `tree.toml`, and what comes of them in `expected/`.

use crate::fakekernel::Troubles;
use crate::fixture::{Fixture, KVER};
use crate::mkko::Ko;
use initmod::host::{depmod, scan::scan, tree};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A case, as `tree.toml` has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    /// What is run, each in a fresh root; words as a shell splits them, with `'` alone for quotes.
    pub commands: Vec<String>,
    modules: Vec<Module>,
    #[serde(default)]
    builtin: Vec<Module>,
    /// Modnames that the kernel has already.
    #[serde(default)]
    loaded: Vec<String>,
    /// Files by their path in the root.
    #[serde(default)]
    files: BTreeMap<String, String>,
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
    /// Relative to lib/modules/KVER.
    path: String,
    /// Modnames of modules whose symbols it uses.
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    alias: Vec<String>,
    #[serde(default)]
    softdep: Option<String>,
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
}

impl Case {
    /// Reads all cases, in order.
    pub fn all() -> Vec<Case> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees");
        let mut dirs: Vec<_> =
            fs::read_dir(&dir).expect("tests/trees is there").map(|entry| entry.unwrap().path()).collect();
        dirs.retain(|dir| dir.join("tree.toml").exists()); // the others are depmod's
        dirs.sort();
        let read = |dir: PathBuf| {
            let text =
                fs::read_to_string(dir.join("tree.toml")).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
            let case = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
            Case { dir, ..case }
        };
        dirs.into_iter().map(read).collect()
    }

    /// Lays the tree into a root and indexes it, by `depmod` or by our own.
    pub fn root(&self, depmod: Option<&Path>) -> Fixture {
        let fixture = Fixture::new();
        for module in &self.modules {
            fixture.module(&module.path, &module.ko());
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
            fixture.put(path, text);
        }
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

    /// Each module exports one symbol, named like it.
    fn ko(&self) -> Ko {
        let name = self.name();
        let ko = Ko::new(&name).export(&format!("{name}_symbol")).depends(&self.needs.join(","));
        let ko = self.needs.iter().fold(ko, |ko, needed| ko.import(&format!("{needed}_symbol")));
        let ko = self.alias.iter().fold(ko, |ko, alias| ko.alias(alias));
        self.softdep.iter().fold(ko, |ko, softdep| ko.info("softdep", softdep))
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
