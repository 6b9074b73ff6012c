// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mkinitmod build`: from a board file and a tree to the bytes of an image.

use crate::support::fixture::{Fixture, KVER};
use crate::support::mkko::Ko;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output};

/// A tree with a disk driver, a file system that asks for crc32c by a softdep, and two that serve it.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture
        .module(
            "kernel/fs/ext4/ext4.ko.xz",
            &Ko::new("ext4").import("jbd2_start").depends("jbd2").info("softdep", "pre: crc32c"),
        )
        .module("kernel/fs/jbd2/jbd2.ko.xz", &Ko::new("jbd2").export("jbd2_start").import("crc16").depends("crc16"))
        .module("kernel/lib/crc16.ko", &Ko::new("crc16").export("crc16"))
        .module("kernel/crypto/crc32c_generic.ko.gz", &Ko::new("crc32c_generic").alias("crc32c"))
        .module(
            "kernel/arch/x86/crypto/crc32c-intel.ko",
            &Ko::new("crc32c_intel").alias("crc32c").alias("crypto-crc32c"),
        )
        .module("kernel/drivers/mmc/host/some-mmc.ko.zst", &Ko::new("some_mmc").alias("of:N*T*Cacme,mmc"))
        .module("kernel/drivers/mmc/host/other-mmc.ko", &Ko::new("other_mmc").info("softdep", "post: nowhere"))
        .module("kernel/net/orphan.ko", &Ko::new("orphan").import("gone").depends("gone"))
        .builtin("kernel/drivers/mmc/core/mmc_block.ko", &[("alias", "mmc:block"), ("license", "GPL")]);
    fixture.put("loader", Ko::loader().build());
    fixture
}

/// Runs `mkinitmod build` on the board file's text; the image is `image` in the fixture's root.
fn build(fixture: &Fixture, board: &str, args: &[&str]) -> Output {
    fixture.put("boards/b.toml", format!("arch = \"x86_64\"\n{board}\n"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_mkinitmod"));
    command.current_dir(fixture.root()).env_remove("SOURCE_DATE_EPOCH");
    command.args(["build", "--no-cache", "--board", "boards/b.toml", "-o", "image"]).args(args);
    let modules = format!("lib/modules/{KVER}");
    for (option, value) in [("--loader", "loader"), ("--modules", &*modules)] {
        if !args.contains(&option) {
            command.args([option, value]);
        }
    }
    command.output().expect("mkinitmod runs")
}

fn table(fixture: &Fixture, board: &str) -> Vec<String> {
    let output = build(fixture, board, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with("module ")).skip(1).take_while(|line| !line.is_empty());
    rows.map(|row| {
        row.split_whitespace()
            .enumerate()
            .filter(|(at, _)| *at != 1)
            .map(|(_, word)| word)
            .collect::<Vec<_>>()
            .join(" ")
    })
    .collect()
}

fn error(fixture: &Fixture, board: &str, args: &[&str]) -> String {
    fixture.put("image", "as it was");
    let output = build(fixture, board, args);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(fs::read(fixture.root().join("image")).unwrap(), b"as it was");
    let stderr = String::from_utf8(output.stderr).unwrap().replace(&*fixture.root().to_string_lossy(), "");
    stderr.strip_suffix('\n').unwrap().to_owned()
}

/// What an uncompressed image holds: path -> mode and content.
fn unpack(image: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
    let (mut rest, mut files) = (image, BTreeMap::new());
    loop {
        let mut entry = cpio::newc::Reader::new(rest).unwrap();
        let (name, mode) = (entry.entry().name().to_owned(), entry.entry().mode());
        if name == "TRAILER!!!" {
            let tail = entry.finish().unwrap();
            assert!(tail.len() >= 512 && tail.iter().all(|&byte| byte == 0));
            return files;
        }
        let mut data = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut data).unwrap();
        assert!(files.insert(name, (mode, data)).is_none());
        rest = entry.finish().unwrap();
    }
}

fn image(fixture: &Fixture, board: &str, args: &[&str]) -> BTreeMap<String, (u32, Vec<u8>)> {
    let output = build(fixture, board, &[&["--compress", "none", "--quiet"], args].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.stdout, output.stderr), (vec![], vec![]));
    unpack(&fs::read(fixture.root().join("image")).unwrap())
}

