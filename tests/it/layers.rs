// SPDX-License-Identifier: MIT OR Apache-2.0
//! The order of `mod` lines is the order of layers, in every folder of src.
//!
//! * A file uses only files and folders that stand above it in its `mod.rs`; with that there is no circle either.
//! * A file uses nothing that the `mod.rs` above it defines; what that re-exports counts for the file it comes from.
//! * `device` and `host` do not use each other.
//! * `src/bin` uses the library alone.
//!
//! Tests in src are left out: they may use anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module's path, `crate` left out: `["host", "dt", "way"]`.
type Name = Vec<String>;

/// A word, a sign, `::`, or a string with its quotes; and its line.
type Token = (String, usize);

/// A module, of all the files that may be it.
#[derive(Default)]
struct Module {
    files: Vec<File>,
    /// Modules of its `mod` lines, in order.
    children: Vec<String>,
}

struct File {
    /// Relative to src.
    path: String,
    /// Paths that the file names, and the line of each.
    uses: Vec<(Name, usize)>,
    /// Paths that it imports or re-exports, by their name in it.
    imports: BTreeMap<String, Name>,
}

/// A module and one that it uses, both of one folder.
type Arrow = (String, String);

/// All modules from lib.rs on.
struct Layers {
    modules: BTreeMap<Name, Module>,
}

/// Splits Rust into tokens; comments go, and so do items that are compiled for tests alone.
fn tokens(text: &str) -> Vec<Token> {
    let (mut line, mut rest, mut tokens) = (1, text, Vec::new());
    while let Some(first) = rest.chars().next() {
        let len = match rest.as_bytes() {
            [b'/', b'/', ..] => rest.find('\n').unwrap_or(rest.len()),
            [b'/', b'*', ..] => rest.find("*/").map_or(rest.len(), |at| at + 2),
            [b'r', b'"', ..] => raw_len(rest, "\""),
            [b'r', b'#', b'"', ..] => raw_len(rest, "\"#"),
            [b'"', ..] => quoted_len(rest),
            // A lifetime has no quote at its end.
            [b'\'', b'\\', ..] => quoted_len(rest),
            [b'\'', ..] if rest.chars().nth(2) == Some('\'') => 2 + rest[1..].chars().next().map_or(0, char::len_utf8),
            [b':', b':', ..] => 2,
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, behind) = rest.split_at(len);
        if !first.is_whitespace() && !token.starts_with("//") && !token.starts_with("/*") {
            tokens.push((token.to_owned(), line));
        }
        line += token.matches('\n').count();
        rest = behind;
    }
    without_tests(&tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the length of the raw string that `text` begins with; its end is `end`.
fn raw_len(text: &str, end: &str) -> usize {
    let start = 1 + end.len();
    text[start..].find(end).map_or(text.len(), |at| start + at + end.len())
}

/// Returns the length of the string or character that `text` begins with.
fn quoted_len(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = !is_escaped && byte == text.as_bytes()[0];
        is_escaped = !is_escaped && byte == b'\\';
        is_end
    });
    end.map_or(text.len(), |at| at + 2)
}

fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let ahead: String = tokens[at..].iter().take(8).map(|(text, _)| text.as_str()).collect();
        if ahead.starts_with("#[cfg(test)") || ahead.starts_with("#[cfg(all(test") {
            at = end_of_item(tokens, at + 1);
        } else {
            out.push(tokens[at].clone());
            at += 1;
        }
    }
    out
}

/// Returns the place behind the item, attributes and all, that begins at `at`.
fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0;
    while let Some((text, _)) = tokens.get(at) {
        at += 1;
        match text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" if depth == 1 => return at,
            "}" => depth -= 1,
            ";" if depth == 0 => return at,
            _ => {}
        }
    }
    at
}

