// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts the instructions of single parts by callgrind: `cargo bench --bench parts [NAME]`. Unlike time, they are the same on
//! a busy machine, and a change of a percent shows.
//!
//! The tree is made by code: 4,000 modules, each with two dependencies and three PCI aliases. The program runs itself under
//! valgrind, once per part, which is counted from entry to return of [`counted`]; set-up is not. The loader's decoders are
//! counted as the difference between two runs of its `modinfo`, on a compressed module and on the same one uncompressed.
//! The last column compares with the run before, which target/bench/parts keeps.
#![allow(unreachable_pub, reason = "the modules of a benchmark are its own library")]

#[path = "../it/support/mod.rs"]
#[allow(dead_code, reason = "tests/it uses the rest")]
mod support;

use initmod::host::depmod::indexes;
use initmod::host::modules::scan::scan;
use initmod::host::modules::tree::Tree;
use initmod::loading::kernel::Outcome;
use initmod::loading::plan::Plan;
use initmod::loading::schedule::Schedule;
use initmod::modules::config::Config;
use initmod::modules::index::Index;
use initmod::modules::resolve::{IndexFile, Indexes, Resolver};
use initmod::zstd;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};
use support::fixture::{Fixture, compress};
use support::mkko::Ko;
use support::modprobe::Modprobe;

/// Modules of the tree.
const COUNT: usize = 4000;

/// The run of a part, whose instructions are counted.
enum Count {
    /// Of a call of [`counted`], in the tree's directory.
    Call(fn(&Path)),
    /// Of the loader's `modinfo` on a file with this suffix.
    Modinfo(&'static str),
}

/// Name, units that one run works on, and their word.
const PARTS: [(&str, usize, &str, Count); 10] = [
    ("index-exact", COUNT, "look-up", Count::Call(index_exact)),
    ("index-wildcard", COUNT, "look-up", Count::Call(index_wildcard)),
    ("resolve", COUNT, "modalias", Count::Call(resolve)),
    ("plan", COUNT, "module", Count::Call(plan)),
    ("schedule", COUNT, "module", Count::Call(schedule)),
    ("decode-zst", SAMPLE_LEN, "byte", Count::Call(decode_zst)),
    ("loader-gz", SAMPLE_LEN, "byte", Count::Modinfo(".gz")),
    ("loader-xz", SAMPLE_LEN, "byte", Count::Modinfo(".xz")),
    ("loader-zst", SAMPLE_LEN, "byte", Count::Modinfo(".zst")),
    ("depmod-emit", COUNT, "module", Count::Call(depmod_emit)),
];

/// Bytes of the module that is decoded, about.
const SAMPLE_LEN: usize = 1 << 20;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [part, name, dir] = &args[..]
        && part == "--part"
    {
        let (.., count) = PARTS.into_iter().find(|(known, ..)| known == name).expect("the parent knows the parts");
        if let Count::Call(run) = count {
            run(dir.as_ref());
        }
        return ExitCode::SUCCESS;
    }
    let fixture = fixture();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/parts");
    let mut counts = read_counts(&kept);
    println!("{:<16} {:>14} {:>22} {:>9}", "part", "instructions", "each", "change");
    for (name, units, word, count) in PARTS {
        if args.iter().any(|wanted| !name.contains(wanted.as_str())) {
            continue;
        }
        let found = match count {
            Count::Call(_) => {
                let dir = fixture.modules_dir();
                let exe = env::current_exe().expect("the kernel knows the program's path");
                callgrind(Command::new(exe).args(["--part", name]).arg(dir), Some("parts::counted*"))
            }
            Count::Modinfo(suffix) => {
                modinfo(&fixture, suffix).zip(modinfo(&fixture, "")).map(|(all, bare)| all - bare)
            }
        };
        let Some(found) = found else {
            println!("{name:<16} {:>14}", "failed");
            return ExitCode::FAILURE;
        };
        let each = format!("{:.1} a {word}", found as f64 / units as f64);
        let change = counts.insert(name.to_owned(), found).map(|before| 100.0 * (found as f64 / before as f64 - 1.0));
        let change = change.map_or(String::new(), |percent| format!("{percent:+.2} %"));
        println!("{name:<16} {found:>14} {each:>22} {change:>9}");
    }
    let text: String = counts.iter().map(|(name, count)| format!("{name} {count}\n")).collect();
    fs::create_dir_all(kept.parent().expect("it is in target"))
        .and_then(|()| fs::write(&kept, text))
        .expect("target can be written");
    ExitCode::SUCCESS
}

