// SPDX-License-Identifier: MIT OR Apache-2.0
//! `modinfo NAME|FILE...`: prints the strings of a module's .modinfo, its parameters with their types, its
//! build ID, who signed it.

use super::module_file::{ModuleFile, damaged};
use super::options::take;
use super::print::{Out, error, failed};
use crate::bytes::{basename, split_once};
use crate::device::buffers::{AppletBuffers, Buffers};
use crate::device::io::file::open;
use crate::device::io::log::{errno_prose, refusal_prose};
use crate::device::io::mmap::map;
use crate::device::io::path::{Path, path};
use crate::device::modules::tree::Tree;
use crate::device::rt::{Args, working_dir};
use crate::getopt::Spec;
use crate::loading::kernel::{Errno, Refusal};
use crate::modules::config::Config;
use crate::modules::dep_line::DepLine;
use crate::modules::elf::{Elf, strings};
use crate::modules::index::Index;
use crate::modules::resolve::{Found, MATCH_COUNT, Match, Resolver};
use crate::modules::signature::Signature;
use rustix::fd::AsFd;
use rustix::fs::CWD;

const SPEC: Spec = "a author\nd description\nl license\np parameters\nn filename\n0 null\nm modname\nF=field\n\
    k=set-version\nb=basedir\nV version\nh help";

/// The fields to print.
struct Asked {
    field: Option<&'static [u8]>,
    end: &'static [u8],
    by_name: bool,
}

/// Runs the command; `args` begins behind its name. Returns the exit status.
pub(super) fn main(buffers: &'static mut Buffers, mut args: Args, _: Args) -> i32 {
    let Buffers { applet: AppletBuffers { operands, .. }, .. } = buffers;
    let mut asked = Asked { field: None, end: b"\n", by_name: false };
    let (mut root, mut kver) = (&b""[..], None);
    let mut each = |letter, value: &'static [u8]| {
        match letter {
            b'a' => asked.field = Some(b"author"),
            b'd' => asked.field = Some(b"description"),
            b'l' => asked.field = Some(b"license"),
            b'p' => asked.field = Some(b"parm"),
            b'n' => asked.field = Some(b"filename"),
            b'F' => asked.field = Some(value),
            b'0' => asked.end = b"\0",
            b'm' => asked.by_name = true,
            b'k' => kver = Some(value),
            b'b' => root = value,
            _ => {}
        }
        true
    };
    let synopsis = "modinfo [OPTION...] NAME|FILE...";
    if let Err(status) = take(SPEC, synopsis, &mut || args.next_bytes(), operands, &mut each) {
        return status;
    }
    if operands.is_empty() {
        error("missing module or filename.", &[]);
        return 1;
    }
    let tree = match Tree::open_at(root, kver) {
        Ok(tree) => tree,
        Err(errno) => {
            error("the module tree: %", &[errno_prose(errno)]);
            return 1;
        }
    };
    let mut resolver = Resolver { indexes: tree.indexes(), config: Config::default() };
    if asked.by_name {
        // As kmod: only modules have no aliases then, built-in ones do.
        let [_, alias, symbols, ..] = &mut resolver.indexes.0;
        (*alias, *symbols) = (Index::EMPTY, Index::EMPTY);
    }
    let mut modinfo = Modinfo { asked, tree, resolver, out: Out::new() };
    operands.iter().fold(0, |worst, operand| worst.max(modinfo.one(operand)))
}

/// A parameter, put together from its `parm` and `parmtype` strings.
struct Param<'map> {
    name: &'map [u8],
    description: Option<&'map [u8]>,
    type_name: Option<&'map [u8]>,
}

/// The parameters of a module: of Debian's, none has 100.
type Params<'map> = heapless::Vec<Param<'map>, 1024>;

struct Modinfo {
    asked: Asked,
    tree: Tree,
    resolver: Resolver<'static>,
    out: Out,
}