#[test]
fn each_module_has_its_first_reason() {
    let fixture = fixture();
    let rows = table(&fixture, "[modules]\nload = ['some-mmc', 'ext4']\nglobs = ['*-mmc']\nnames = ['jbd2']");
    let want = [
        "some_mmc load",
        "ext4 load",
        "jbd2 names",
        "other_mmc glob *-mmc",
        "crc32c_generic softdep of ext4",
        "crc32c_intel softdep of ext4",
        "crc16 needed by jbd2",
    ];
    assert_eq!(rows, want);
    let rows = table(
        &fixture,
        "[modules]\ndirs = ['kernel/drivers/mmc/']\naliases = ['crypto-crc32c', 'of:NxT(null)Cacme,mmc']",
    );
    let want =
        ["some_mmc dir kernel/drivers/mmc", "other_mmc dir kernel/drivers/mmc", "crc32c_intel alias crypto-crc32c"];
    assert_eq!(rows, want);
}

#[test]
fn what_is_built_in_or_optional_need_not_be_there() {
    let fixture = fixture();
    let board = "[modules]\nload = ['mmc_block', 'mmc:block']\nnames = ['other_mmc']\n[modules.optional]\n\
        names = ['nowhere']\nglobs = ['no*where']\ndirs = ['kernel/none']\naliases = ['no:alias']\n\
        [modules.expected-missing]\nnames = ['unsaid']";
    let text = String::from_utf8(build(&fixture, board, &[]).stdout).unwrap();
    assert!(text.contains("built in: mmc_block (load)\nbuilt in: mmc:block (load)\n"), "{text}");
    assert!(text.contains("missing: nowhere (softdep of other_mmc; modprobe ignores it)\n"), "{text}");
    assert!(text.contains("missing: nowhere (modules.optional.names)\n") && !text.contains("unsaid"), "{text}");
    assert!(text.contains("\n1 module "), "{text}");
}

#[test]
fn the_board_s_own_modprobe_conf_counts_in_the_selection() {
    let fixture = fixture();
    let board = "[modules]\nload = ['root-disk', 'ext4']\n[modprobe]\n\
        conf = ['alias root_disk some_mmc', 'softdep some_mmc pre: other-mmc', 'options ext4 x=1']";
    let rows = table(&fixture, board);
    assert!(
        rows.contains(&"some_mmc load".into()) && rows.contains(&"other_mmc softdep of some_mmc".into()),
        "{rows:?}"
    );
    let files = image(&fixture, board, &[]);
    let conf = "alias root_disk some_mmc\nsoftdep some_mmc pre: other-mmc\noptions ext4 x=1\n";
    assert_eq!(files["etc/modprobe.d/initmod.conf"].1, conf.as_bytes());
    assert_eq!(files["etc/modules-load.d/initmod.conf"].1, b"root-disk\next4\n");

    let rows = table(&fixture, "[modules]\naliases = ['crc32c']\n[modprobe]\nconf = ['blacklist crc32c-intel']");
    assert_eq!(rows, ["crc32c_generic alias crc32c"], "the device would not load what is blacklisted");
    let rows = table(&fixture, "[modules]\nload = ['ext4']\n[modprobe]\nconf = ['blacklist crc32c-intel']");
    assert!(rows.contains(&"crc32c_intel softdep of ext4".into()), "no softdep is held up by a blacklist");
}

#[test]
fn an_exclusion_keeps_a_provider_out_but_no_dependency() {
    let fixture = fixture();
    let rows = table(&fixture, "[modules]\nload = ['ext4']\nexclude = ['crc32c-generic']");
    assert_eq!(rows, ["ext4 load", "jbd2 needed by ext4", "crc32c_intel softdep of ext4", "crc16 needed by jbd2"]);
    let error = |board| error(&fixture, board, &[]);
    assert_eq!(
        error("[modules]\nload = ['ext4']\nexclude = ['crc16']"),
        "mkinitmod: boards/b.toml: modules.exclude: crc16 cannot be excluded; it is needed: load -> ext4 -> jbd2 -> crc16"
    );
    assert_eq!(
        error("[modules]\nnames = ['ext4']\nexclude = ['ext4']"),
        "mkinitmod: boards/b.toml: modules.names: `ext4` resolves to modules of modules.exclude only; remove it from one of the lists"
    );
}

