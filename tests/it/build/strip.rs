// SPDX-License-Identifier: MIT OR Apache-2.0
//! Modules without debug sections and BTF: all else is what it was. On files made here, on what a C compiler makes, beside
//! what strip(1) does with it, and on whole stock trees, which `make oracle` runs and downloads.

use crate::support::fixture::{Fixture, KVER};
use crate::support::mkko::Ko;
use crate::support::oracle::kernel;
use initmod::host::codec;
use initmod::host::image::signature::dropped;
use initmod::host::image::strip::stripped;
use initmod::host::modules::module::Module;
use object::write::{Object as Writer, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, RelocationEncoding, RelocationFlags, RelocationKind};
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// A section as a reader sees it: its name, how it is loaded, what it holds; for each relocation where and by which symbol.
type Seen = (String, String, Vec<u8>, Vec<String>);

fn sections(data: &[u8]) -> Vec<Seen> {
    let file = object::File::parse(data).unwrap();
    let symbol = |at| {
        let symbol = file.symbol_by_index(at).unwrap();
        let section = symbol.section_index().map(|at| file.section_by_index(at).unwrap().name().unwrap().to_owned());
        format!("{} {section:?} {:#x}", symbol.name().unwrap(), symbol.address())
    };
    let section = |section: object::Section<'_, '_>| {
        let relocations = section.relocations().map(|(off, relocation)| {
            let target = match relocation.target() {
                RelocationTarget::Symbol(at) => symbol(at),
                other => format!("{other:?}"),
            };
            format!("{off:#x} {:?} {:#x} {target}", relocation.flags(), relocation.addend())
        });
        let shape = format!("{:?} align {} len {}", section.flags(), section.align(), section.size());
        (section.name().unwrap().into(), shape, section.data().unwrap().to_vec(), relocations.collect())
    };
    file.sections().map(section).collect()
}

fn symbols(data: &[u8]) -> Vec<String> {
    let file = object::File::parse(data).unwrap();
    let symbol = |symbol: object::Symbol<'_, '_>| {
        let section = symbol.section_index().map(|at| file.section_by_index(at).unwrap().name().unwrap().to_owned());
        let place = (symbol.address(), symbol.size(), symbol.kind(), symbol.scope(), symbol.is_weak());
        format!("{} {section:?} {place:?}", symbol.name().unwrap())
    };
    file.symbols().map(symbol).collect()
}

fn goes(name: &str, is_loaded: bool, has_kfuncs: bool) -> bool {
    let is_debug = name.starts_with(".debug") && !is_loaded;
    is_debug || !has_kfuncs && matches!(name, ".BTF" | ".BTF.base" | ".BTF.ext")
}