/// Calls a part; callgrind counts from here to the return.
#[inline(never)]
fn counted(part: &mut dyn FnMut()) {
    part();
}

/// Runs a program under callgrind and returns its instructions, all or those of one function and what it calls.
fn callgrind(command: &Command, function: Option<&str>) -> Option<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(function.map(|name| format!("--toggle-collect={name}")));
    let output = valgrind.arg(command.get_program()).args(command.get_args()).output();
    let output = output.unwrap_or_else(|error| panic!("valgrind: {error}; `config/setup bench` installs it"));
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    if !output.status.success() || count.is_none() {
        eprintln!("{command:?}: {}\n{said}", output.status);
        return None;
    }
    count
}

/// Counts a run of the loader's `modinfo` on the sample.
fn modinfo(fixture: &Fixture, suffix: &str) -> Option<u64> {
    let Modprobe::Loader(loader) = Modprobe::loader() else { return None };
    callgrind(Command::new(loader).args(["modinfo", "-F", "name"]).arg(sample(&fixture.modules_dir(), suffix)), None)
}

fn read_counts(path: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?))).collect()
}

fn name(number: usize) -> String {
    format!("mod_{number:04}")
}

/// Returns a modalias that the first alias of a module matches.
fn modalias(number: usize) -> String {
    format!("pci:v{:08X}d{number:08X}sv00001234sd00005678bc02sc00i00", 0x8086 + number % 40)
}

/// Makes the tree, its indexes, and the sample in each form.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    for number in 0..COUNT {
        let mut ko = Ko::new(&name(number)).export(&format!("symbol_{number}"));
        for needed in [number / 2, number / 3].into_iter().filter(|needed| *needed < number) {
            ko = ko.import(&format!("symbol_{needed}"));
        }
        let vendor = 0x8086 + number % 40;
        for device in [number, number + COUNT, number + 2 * COUNT] {
            ko = ko.alias(&format!("pci:v{vendor:08X}d{device:08X}sv*sd*bc*sc*i*"));
        }
        fixture.module(&format!("kernel/drivers/{}/{}.ko", number % 40, name(number)), &ko);
    }
    fixture.index();
    let mut state = 34u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 40
    };
    // A third of it random, as machine code is about.
    let texts = (0..SAMPLE_LEN / 32).map(|_| format!("movl {:06x} the register", random()));
    let ko = texts.fold(Ko::new("sample"), |ko, text| ko.info("parm", &text)).build();
    for suffix in ["", ".gz", ".xz", ".zst"] {
        fs::write(sample(&fixture.modules_dir(), suffix), compress(suffix, &ko)).expect("the root can be written");
    }
    fixture
}

fn sample(dir: &Path, suffix: &str) -> PathBuf {
    dir.join(format!("sample.ko{suffix}"))
}