#[test]
fn errors_name_the_file_the_key_and_the_right_spelling() {
    let fixture = fixture();
    let error = |board: &str, args: &[&str]| error(&fixture, board, args);
    assert_eq!(error("[module]\n", &[]), "mkinitmod: boards/b.toml:2: unknown key `module`; did you mean `modules`?");
    let module = |list: &str, name: &str| error(&format!("[modules]\n{list} = ['{name}']"), &[]);
    let start = "mkinitmod: boards/b.toml: modules.";
    assert_eq!(module("load", "ext5"), format!("{start}load: the tree has no module `ext5`; did you mean `ext4`?"));
    assert_eq!(
        module("dirs", "kernel/driver"),
        format!("{start}dirs: the tree has no module in `kernel/driver`; did you mean `kernel/drivers`?")
    );
    assert_eq!(
        module("names", "crc32c"),
        format!("{start}names: `crc32c` is an alias, not a modname; move it to modules.aliases")
    );
    assert_eq!(module("globs", "x*y"), format!("{start}globs: no module matches `x*y`"));
    assert_eq!(module("aliases", "of:x"), format!("{start}aliases: no module matches the alias `of:x`"));
    assert_eq!(module("aliases", "a[b"), format!("{start}aliases: `a[b` has unbalanced brackets"));
    assert_eq!(
        module("names", "orphan"),
        format!("mkinitmod: lib/modules/{KVER}/kernel/net/orphan.ko: needs gone, which the tree does not have")
    );
    assert_eq!(error("", &["--modules", "nowhere"]), "mkinitmod: --modules nowhere: No such file or directory");
    assert_eq!(error("", &["--loader", "nowhere"]), "mkinitmod: --loader nowhere: No such file or directory");
    assert_eq!(
        error("modules.load = ['crc16']\n[image]\nfiles = [{ from = '../loader', to = '/init' }]", &[]),
        "mkinitmod: boards/b.toml: image.files: the image already has /init"
    );
}

#[test]
fn what_another_machine_or_kernel_takes_is_refused() {
    let fixture = fixture();
    fixture.module("kernel/arm.ko.xz", &Ko::new("arm").elf32()).put("other", Ko::new("o").machine(183).build());
    assert_eq!(
        error(&fixture, "[modules]\nnames = ['arm']", &[]),
        format!("mkinitmod: lib/modules/{KVER}/kernel/arm.ko.xz: is for armv7, not x86_64")
    );
    fixture.module("kernel/old.ko", &Ko::new("old").info("vermagic", "6.1.0 SMP mod_unload"));
    assert_eq!(
        error(&fixture, "[modules]\nnames = ['old']", &[]),
        format!(
            "mkinitmod: lib/modules/{KVER}/kernel/old.ko: is for Linux 6.1.0, not {KVER}: vermagic `6.1.0 SMP mod_unload`, \
            the kernel's `{KVER} SMP mod_unload modversions`, only the kernel has modversions; pass a tree with its build for this kernel, or leave it out: \
            modules.exclude"
        )
    );
    assert_eq!(error(&fixture, "", &["--loader", "other"]), "mkinitmod: other: is for aarch64, not x86_64");
    fixture.put("other", Ko::new("o").elf32().machine(8).big_endian().build());
    assert_eq!(error(&fixture, "", &["--loader", "other"]), "mkinitmod: other: is for mips, not x86_64");
    assert_eq!(error(&fixture, "", &["--loader", "boards/b.toml"]), "mkinitmod: boards/b.toml: not an ELF file");
}

#[test]
fn damage_matters_in_wanted_modules_only() {
    let fixture = fixture();
    fixture.put(&format!("lib/modules/{KVER}/kernel/bad.ko"), "this is no module");
    let output = build(&fixture, "[modules]\nload = ['crc16']", &[]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.contains("kernel/bad.ko: neither ELF nor"), "{told}");
    let told = error(&fixture, "[modules]\nload = ['bad']", &[]);
    assert!(told.ends_with("modules.load: the tree has no module `bad`"), "{told}");
}