/// Reads the paths of a `use` tree or of an expression, from `at` on; returns the place behind it.
fn read_paths(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<(Name, String, usize)>) -> usize {
    let mut path = prefix.to_vec();
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.0 == text);
    let line = tokens[at].1;
    loop {
        if is(at, "{") {
            at += 1;
            while at < tokens.len() && !is(at, "}") {
                at = if is(at, ",") { at + 1 } else { read_paths(tokens, at, &path, found) };
            }
            return at + 1;
        }
        let word = tokens[at].0.clone();
        at += 1;
        // `{self}` names the folder itself.
        if word != "self" || path.is_empty() {
            path.push(word);
        }
        let goes_on = |(text, _): &Token| text == "{" || text == "*" || text.starts_with(is_word);
        if is(at, "::") && tokens.get(at + 1).is_some_and(goes_on) {
            at += 1;
            continue;
        }
        let mut name = path.last().cloned().unwrap_or_default();
        if is(at, "as") && at + 1 < tokens.len() {
            name = tokens[at + 1].0.clone();
            at += 2;
        }
        found.push((path, name, line));
        return at;
    }
}

impl Layers {
    fn read(src: &Path) -> Layers {
        let mut layers = Layers { modules: BTreeMap::new() };
        layers.read_module(src, Vec::new(), &["lib.rs".into()]);
        layers
    }

    /// Reads a module, which is one of the files at `paths`, and those of its `mod` lines.
    fn read_module(&mut self, src: &Path, name: Name, paths: &[String]) {
        let mut module = Module::default();
        let mut below = BTreeMap::<String, Vec<String>>::new();
        let dir = name.join("/");
        for path in paths {
            let text = fs::read_to_string(src.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            let tokens = tokens(&text);
            for (child, other) in mod_lines(&tokens) {
                if !module.children.contains(&child) {
                    module.children.push(child.clone());
                }
                let own = [format!("{dir}/{child}.rs"), format!("{dir}/{child}/mod.rs")];
                let other = other.map(|other| format!("{}/{other}", path.rsplit_once('/').map_or("", |(dir, _)| dir)));
                let all = own.into_iter().chain(other).map(|path| plain(&path)).filter(|path| src.join(path).exists());
                below.entry(child).or_default().extend(all);
            }
            module.files.push(File::parse(path, &tokens, &name));
        }
        for child in &module.children {
            let name = [name.as_slice(), std::slice::from_ref(child)].concat();
            self.read_module(src, name, &below[child]);
        }
        self.modules.insert(name, module);
    }

    /// Returns the module that a path leads to, and the item in it, if it names one. A folder's re-exports are followed.
    fn resolve(&self, path: &[String]) -> (Name, Option<String>) {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let depth = (0..=path.len()).rev().find(|len| self.modules.contains_key(&path[..*len]));
            let (name, rest) = path.split_at(depth.expect("the crate is a module"));
            let Some(item) = rest.first() else { return (name.to_vec(), None) };
            let module = &self.modules[name];
            match module.files.iter().find_map(|file| file.imports.get(item)) {
                Some(to) if !module.children.is_empty() => path = [to.as_slice(), &rest[1..]].concat(),
                _ => return (name.to_vec(), Some(item.clone())),
            }
        }
        panic!("{}: re-exports lead in a circle", path.join("::"));
    }

    /// Whether `below` stands behind `above` in a folder's `mod` lines.
    fn stands_below(&self, folder: &[String], below: &str, above: &str) -> bool {
        let place = |module| self.modules[folder].children.iter().position(|child| child == module);
        place(below) > place(above)
    }