/// Strips, and sees that nothing is gone or changed but what should be. Returns the bytes saved.
fn check(name: &str, before: &[u8]) -> usize {
    let after = stripped(before).unwrap_or_else(|what| panic!("{name}: {what}"));
    let old = object::File::parse(before).unwrap();
    let has_kfuncs = old.section_by_name(".BTF_ids").is_some();
    let mut gone = BTreeSet::new();
    for section in old.sections() {
        let object::SectionFlags::Elf { sh_flags, .. } = section.flags() else { panic!("ELF") };
        if goes(section.name().unwrap(), sh_flags.contains(object::elf::SHF_ALLOC), has_kfuncs) {
            gone.insert(section.name().unwrap().to_owned());
        }
    }
    assert_eq!(matches!(after, Cow::Borrowed(_)), gone.is_empty(), "{name}");
    let relocates_gone = |section: &str| {
        gone.iter().any(|gone| [".rela", ".rel"].map(|kind| format!("{kind}{gone}")).contains(&section.to_owned()))
    };
    let is_table = |name: &str| matches!(name, ".symtab" | ".group") || name.starts_with(".rel");
    let tables =
        |seen: Vec<Seen>| -> Vec<Seen> {
            // The tables' own bytes hold numbers of symbols and sections: they are compared by what they point to.
            seen.into_iter()
                .map(|(name, shape, data, relocations)| {
                    if is_table(&name) {
                        (name, String::new(), vec![], vec![])
                    } else {
                        (name, shape, data, relocations)
                    }
                })
                .collect()
        };
    let mut want = tables(sections(before));
    want.retain(|(name, ..)| !gone.contains(name) && !relocates_gone(name));
    let got = tables(sections(&after));
    for (want, got) in want.iter().zip(&got) {
        assert_eq!((&want.0, &want.1), (&got.0, &got.1), "{name}");
        assert!(want.2 == got.2 && want.3 == got.3, "{name}: {}", want.0);
    }
    assert_eq!(want.len(), got.len(), "{name}");
    let in_gone = |symbol: &String| gone.iter().any(|gone| symbol.contains(&format!("Some({gone:?})")));
    let want: Vec<String> = symbols(before)
        .into_iter()
        .filter(|symbol| gone.is_empty() || !in_gone(symbol) && !symbol.contains(", File, "))
        .collect();
    assert!(want == symbols(&after), "{name}: symbols");
    let read = |data: &[u8]| {
        let mut module = Module::parse(name, data).unwrap();
        (module.file_len, module.plain_len) = (0, 0);
        module
    };
    assert_eq!(read(before), read(&after), "{name}");
    assert!(matches!(stripped(&after).unwrap(), Cow::Borrowed(_)), "{name}: once is enough");
    before.len() - after.len()
}

/// Makes a module with code, data without bytes, BTF and debug sections that point to each other.
fn module(architecture: Architecture, more: &[&str]) -> Vec<u8> {
    let mut file = Writer::new(BinaryFormat::Elf, architecture, Endianness::Little);
    file.add_file_symbol(b"module.c".to_vec());
    let section = |file: &mut Writer<'_>, name: &str, kind, data: &[u8]| {
        let at = file.add_section(vec![], name.into(), kind);
        file.append_section_data(at, data, 16);
        at
    };
    let info = section(&mut file, ".debug_info", SectionKind::Debug, &[7; 64]);
    let strings = section(&mut file, ".debug_str", SectionKind::Debug, b"int\0");
    let text = section(&mut file, ".text", SectionKind::Text, &[0x90; 64]);
    section(
        &mut file,
        ".modinfo",
        SectionKind::ReadOnlyData,
        b"name=m\0vermagic=6.12.0-it SMP mod_unload modversions \0depends=\0",
    );
    section(&mut file, ".BTF", SectionKind::Other, &[1; 100]);
    let bss = file.add_section(vec![], b".bss".to_vec(), SectionKind::UninitializedData);
    file.append_section_bss(bss, 4096, 8);
    for name in more {
        section(&mut file, name, SectionKind::ReadOnlyData, &[2; 12]);
    }
    let symbol = |file: &mut Writer<'_>, name: &str, section: SymbolSection, kind, scope| {
        file.add_symbol(Symbol {
            name: name.into(),
            value: 0,
            size: 0,
            kind,
            scope,
            weak: false,
            section,
            flags: SymbolFlags::None,
        })
    };
    let in_section = |at: SectionId| SymbolSection::Section(at);
    symbol(&mut file, "local_debug", in_section(strings), SymbolKind::Data, SymbolScope::Compilation);
    let start = symbol(&mut file, "init_module", in_section(text), SymbolKind::Text, SymbolScope::Dynamic);
    let printk = symbol(&mut file, "_printk", SymbolSection::Undefined, SymbolKind::Unknown, SymbolScope::Unknown);
    let of_strings = file.section_symbol(strings);
    let bss_symbol = file.section_symbol(bss);
    let relocate = |file: &mut Writer<'_>, section, offset, symbol: SymbolId| {
        let size = if architecture == Architecture::Arm { 32 } else { 64 };
        let flags =
            RelocationFlags::Generic { kind: RelocationKind::Absolute, encoding: RelocationEncoding::Generic, size };
        file.add_relocation(section, Relocation { offset, symbol, addend: 0, flags }).unwrap();
    };
    relocate(&mut file, info, 8, of_strings);
    relocate(&mut file, info, 16, start);
    relocate(&mut file, text, 0, printk);
    relocate(&mut file, text, 8, bss_symbol);
    relocate(&mut file, text, 16, start);
    file.write().unwrap()
}