#[test]
fn the_image_has_its_places_and_nothing_else() {
    let fixture = fixture();
    fixture.put("boards/hosts", "127.0.0.1 localhost\n");
    let board = "[modules]\nload = ['crc16']\n[image]\nfiles = [{ from = 'hosts', to = '/etc/hosts', mode = 0o600 }]";
    let files = image(&fixture, board, &[]);
    let tree = format!("lib/modules/{KVER}/");
    let listed: Vec<_> =
        files.iter().filter(|(path, _)| !path.starts_with(&tree)).map(|(path, (mode, _))| (&**path, *mode)).collect();
    let dir = |path| (path, 0o40755);
    let want = [
        dir("dev"),
        ("dev/console", 0o20600),
        ("dev/null", 0o20666),
        dir("etc"),
        ("etc/hosts", 0o100_600),
        dir("etc/modules-load.d"),
        ("etc/modules-load.d/initmod.conf", 0o100_644),
        ("init", 0o100_755),
        dir("lib"),
        dir("lib/modules"),
        dir(&tree[..tree.len() - 1]),
        dir("proc"),
        dir("root"),
        dir("run"),
        dir("sbin"),
        ("sbin/modprobe", 0o120_777),
        dir("sys"),
    ];
    assert_eq!(listed, want);
    assert_eq!(files["sbin/modprobe"].1, b"/init");
    assert_eq!(files["init"].1, fs::read(fixture.root().join("loader")).unwrap());
    assert_eq!(files[&format!("{tree}modules.order")].1, b"kernel/lib/crc16.ko\n");
    assert_eq!(files[&format!("{tree}modules.builtin.modinfo")].1, b"mmc_block.alias=mmc:block\0");
}

#[test]
fn the_indexes_are_those_of_the_image_s_own_tree() {
    let fixture = fixture();
    for format in ["keep", "none", "gz", "xz", "zst"] {
        let files = image(&fixture, "[modules]\nload = ['some_mmc', 'ext4']", &["--module-format", format]);
        let out = tempfile::tempdir().unwrap();
        for (path, (mode, data)) in files.iter().filter(|(path, _)| path.starts_with("lib/")) {
            let path = out.path().join(path);
            if mode & 0o170_000 == 0o40000 { fs::create_dir_all(path).unwrap() } else { fs::write(path, data).unwrap() }
        }
        let tree = initmod::host::modules::tree::Tree::open(&out.path().join("lib/modules").join(KVER)).unwrap();
        let modules = initmod::host::modules::scan::scan(&tree).unwrap();
        assert_eq!(modules.len(), 6, "{format}");
        let suffix = ["", ".gz", ".xz", ".zst"].into_iter().find(|suffix| suffix.ends_with(format)).unwrap_or("");
        let packed = |path: &str| path.ends_with(&format!(".ko{suffix}"));
        assert!(format == "keep" || modules.iter().all(|module| packed(&module.path)), "{format}");
        for (name, data) in initmod::host::depmod::indexes(tree.builtin(), &modules).unwrap() {
            assert!(files[&format!("lib/modules/{KVER}/{name}")].1 == data, "{format}: {name}");
        }
    }
}

#[test]
fn same_inputs_give_the_same_bytes() {
    let fixture = fixture();
    let board = "[modules]\nglobs = ['*mmc', 'crc*']\nload = ['ext4']\n[image]\nmodules = 'xz'";
    for format in ["none", "gz", "xz", "zst", "lz4"] {
        let bytes = ["1", "4"].map(|threads| {
            fixture.put("boards/b.toml", format!("arch = \"x86_64\"\n{board}\n"));
            let mut command = fixture.mkinitmod("build");
            command.env("RAYON_NUM_THREADS", threads).env("SOURCE_DATE_EPOCH", "1700000000");
            command.args(["-q", "--board", "boards/b.toml", "--loader", "loader", "--compress", format]);
            assert!(command.args(["-o", threads]).status().unwrap().success());
            fs::read(fixture.root().join(threads)).unwrap()
        });
        assert!(bytes[0] == bytes[1], "{format}");
    }
    assert_eq!(leftovers(&fixture), [""; 0]);
}