impl Modinfo {
    /// Prints all that an operand stands for.
    fn one(&mut self, operand: &'static [u8]) -> i32 {
        if !self.asked.by_name && is_module_file(operand) {
            let mut cwd = [0; 1024];
            let (dir, slash): (&[u8], &[u8]) =
                if operand.starts_with(b"/") { (b"", b"") } else { (working_dir(&mut cwd), b"/") };
            let shown = path("%%%", &[dir, slash, operand]);
            return self.file(shown.as_ref().map_or(operand, Path::as_bytes), operand);
        }
        let mut matches = heapless::Vec::<Match<'static>, MATCH_COUNT>::new();
        let mut name = operand;
        if self.asked.by_name {
            name = split_once(operand, b'.').map_or(operand, |(name, _)| name);
        }
        match self.resolver.resolve(name, &mut matches) {
            Ok(Found::Nothing) => unknown(operand),
            Ok(_) => {
                if self.asked.by_name {
                    matches.truncate(1);
                }
                matches.iter().fold(0, |worst, found| {
                    worst.max(match found {
                        Match::Module(line) => self.file_of_tree(*line),
                        found => match found.dep_line(name).modname() {
                            Ok(name) => self.builtin(&name),
                            Err(_) => unknown(operand),
                        },
                    })
                })
            }
            Err(failure) => failed(&self.tree, operand, failure),
        }
    }

    fn file_of_tree(&mut self, line: DepLine<'static>) -> i32 {
        let file = line.path();
        let dir: &[u8] = if file.starts_with(b"/") { b"" } else { &self.tree.path };
        let shown = path("%%", &[dir, file]);
        self.file(shown.as_ref().map_or(file, Path::as_bytes), file)
    }

    /// Prints a module file; `shown` is its path for people, `name` for messages.
    fn file(&mut self, shown: &[u8], name: &[u8]) -> i32 {
        if self.title(b"filename", shown) {
            return 0;
        }
        let image = match open(CWD, shown).map_err(Refusal::File).and_then(|file| ModuleFile::read(&file)) {
            Ok(image) => image,
            Err(refusal) => {
                self.out.flush();
                error("could not get modinfo from '%': %", &[name, refusal_prose(refusal)]);
                return 1;
            }
        };
        let elf = match Elf::new(image.bytes()) {
            Ok(elf) => elf,
            Err(fault) => {
                self.out.flush();
                return damaged(shown, fault);
            }
        };
        let mut params = Params::new();
        if !elf.modinfo().all(|text| self.string(text, &mut params)) {
            return self.too_many(name);
        }
        if let Some(id) = elf.section(b".note.gnu.build-id").and_then(|note| note.data.get(16..)) {
            self.hex(b"build-id", id);
        }
        // As kmod: a signature that is damaged counts as none.
        if let Ok(Some(signature)) = Signature::of(image.bytes()) {
            self.field(b"sig_id", signature.id_type);
            self.field(b"signer", signature.signer);
            self.hex(b"sig_key", signature.key);
            self.field(b"sig_hashalgo", signature.hash);
            self.hex(b"signature", signature.bytes);
        }
        self.parameters(&params);
        0
    }

    /// Prints what modules.builtin.modinfo, made of strings `MODNAME.KEY=VALUE`, has of a module.
    fn builtin(&mut self, name: &[u8]) -> i32 {
        self.title(b"name", name);
        if self.title(b"filename", b"(builtin)") {
            return 0;
        }
        let text = match open(self.tree.dir.as_fd(), b"modules.builtin.modinfo").and_then(|file| map(&file)) {
            Ok(text) => text,
            Err(Errno::ENOENT) => return 0, // a kernel before 5.2
            Err(errno) => {
                error("%modules.builtin.modinfo: %", &[&self.tree.path, errno_prose(errno)]);
                return 1;
            }
        };
        let mut own = strings(text).filter_map(|text| text.strip_prefix(name)?.strip_prefix(b"."));
        let mut params = Params::new();
        if !own.all(|text| self.string(text, &mut params)) {
            return self.too_many(name);
        }
        self.parameters(&params);
        0
    }

