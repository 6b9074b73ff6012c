//! Cases of depmod: each a directory of tests/trees, with what kmod 34 makes of it in expected/ beside it.
//!
//! ```text
//! expected/  status, and the files that kmod wrote or stdout; @ROOT@ for the root
//! differs/   README, why ours is not the same; what is ours: `status`, files, and `stderr`, lines of which each is there
//! ```
//! A case whose differs/README begins with `alone` is not put to kmod: it would not end, or not do at all.

use crate::support::case::Case;
use crate::support::fixture::KVER;
use initmod::modules::index::Index;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What a run left behind: file name (or `status`, `stdout`) and text.
type Outcome = BTreeMap<String, Vec<u8>>;

/// What is read and not written.
const INPUTS: [&str; 3] = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];

impl Case {
    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.dir.join(name)).ok()
    }

    fn is_alone(&self) -> bool {
        self.text("differs/README").is_some_and(|text| text.starts_with("alone"))
    }

    /// Runs `depmod` on a new root, and returns what came of it and what was said.
    fn run(&self, depmod: &mut Command) -> (Outcome, String) {
        let fixture = self.lay();
        let root = fixture.root().to_str().unwrap();
        let args = self.depmod.iter().flatten().map(|arg| arg.replace("@ROOT@", root));
        // A configuration of one's own: the machine's is not the case's.
        let config = fixture.root().join("etc/depmod.d");
        depmod.arg("-b").arg(root).arg("-C").arg(config).arg(KVER).args(args);
        let output = depmod.output().expect("depmod runs");
        let mut outcome = Outcome::new();
        outcome.insert("status".into(), format!("{}\n", output.status.code().unwrap_or(-1)).into());
        if !output.stdout.is_empty() {
            outcome.insert("stdout".into(), output.stdout);
        }
        for entry in fs::read_dir(fixture.modules_dir()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_file() && name.starts_with("modules.") && !INPUTS.contains(&&*name) {
                outcome.insert(name, fs::read(path).unwrap());
            }
        }
        outcome.iter_mut().for_each(|(name, data)| *data = presentable(name, data, root));
        (outcome, String::from_utf8_lossy(&output.stderr).replace(root, "@ROOT@"))
    }

    fn kept(&self, dir: &str) -> Outcome {
        let entries = fs::read_dir(self.dir.join(dir)).into_iter().flatten().map(|entry| entry.unwrap());
        entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
    }

    fn bless_indexes(&self, depmod: &Path) {
        if !self.is_alone() {
            let (outcome, _) = self.run(&mut Command::new(depmod));
            _ = fs::remove_dir_all(self.dir.join("expected"));
            fs::create_dir(self.dir.join("expected")).unwrap();
            for (name, data) in outcome {
                fs::write(self.dir.join("expected").join(name), data).unwrap();
            }
        }
        let (outcome, _) = self.run(&mut ours());
        for name in self.kept("differs").keys().filter(|name| !matches!(&***name, "README" | "stderr")) {
            fs::write(self.dir.join("differs").join(name), outcome.get(name).cloned().unwrap_or_default()).unwrap();
        }
    }

    /// Says what is not as it is kept.
    fn check(&self) -> Vec<String> {
        let (outcome, stderr) = self.run(&mut ours());
        let name = self.dir.file_name().unwrap().to_string_lossy();
        let (mut wanted, differs) = (self.kept("expected"), self.kept("differs"));
        wanted.extend(differs.into_iter().filter(|(name, _)| !matches!(&**name, "README" | "stderr")));
        wanted.retain(|_, data| data != b"absent\n");
        let mut faults = Vec::new();
        let names: std::collections::BTreeSet<&String> = wanted.keys().chain(outcome.keys()).collect();
        for file in names {
            if wanted.get(file) != outcome.get(file) {
                let show = |data: Option<&Vec<u8>>| data.map(|data| String::from_utf8_lossy(data).into_owned());
                let (wanted, got) = (show(wanted.get(file)), show(outcome.get(file)));
                faults.push(format!("{name}: {file}\n  wanted {wanted:?}\n  got    {got:?}\n  said   {stderr}"));
            }
        }
        for line in self.text("differs/stderr").unwrap_or_default().lines().filter(|line| !stderr.contains(*line)) {
            faults.push(format!("{name}: not said: {line}\n  said {stderr}"));
        }
        faults
    }
}

fn ours() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mkinitmod"));
    command.args(["depmod", "--no-cache"]);
    command
}

/// Makes what does not depend on where the root is, nor on kmod's hash order: an index in which the root's path stands
/// is listed, modules.symbols sorted.
pub fn presentable(name: &str, data: &[u8], root: &str) -> Vec<u8> {
    let holds_root = data.windows(root.len()).any(|window| window == root.as_bytes());
    if name.ends_with(".bin") {
        if !holds_root {
            return data.to_vec();
        }
        let mut list = Vec::new();
        let mut each = |key: &[u8], value: initmod::modules::index::Value<'_>| {
            let (key, text) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value.text));
            list.extend(format!("{key} {} {text}\n", value.priority).bytes());
        };
        Index::new(data).unwrap().walk(&mut each).unwrap();
        return String::from_utf8(list).unwrap().replace(root, "@ROOT@").into();
    }
    let Ok(text) = String::from_utf8(data.to_vec()) else { return data.to_vec() };
    let text = text.replace(root, "@ROOT@");
    if name != "modules.symbols" {
        return text.into();
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

#[test]
fn each_tree_is_indexed_as_expected() {
    if std::env::var_os("INITMOD_BLESS").is_some() {
        let oracle = std::env::var_os("INITMOD_ORACLE").expect("INITMOD_ORACLE is the directory of kmod's tools");
        Case::of_depmod().iter().for_each(|case| case.bless_indexes(&Path::new(&oracle).join("depmod")));
    }
    let faults: Vec<String> = Case::of_depmod().iter().flat_map(Case::check).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