    /// Returns all faults, a line each: one for each file and what it uses, and one for each circle.
    fn faults(&self) -> Vec<String> {
        let (mut faults, mut arrows) = (BTreeMap::<String, String>::new(), BTreeMap::<Name, BTreeSet<Arrow>>::new());
        for (name, module) in &self.modules {
            for (file, (path, line)) in
                module.files.iter().flat_map(|file| file.uses.iter().map(move |used| (file, used)))
            {
                let (target, item) = self.resolve(path);
                let len = name.iter().zip(&target).take_while(|(a, b)| a == b).count();
                let folder = &name[..len];
                let fault = match (name.get(len), target.get(len), item) {
                    (Some(user), Some(used), _) => {
                        arrows.entry(folder.to_vec()).or_default().insert((user.clone(), used.clone()));
                        if folder.is_empty() && matches!((&**user, &**used), ("device", "host") | ("host", "device")) {
                            format!("{user} uses {used}")
                        } else if self.stands_below(folder, used, user) {
                            format!("{user} uses {used}, which stands below it in {}", self.file_of(folder))
                        } else {
                            continue;
                        }
                    }
                    (Some(_), None, Some(item)) => format!("uses {item} of {} above it", self.file_of(folder)),
                    _ => continue,
                };
                let at = format!("{}:{line}: {}", file.path, path.join("::"));
                faults.entry(format!("{}: {fault}", file.path)).or_insert(at);
            }
        }
        let faults = faults.into_iter().map(|(fault, at)| format!("{fault} ({at})"));
        faults.chain(arrows.iter().flat_map(|(folder, arrows)| self.circles(folder, arrows))).collect()
    }

    /// Returns the circles that the arrows of a folder make which lead down.
    fn circles(&self, folder: &[String], arrows: &BTreeSet<Arrow>) -> Vec<String> {
        let down = arrows.iter().filter(|(user, used)| self.stands_below(folder, used, user));
        let back = down.filter_map(|(user, used)| Some((user, way(arrows, used, user)?)));
        back.map(|(user, way)| format!("{}: circle {user} -> {}", self.file_of(folder), way.join(" -> "))).collect()
    }

    /// Returns the path of the file that has a folder's `mod` lines.
    fn file_of(&self, folder: &[String]) -> &str {
        &self.modules[folder].files[0].path
    }

    /// Returns the paths of all files that `mod` lines lead to.
    fn files(&self) -> BTreeSet<&str> {
        self.modules.values().flat_map(|module| &module.files).map(|file| file.path.as_str()).collect()
    }
}

/// Yields the modules of `mod` lines, and the other file that a `path` attribute gives one.
fn mod_lines(tokens: &[Token]) -> Vec<(String, Option<String>)> {
    let (mut lines, mut other) = (Vec::new(), None);
    for at in 0..tokens.len() {
        let text = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.0.as_str());
        match (text(0), text(1), text(2)) {
            ("path", "=", file) if file.starts_with('"') && matches!(text(3), "]" | ")") => {
                other = Some(file.trim_matches('"').to_owned());
            }
            ("mod", name, ";") => lines.push((name.to_owned(), other.take())),
            _ => {}
        }
    }
    lines
}

impl File {
    fn parse(path: &str, tokens: &[Token], name: &[String]) -> File {
        let mut file = File { path: path.into(), uses: Vec::new(), imports: BTreeMap::new() };
        let text = |at: usize| tokens.get(at).map_or("", |token| token.0.as_str());
        let mut plain = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let mut found = Vec::new();
            let is_use = text(at) == "use" && text(at + 1) != "<";
            let is_path = text(at + 1) == "::" && (at == 0 || text(at - 1) != "::") && text(at).starts_with(is_word);
            if is_use {
                at = read_paths(tokens, at + 1, &[], &mut found);
            } else if is_path && text(at + 2).starts_with(is_word) {
                at = read_paths(tokens, at, &[], &mut found);
            } else {
                at += 1;
            }
            for (path, alias, line) in found {
                match absolute(&path, name) {
                    Some(path) => {
                        if is_use {
                            file.imports.insert(alias, path.clone());
                        }
                        file.uses.push((path, line));
                    }
                    None => plain.push((path, alias, line, is_use)),
                }
            }
        }
        // Paths that begin with an import, or with a module of the file's own `mod` lines.
        let own: BTreeSet<String> = mod_lines(tokens).into_iter().map(|(child, _)| child).collect();
        for (path, alias, line, is_use) in plain {
            let path = match file.imports.get(&path[0]) {
                Some(import) => [import.as_slice(), &path[1..]].concat(),
                None if own.contains(&path[0]) => [name, &path].concat(),
                None => continue,
            };
            if is_use {
                file.imports.insert(alias, path.clone());
            }
            file.uses.push((path, line));
        }
        file
    }
}

