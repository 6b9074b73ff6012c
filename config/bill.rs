// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bill DIR FEATURES TRIPLE`: writes what the crates in both programs ask of those who ship them, below DIR: the licence
//! files of each crate in `licenses/`, and the bill of materials in `sbom.cdx.json`. FEATURES are the loader's.
//!
//! Formats: the JSON of `cargo metadata`; CycloneDX 1.5. The bill has no time stamp: same crates, same bytes.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A crate that is linked into a program.
struct Crate {
    name: String,
    version: String,
    license: String,
    dir: String,
    /// Keys of the crates that it uses.
    uses: BTreeSet<String>,
    /// Programs that it is in.
    programs: BTreeSet<&'static str>,
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// Adds the crates of one program, by `name version`.
fn add(crates: &mut BTreeMap<String, Crate>, program: &'static str, options: &[&str]) -> Result<()> {
    let cargo = env::var("CARGO").unwrap_or("cargo".into());
    let output = Command::new(cargo).args(["metadata", "--format-version=1", "--locked"]).args(options).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages: BTreeMap<String, Value> =
        list(&metadata["packages"]).into_iter().map(|p| (text(&p, "id"), p)).collect();
    let nodes: BTreeMap<String, Value> =
        list(&metadata["resolve"]["nodes"]).into_iter().map(|node| (text(&node, "id"), node)).collect();
    let mut rest = vec![text(&metadata["resolve"], "root")];
    while let Some(id) = rest.pop() {
        let package = packages.get(&id).ok_or("cargo metadata: a node without its package")?;
        let key = format!("{} {}", text(package, "name"), text(package, "version"));
        let linked = |dep: &&Value| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
        let deps = list(&nodes[&id]["deps"]);
        let uses: Vec<String> = deps.iter().filter(linked).map(|dep| text(dep, "pkg")).collect();
        let dir = text(package, "manifest_path").trim_end_matches("/Cargo.toml").to_owned();
        let entry = crates.entry(key).or_insert_with(|| Crate {
            name: text(package, "name"),
            version: text(package, "version"),
            license: text(package, "license").replace('/', " OR "),
            dir,
            uses: BTreeSet::new(),
            programs: BTreeSet::new(),
        });
        entry.uses.extend(
            uses.iter()
                .filter_map(|id| packages.get(id))
                .map(|p| format!("{} {}", text(p, "name"), text(p, "version"))),
        );
        if entry.programs.insert(program) {
            rest.extend(uses);
        }
    }
    Ok(())
}

/// Copies the licence files of a crate, and of the C library that it may hold in a folder. Returns their number.
fn copy_licences(from: &Path, to: &Path, depth: u32) -> Result<usize> {
    let mut count = 0;
    let mut entries: Vec<_> = fs::read_dir(from)?.collect::<std::result::Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_licence = ["LICENSE", "LICENCE", "COPYING", "UNLICENSE", "NOTICE", "COPYRIGHT"]
            .iter()
            .any(|word| name.to_uppercase().starts_with(word) && !name.ends_with(".sh"));
        if entry.file_type()?.is_dir() {
            if depth > 0 && !matches!(&*name, "src" | "tests" | "benches" | "examples" | ".git") {
                count += copy_licences(&entry.path(), &to.join(&name), depth - 1)?;
            }
        } else if is_licence {
            fs::create_dir_all(to)?;
            fs::write(to.join(&name), fs::read(entry.path())?)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Returns the checksums of Cargo.lock, by `name version`.
fn checksums() -> Result<BTreeMap<String, String>> {
    let lock: toml::Table = fs::read_to_string("Cargo.lock")?.parse()?;
    let packages = lock.get("package").and_then(toml::Value::as_array).ok_or("Cargo.lock: no packages")?;
    let word = |package: &toml::Value, key: &str| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    Ok(packages
        .iter()
        .filter_map(|p| Some((format!("{} {}", word(p, "name")?, word(p, "version")?), word(p, "checksum")?)))
        .collect())
}

/// Returns the package URL of a crate. Source: the purl specification, which escapes `+`.
fn purl(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

fn component(krate: &Crate, checksum: Option<&String>) -> Value {
    let purl = purl(&krate.name, &krate.version);
    let programs: Vec<&str> = krate.programs.iter().copied().collect();
    let mut component = json!({
        "type": "library", "bom-ref": purl, "name": krate.name, "version": krate.version, "purl": purl,
        "licenses": [{ "expression": krate.license }],
        "properties": [{ "name": "initmod:programs", "value": programs.join(" ") }],
    });
    if let Some(checksum) = checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [dir, features, triple] = args.as_slice() else { return Err("usage: bill DIR FEATURES TRIPLE".into()) };
    let mut crates = BTreeMap::new();
    let features = format!("device,{features}");
    add(&mut crates, "mkinitmod", &["--filter-platform", triple])?;
    add(&mut crates, "initmod", &["--filter-platform", triple, "--no-default-features", "--features", &features])?;
    let own = format!("initmod {}", env!("CARGO_PKG_VERSION"));
    let dir = Path::new(dir);
    let licences = dir.join("licenses");
    if licences.exists() {
        fs::remove_dir_all(&licences)?;
    }
    let mut list = String::new();
    for (key, krate) in crates.iter().filter(|(key, _)| **key != own) {
        let count = copy_licences(Path::new(&krate.dir), &licences.join(key.replace(' ', "-")), 2)?;
        let note = if count == 0 { "  (the crate has no licence file)" } else { "" };
        list += &format!("{key}: {}{note}\n", krate.license);
    }
    fs::create_dir_all(&licences)?;
    fs::write(licences.join("LIST"), list)?;
    let checksums = checksums()?;
    let (root, others): (Vec<_>, Vec<_>) = crates.iter().partition(|(key, _)| **key == own);
    let mut application = root.first().map(|(_, krate)| component(krate, None)).ok_or("cargo metadata: no initmod")?;
    application["type"] = "application".into();
    let purl = |key: &str| key.split_once(' ').map(|(name, version)| purl(name, version)).unwrap_or_default();
    let bill = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": { "component": application },
        "components": others.iter().map(|(key, krate)| component(krate, checksums.get(*key))).collect::<Vec<_>>(),
        "dependencies": crates.iter().map(|(key, krate)| json!({
            "ref": purl(key), "dependsOn": krate.uses.iter().map(|key| purl(key)).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    });
    fs::write(dir.join("sbom.cdx.json"), serde_json::to_string_pretty(&bill)? + "\n")?;
    Ok(())
}