#[test]
fn debug_sections_and_btf_go_and_all_else_is_what_it_was() {
    for architecture in [Architecture::X86_64, Architecture::Aarch64, Architecture::Arm] {
        let plain = module(architecture, &[]);
        assert!(check("m.ko", &plain) > 300, "{architecture:?}");
        let names: Vec<String> = sections(&stripped(&plain).unwrap()).into_iter().map(|(name, ..)| name).collect();
        assert!(names.contains(&".text".into()) && names.iter().all(|name| !name.contains("debug") && name != ".BTF"));
    }
}

#[test]
fn btf_stays_where_kfuncs_need_it() {
    let plain = module(Architecture::X86_64, &[".BTF_ids"]);
    check("m.ko", &plain);
    assert!(object::File::parse(&*stripped(&plain).unwrap()).unwrap().section_by_name(".BTF").is_some());
}

#[test]
fn what_a_section_that_stays_points_to_stays() {
    let mut file = Writer::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let info = file.add_section(vec![], b".debug_info".to_vec(), SectionKind::Debug);
    file.append_section_data(info, &[0; 8], 1);
    let data = file.add_section(vec![], b".data".to_vec(), SectionKind::Data);
    file.append_section_data(data, &[0; 8], 8);
    let symbol = file.section_symbol(info);
    let flags =
        RelocationFlags::Generic { kind: RelocationKind::Absolute, encoding: RelocationEncoding::Generic, size: 64 };
    file.add_relocation(data, Relocation { offset: 0, symbol, addend: 0, flags }).unwrap();
    let plain = file.write().unwrap();
    assert!(stripped(&plain).unwrap() == plain, "left alone");
}

#[test]
fn a_group_loses_the_members_that_go() {
    let mut file = Writer::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let section = |file: &mut Writer<'_>, name: &str, kind| {
        let at = file.add_section(vec![], name.into(), kind);
        file.append_section_data(at, &[0; 8], 1);
        at
    };
    let debug = section(&mut file, ".debug_types", SectionKind::Debug);
    let text = section(&mut file, ".text.f", SectionKind::Text);
    section(&mut file, ".modinfo", SectionKind::ReadOnlyData);
    let place = SymbolSection::Section(text);
    let (kind, scope, flags) = (SymbolKind::Text, SymbolScope::Dynamic, SymbolFlags::None);
    let symbol = Symbol { name: b"f".to_vec(), value: 0, size: 0, kind, scope, weak: false, section: place, flags };
    let symbol = file.add_symbol(symbol);
    file.add_comdat(object::write::Comdat { kind: object::ComdatKind::Any, symbol, sections: vec![debug, text] });
    let plain = file.write().unwrap();
    check("m.ko", &plain);
    let stripped = stripped(&plain).unwrap();
    let file = object::File::parse(&*stripped).unwrap();
    let comdat = object::Object::comdats(&file).next().unwrap();
    let names: Vec<_> = object::ObjectComdat::sections(&comdat)
        .map(|at| file.section_by_index(at).unwrap().name().unwrap().to_owned())
        .collect();
    assert_eq!((names, object::ObjectComdat::name(&comdat).unwrap()), (vec![".text.f".to_owned()], "f"));
}

#[test]
fn damage_is_an_error_and_no_panic() {
    let plain = module(Architecture::Arm, &[]);
    for len in 0..plain.len() {
        let _ = stripped(&plain[..len]);
    }
    for at in 0..plain.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bad = plain.clone();
            bad[at] ^= flip;
            let _ = stripped(&bad);
        }
    }
    assert!(stripped(b"hello").is_err() && stripped(&plain[..100]).is_err());
}