/// Returns a path that begins with `crate`, `self` or `super` in the module `name` from the crate on.
fn absolute(path: &[String], name: &[String]) -> Option<Name> {
    let ups = path.iter().skip(usize::from(path[0] == "self")).take_while(|word| *word == "super").count();
    let start = match path[0].as_str() {
        "crate" => return Some(path[1..].to_vec()),
        "self" => 1 + ups,
        "super" => ups,
        _ => return None,
    };
    let above = name.get(..name.len().checked_sub(ups)?)?;
    Some([above, &path[start..]].concat())
}

/// Takes `..` out of a path, and a `/` in front.
fn plain(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        match part {
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Returns the shortest way from one module to another along the arrows of their folder.
fn way(arrows: &BTreeSet<(String, String)>, from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![from.to_owned()]];
    let mut seen = BTreeSet::from([from.to_owned()]);
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for (_, next) in arrows.iter().filter(|(user, _)| way.last() == Some(user)) {
                let way = [way.as_slice(), std::slice::from_ref(next)].concat();
                if next == to {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    None
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn a_file_uses_what_stands_above_it() {
    let faults = Layers::read(&src()).faults();
    assert!(faults.is_empty(), "{} faults in src:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn mod_lines_lead_to_every_file_and_programs_use_the_library_alone() {
    let (layers, mut open, mut programs) = (Layers::read(&src()), vec![src()], 0);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let name = path.strip_prefix(src()).unwrap().to_str().unwrap();
        if name.starts_with("bin/") {
            let tokens = tokens(&fs::read_to_string(&path).unwrap());
            let own = tokens.iter().find(|(text, _)| matches!(&**text, "crate" | "super" | "mod"));
            assert_eq!(own, None, "{name}");
            programs += 1;
        } else if name.ends_with(".rs") && !name.ends_with("/tests.rs") {
            assert!(layers.files().contains(name), "{name}: no mod line leads to it");
        }
    }
    assert_eq!(programs, 2);
}

#[test]
fn each_fault_is_found() {
    let src = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        fs::create_dir_all(src.path().join(path).parent().unwrap()).unwrap();
        fs::write(src.path().join(path), text).unwrap();
    };
    put("lib.rs", "mod core;\n#[cfg(test)]\nmod tests;\npub mod host;\npub mod device;\n");
    put(
        "core.rs",
        "//! crate::host\nfn f() -> &'static str { \"crate::host\" }\n#[cfg(test)]\nmod tests { use crate::host; }\n",
    );
    put("device/mod.rs", "#[cfg_attr(x, path = \"plain/a.rs\")]\nmod a;\nmod b;\npub(crate) use b::B;\nstruct Own;\n");
    put("device/a.rs", "use crate::core::f;\nuse super::B;\n");
    put("device/plain/a.rs", "use crate::{core, host::x};\n");
    put("device/b.rs", "use super::{Own, a::{self, A}};\n");
    put("host/mod.rs", "pub mod x;\npub mod y;\n");
    put("host/x.rs", "use crate::host;\nfn f() { host::y::g::<u8>() }\n");
    put("host/y.rs", "fn g() { let _ = super::x::f(); }\n");
    let want = [
        "device/a.rs: a uses b, which stands below it in device/mod.rs (device/a.rs:2: device::B)",
        "device/b.rs: uses Own of device/mod.rs above it (device/b.rs:1: device::Own)",
        "device/plain/a.rs: device uses host (device/plain/a.rs:1: host::x)",
        "host/x.rs: x uses y, which stands below it in host/mod.rs (host/x.rs:2: host::y::g)",
        "device/mod.rs: circle a -> b -> a",
        "host/mod.rs: circle x -> y -> x",
    ];
    assert_eq!(Layers::read(src.path()).faults(), want);
}