    /// Prints a `key=value` string, or keeps it for later if it is about a parameter. Returns whether `params` could hold it.
    fn string<'map>(&mut self, text: &'map [u8], params: &mut Params<'map>) -> bool {
        // kmod takes a string without `=` for key and value.
        let (key, value) = split_once(text, b'=').unwrap_or((text, text));
        let merges = self.asked.field.is_none_or(|field| field == b"parm");
        if !merges || (key != b"parm" && key != b"parmtype") {
            self.field(key, value);
            return true;
        }
        let Some((name, what)) = split_once(value, b':') else { return true };
        put_aside(params, name, what, key == b"parmtype").is_some()
    }

    /// Reports that a module has too many parameters; returns the exit status.
    fn too_many(&mut self, name: &[u8]) -> i32 {
        error("%: too many parameters", &[name]);
        1
    }

    /// Prints the parameters, the last first, as kmod does.
    fn parameters(&mut self, params: &Params<'_>) {
        let (end, bare) = (self.asked.end, self.asked.field.is_some());
        for param in params.iter().rev() {
            let title: &[u8] = if bare { b"" } else { b"parm:           " };
            self.out.fill("%%:", &[title, param.name]);
            match (param.description, param.type_name) {
                (Some(description), Some(type_name)) => self.out.fill("% (%)%", &[description, type_name, end]),
                (Some(description), None) => self.out.fill("%%", &[description, end]),
                (None, Some(type_name)) if bare => self.out.fill(" (%)%", &[type_name, end]),
                (None, type_name) => self.out.fill("%%", &[type_name.unwrap_or_default(), end]),
            }
        }
    }

    /// Prints a field if it was requested; returns whether it is the only requested one.
    fn field(&mut self, key: &[u8], value: &[u8]) -> bool {
        match self.asked.field {
            Some(field) if field == key => {
                self.out.fill("%%", &[value, self.asked.end]);
                return true;
            }
            Some(_) => {}
            None if self.asked.end == b"\0" => self.out.fill("%=%\0", &[key, value]),
            None => {
                self.title(key, value);
            }
        }
        false
    }

    /// Prints a field that is not a `key=value`, even if NUL ends it; returns whether it is the only requested one.
    fn title(&mut self, key: &[u8], value: &[u8]) -> bool {
        if self.asked.field.is_some() {
            return self.field(key, value);
        }
        let pad = b"               ".get(key.len()..).unwrap_or_default();
        self.out.fill("%:%%%", &[key, pad, value, self.asked.end]);
        false
    }

    /// Prints bytes as 01:AB:..., 20 of them on a line.
    fn hex(&mut self, key: &[u8], bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        if self.asked.field.is_some_and(|field| field != key) {
            return;
        }
        self.field(key, b"");
        // The field's end follows the bytes.
        self.out.pop();
        for (at, byte) in bytes.iter().enumerate() {
            let separator: &[u8] = match at {
                0 => b"",
                at if at % 20 == 0 => b":\n\t\t",
                _ => b":",
            };
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'?');
            self.out.part(separator);
            self.out.part(&[digit(byte >> 4), digit(byte & 15)]);
        }
        self.out.part(self.asked.end);
    }
}

fn unknown(name: &[u8]) -> i32 {
    error("Module % not found.", &[name]);
    1
}

fn put_aside<'map>(params: &mut Params<'map>, name: &'map [u8], what: &'map [u8], is_type: bool) -> Option<()> {
    if !params.iter().any(|param| param.name == name) {
        params.push(Param { name, description: None, type_name: None }).ok()?;
    }
    let param = params.iter_mut().find(|param| param.name == name)?;
    *(if is_type { &mut param.type_name } else { &mut param.description }) = Some(what);
    Some(())
}

/// Whether an operand is a module file, not a name.
fn is_module_file(operand: &[u8]) -> bool {
    let name = basename(operand);
    let known = [&b".ko"[..], b".ko.gz", b".ko.xz", b".ko.zst"].iter().any(|suffix| name.ends_with(suffix));
    known && open(CWD, operand).is_ok()
}