/// Ends early where there is no C compiler or binutils, which nothing else here needs.
#[test]
fn strip_1_takes_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let source = "extern int foo(int); static int z = 3; int bar(int a) { return foo(a) + z; }\n\
        inline __attribute__((section(\".init.text\"))) int ini(int a) { return bar(a); } int (*p)(int) = ini;\n";
    fs::write(dir.path().join("m.c"), source).unwrap();
    let run = |program: &str, args: &[&str]| {
        let status =
            Command::new(program).args(args).current_dir(dir.path()).stderr(std::process::Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !run("cc", &["-g", "-O1", "-ffunction-sections", "-c", "m.c", "-o", "m.ko"])
        || !run("strip", &["--strip-debug", "-o", "s.ko", "m.ko"])
    {
        eprintln!("skipped: cc and strip are needed");
        return;
    }
    let [ours, theirs] = ["m.ko", "s.ko"].map(|name| fs::read(dir.path().join(name)).unwrap());
    assert!(check("m.ko", &ours) > 1000);
    let ours = stripped(&ours).unwrap();
    let names = |data: &[u8]| {
        sections(data)
            .into_iter()
            .map(|(name, _, data, relocations)| {
                (
                    name.clone(),
                    if name.starts_with(".rel") || name.contains("str") || name == ".symtab" { vec![] } else { data },
                    relocations,
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&ours), names(&theirs));
    // strip(1) also leaves out symbols of sections that nothing refers to.
    let named =
        |data: &[u8]| symbols(data).into_iter().filter(|symbol| !symbol.contains("Section")).collect::<Vec<_>>();
    assert_eq!(named(&ours), named(&theirs));
}

#[test]
#[ignore = "downloads kernels; make oracle runs it"]
fn oracle_stripped_modules_of_stock_trees_are_what_they_were() {
    for name in ["trixie-amd64", "trixie-arm64", "trixie-armhf", "bookworm-amd64"] {
        let (root, kver) = kernel(name);
        let dir = root.join("lib/modules").join(kver);
        let tree = initmod::host::modules::tree::Tree::open(&dir).unwrap();
        let saved = tree.files.par_iter().map(|file| {
            let plain = codec::decompress(&fs::read(dir.join(&file.path)).unwrap()).unwrap();
            let bare = dropped(&plain).unwrap();
            (check(&file.path, bare), bare.len())
        });
        let (saved, all) = saved.reduce(|| (0, 0), |(a, b), (c, d)| (a + c, b + d));
        eprintln!("{name}: {} modules, {all} bytes, {saved} of them stripped", tree.files.len());
    }
}

#[test]
fn an_image_s_modules_are_stripped_where_no_signature_forbids_it() {
    let fixture = Fixture::new();
    fixture.put(&format!("lib/modules/{KVER}/kernel/big.ko"), module(Architecture::X86_64, &[]));
    fixture.append(&format!("lib/modules/{KVER}/modules.order"), "kernel/big.ko\n");
    fixture.module("kernel/signed.ko.xz", &Ko::new("signed").signed(&[1; 9])).put("loader", Ko::loader().build());
    fixture.put("b.toml", "arch = 'x86_64'\n[modules]\nnames = ['big', 'signed']\n[image]\nstrip = true\n");
    let build = |args: &[&str]| {
        let mut mkinitmod = fixture.mkinitmod("build");
        mkinitmod.args(["--board", "b.toml", "--loader", "loader", "--compress", "none", "-o", "image"]).args(args);
        let output = mkinitmod.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let root = crate::support::rootfs::Rootfs::unpack(&fs::read(fixture.root().join("image")).unwrap());
        let big = root.read(&format!("lib/modules/{KVER}/kernel/big.ko")).unwrap().to_vec();
        (String::from_utf8(output.stdout).unwrap(), big)
    };
    let (text, big) = build(&[]);
    assert!(text.contains("\n1 signed module not stripped (needs --signatures drop)\n"), "{text}");
    assert!(object::File::parse(&*big).unwrap().section_by_name(".debug_info").is_none());
    let (text, _) = build(&["--signatures", "drop"]);
    assert!(!text.contains("stripped") && text.contains("whether the kernel accepts unsigned modules"), "{text}");
}