/// Lends the resolver of the tree.
fn with_resolver(dir: &Path, run: impl FnOnce(Resolver<'_>)) {
    let files = IndexFile::ALL.map(|file| fs::read(dir.join(file.file_name())).expect("the parent made it"));
    let indexes = Indexes(files.each_ref().map(|file| Index::new(file).expect("an index")));
    run(Resolver {
        indexes,
        config: Config::new(
            (0..100)
                .map(|n| {
                    format!(
                        "softdep mod_{:04} pre: mod_{:04} post: pci:v{:08X}d{:08X}sv0sd0bc0sc0i0\n",
                        40 * n + 39,
                        40 * n,
                        0x8086 + n % 40,
                        n
                    )
                })
                .collect::<String>()
                .leak()
                .as_bytes(),
            b"",
        ),
    });
}

fn index_exact(dir: &Path) {
    let names: Vec<String> = (0..COUNT).map(name).collect();
    with_resolver(dir, |resolver| {
        counted(&mut || {
            for name in &names {
                assert!(matches!(resolver.indexes.dep(name.as_bytes()), Ok(Some(_))));
            }
        });
    });
}

fn index_wildcard(dir: &Path) {
    let modaliases: Vec<String> = (0..COUNT).map(modalias).collect();
    with_resolver(dir, |resolver| {
        counted(&mut || {
            for modalias in &modaliases {
                let mut count = 0;
                let mut each = |_: initmod::modules::index::Value<'_>| {
                    count += 1;
                    Ok(())
                };
                let found = resolver.indexes.0[IndexFile::Alias as usize].search(modalias.as_bytes(), &mut each);
                assert!(found.is_ok() && count == 1);
            }
        });
    });
}

fn resolve(dir: &Path) {
    let modaliases: Vec<String> = (0..COUNT).map(modalias).collect();
    with_resolver(dir, |resolver| {
        counted(&mut || {
            for modalias in &modaliases {
                let mut matches = heapless::Vec::<_, 16>::new();
                assert!(resolver.resolve(modalias.as_bytes(), &mut matches).is_ok() && matches.len() == 1);
            }
        });
    });
}

fn plan(dir: &Path) {
    with_plan(dir, true, |_| ());
}

fn schedule(dir: &Path) {
    with_plan(dir, false, |plan| {
        let (mut edges, mut firsts) = (heapless::Vec::<_, 65536>::new(), heapless::Vec::<_, COUNT>::new());
        counted(&mut || {
            let mut schedule = Schedule::new(&mut edges, &mut firsts, b"", b"");
            schedule.extend(plan);
            let (mut count, end) = (0, plan.end());
            while let Some(id) = schedule.next(plan, end) {
                schedule.done(plan, id, Outcome::Loaded);
                count += 1;
            }
            assert_eq!(count, COUNT);
        });
    });
}

/// Plans all modules, the last first, and lends the plan.
fn with_plan(dir: &Path, is_counted: bool, run: impl FnOnce(&mut Plan<'_, '_>)) {
    let names: Vec<String> = (0..COUNT).rev().map(name).collect();
    with_resolver(dir, |resolver| {
        let (mut steps, mut soft_edges) = (heapless::Vec::<_, COUNT>::new(), heapless::Vec::<_, COUNT>::new());
        let (mut visited, mut matches) = (heapless::Vec::<_, COUNT>::new(), heapless::Vec::<_, 64>::new());
        let mut plan = Plan::new(&mut steps, &mut visited, &mut matches).scheduled(&mut soft_edges, &mut []);
        let mut make = || {
            for name in &names {
                let line = resolver.indexes.dep(name.as_bytes()).expect("a good index").expect("the tree has it");
                plan.add(&resolver, line).expect("the buffers are large enough");
            }
        };
        if is_counted {
            counted(&mut make)
        } else {
            make()
        }
        assert_eq!(plan.steps.len(), COUNT);
        run(&mut plan);
    });
}

fn decode_zst(dir: &Path) {
    let data = fs::read(sample(dir, ".zst")).expect("the parent made it");
    let len = zstd::needs(&data).expect("a good file").len as usize;
    let (mut out, mut literals) = (vec![0; len], vec![0; zstd::BLOCK_LEN]);
    counted(&mut || assert_eq!(zstd::decode(&data, &mut out, &mut literals), Some(len)));
    black_box(out);
}

fn depmod_emit(dir: &Path) {
    let tree = Tree::open(dir).expect("the parent made it");
    let modules = scan(&tree).expect("its modules can be read");
    let builtin = tree.builtin();
    // callgrind toggles per thread: all has to run in this one.
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread can be made");
    one.install(|| counted(&mut || _ = black_box(indexes(builtin, &modules).expect("it can be indexed"))));
}