/// Names of what an image is written to before it has its own name.
fn leftovers(fixture: &Fixture) -> Vec<String> {
    let names = fs::read_dir(fixture.root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

#[test]
fn a_full_disk_and_a_kill_leave_the_image_that_was_there() {
    let fixture = fixture();
    let (program, modules) = (env!("CARGO_BIN_EXE_mkinitmod"), format!("lib/modules/{KVER}"));
    fixture.put(
        "boards/b.toml",
        "arch = 'x86_64'\nmodules.load = ['crc16']\nimage.files = [{ from = 'big', to = '/big' }]\n",
    );
    fixture.put("boards/big", vec![1; 64 << 20]).put("image", "as it was");
    let args = format!(
        "build -q --no-cache --board boards/b.toml --loader loader --compress none -o image --modules {modules}"
    );
    // A limit on the length of files fails as a full disk does, in the middle of it.
    let mut full = Command::new("sh");
    full.args(["-c", &format!("trap '' XFSZ; ulimit -f 2048; exec {program} {args}")]).current_dir(fixture.root());
    let output = full.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "mkinitmod: image: File too large\n");
    assert_eq!((fs::read(fixture.root().join("image")).unwrap(), leftovers(&fixture)), (b"as it was".to_vec(), vec![]));

    for _ in 0..5 {
        fixture.put("image", "as it was");
        let mut child = Command::new(program).args(args.split(' ')).current_dir(fixture.root()).spawn().unwrap();
        while leftovers(&fixture).is_empty() && child.try_wait().unwrap().is_none() {}
        // Done by now, or in the middle of it.
        let _ = child.kill();
        let is_done = child.wait().unwrap().success();
        let image = fs::read(fixture.root().join("image")).unwrap();
        assert!(image == b"as it was" && !is_done || image.len() > 64 << 20, "{} bytes", image.len());
        leftovers(&fixture).iter().for_each(|name| fs::remove_file(fixture.root().join(name)).unwrap());
    }
}

#[test]
fn files_have_the_time_that_is_asked_for() {
    let fixture = fixture();
    fixture.put("boards/b.toml", "arch = 'x86_64'\nmodules.load = ['crc16']\n");
    let build = |time: &str| {
        let mut command = fixture.mkinitmod("build");
        command.args(["-q", "--board", "boards/b.toml", "--loader", "loader", "-o", "image", "--compress", "none"]);
        command.env("SOURCE_DATE_EPOCH", time).output().unwrap()
    };
    assert!(build("1700000000").status.success());
    let image = fs::read(fixture.root().join("image")).unwrap();
    assert_eq!(cpio::newc::Reader::new(&image[..]).unwrap().entry().mtime(), 1_700_000_000);
    let told = String::from_utf8(build("yesterday").stderr).unwrap();
    assert_eq!(told, "mkinitmod: SOURCE_DATE_EPOCH: `yesterday` is not a time in seconds below 2^32\n");
}

/// Status 2 for a wrong command line, 1 for work that failed; all that is wrong in one run.
#[test]
fn all_that_is_missing_is_named_with_its_option() {
    let fixture = fixture();
    fixture.put("x.toml", "arch = 'x86_64'\n[modules]\nnames = ['nowhere', 'mmc_blok']\nglobs = ['no*']\n");
    let run = |args: &[&str]| {
        let output = fixture.mkinitmod("build").args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, text) = run(&[
        "--board",
        "x.toml",
        "--config",
        "c",
        "--early",
        "e",
        "--append",
        "a",
        "-o",
        "nodir/image",
        "--manifest",
        "nodir/m",
    ]);
    let want = "mkinitmod: --config c: No such file or directory\nmkinitmod: --append a: No such file or directory\n\
        mkinitmod: --early e: No such file or directory\nmkinitmod: --output nodir/image: there is no directory nodir\n\
        mkinitmod: --manifest nodir/m: there is no directory nodir\n";
    assert_eq!((status, text.as_str()), (Some(1), want));
    let (status, text) = run(&["--board", "x.toml", "--loader", "loader", "-o", "image"]);
    assert_eq!(status, Some(1));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 3 && lines.iter().all(|line| line.starts_with("mkinitmod: x.toml: modules.")), "{text}");
    let (status, text) = run(&["--board", "x.toml", "--root", "UUID=1", "-o", "image"]);
    assert_eq!(status, Some(2));
    assert!(text.starts_with("mkinitmod: --root: `UUID=1` names a partition"), "{text}");
    let (status, text) = run(&["--moduels", "x"]);
    assert!(status == Some(2) && text.starts_with("mkinitmod: unexpected argument '--moduels'"), "{text}");
}
