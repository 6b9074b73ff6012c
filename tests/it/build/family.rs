// SPDX-License-Identifier: MIT OR Apache-2.0
//! One image for several boards: the union of their modules, and for each what it loads first.

use crate::support::fixture::{Fixture, KVER};
use crate::support::mkdtb::dtb;
use crate::support::mkko::Ko;
use crate::support::rootfs::Rootfs;
use std::fs;
use std::process::Output;

fn board(name: &str) -> Vec<u8> {
    let text = format!(
        "/\nmodel = \"{name}\"\ncompatible = \"acme,{name}\", \"acme,soc\"\n\
        /soc/mmc@1\ncompatible = \"acme,mmc-{name}\"\ncd-gpios = <2 1 0>\n\
        /soc/gpio@2\ncompatible = \"acme,gpio\"\nphandle = <2>\n#gpio-cells = <2>"
    );
    dtb(&text)
}

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    let of = |name: &str, compatible: &str| {
        Ko::new(name).alias(&format!("of:N*T*C{compatible}")).alias(&format!("of:N*T*C{compatible}C*"))
    };
    fixture
        .module("kernel/drivers/mmc/host/mmc-one.ko", &of("mmc_one", "acme,mmc-one"))
        .module("kernel/drivers/mmc/host/mmc-two.ko", &of("mmc_two", "acme,mmc-two"))
        .module("kernel/drivers/gpio/gpio-acme.ko", &of("gpio_acme", "acme,gpio"))
        .module("kernel/drivers/net/extra.ko", &Ko::new("extra"))
        .module("kernel/fs/ext4.ko", &Ko::new("ext4").alias("fs-ext4"))
        .module("kernel/fs/btrfs.ko", &Ko::new("btrfs").alias("fs-btrfs"))
        .builtin("kernel/drivers/mmc/core/mmc_block.ko", &[("alias", "mmc:block")]);
    fixture.put("loader", Ko::loader().build()).put("one.dtb", board("one")).put("two.dtb", board("two"));
    let file = |name: &str, fs: &str, more: &str| {
        format!("arch = 'x86_64'\nroot = 'mmc'\nfs = '{fs}'\n{more}\n[dt]\nblob = '{name}.dtb'\n")
    };
    fixture.put("one.toml", file("one", "ext4", "modules.names = ['extra']\nimage.compress = 'none'"));
    fixture.put("two.toml", file("two", "btrfs", "modprobe.conf = ['options btrfs a=1']"));
    fixture
}

fn run(fixture: &Fixture, args: &[&str]) -> Output {
    let given = ["--loader", "loader", "-o", "image"];
    fixture.mkinitmod("build").args(given).args(args).output().expect("mkinitmod runs")
}

fn build(fixture: &Fixture, args: &[&str]) -> (String, Rootfs) {
    let output = run(fixture, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let root = Rootfs::unpack(&fs::read(fixture.root().join("image")).unwrap());
    (String::from_utf8(output.stdout).unwrap(), root)
}

fn text(root: &Rootfs, path: &str) -> String {
    root.read(path).map_or("none".into(), |data| String::from_utf8(data.into()).unwrap())
}

#[test]
fn each_board_has_a_lane_and_all_have_one() {
    let fixture = fixture();
    let (report, root) = build(&fixture, &["--board", "one.toml", "--board", "two.toml"]);
    assert!(report.starts_with("one, two (x86_64), Linux"), "{report}");
    assert_eq!(text(&root, "etc/initmod/boards/acme,one.conf"), "gpio_acme\nmmc_one\next4\n");
    assert_eq!(text(&root, "etc/initmod/boards/acme,two.conf"), "gpio_acme\nmmc_two\nbtrfs\n");
    assert_eq!(text(&root, "etc/modules-load.d/initmod.conf"), "gpio_acme\nmmc_one\next4\nmmc_two\nbtrfs\n");
    assert_eq!(text(&root, "etc/modprobe.d/initmod.conf"), "options btrfs a=1\n");
    let order = |of: &str| format!("softdep {of} pre: gpio_acme\n");
    assert_eq!(text(&root, "etc/initmod/boards/acme,one.order"), order("mmc_one"));
    assert_eq!(text(&root, "etc/initmod/boards/acme,two.order"), order("mmc_two"));
    assert_eq!(text(&root, "etc/modprobe.d/initmod-order.conf"), order("mmc_one") + &order("mmc_two"));
    assert_eq!(root.files().filter(|path| path.ends_with(".ko")).count(), 6);
    for module in ["mmc_two", "extra"] {
        assert!(report.lines().any(|line| line.starts_with(module)), "{report}");
    }
}

#[test]
fn select_lists_what_each_board_loads_first() {
    let fixture = fixture();
    let select = |args: &[&str]| {
        let mut mkinitmod = fixture.mkinitmod("select");
        let output = mkinitmod.args(["--board", "one.toml", "--board", "two.toml"]).args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(select(&[]).contains("\nloaded first on acme,two: gpio_acme mmc_two btrfs\n"), "{}", select(&[]));
    let json: serde_json::Value = serde_json::from_str(&select(&["--json"])).unwrap();
    assert_eq!(json["load_lists"]["acme,one"], serde_json::json!(["gpio_acme", "mmc_one", "ext4"]));
}

#[test]
fn one_board_has_no_lane_of_its_own() {
    let fixture = fixture();
    let (_, root) = build(&fixture, &["--board", "one.toml"]);
    assert_eq!(text(&root, "etc/modules-load.d/initmod.conf"), "gpio_acme\nmmc_one\next4\n");
    assert!(root.files().all(|path| !path.contains("boards")));
}

#[test]
fn device_trees_alone_do_and_a_board_file_s_others_too() {
    let fixture = fixture();
    let args = ["--dtb", "one.dtb", "--dtb", "two.dtb", "--root", "mmc", "--fs", "ext4"];
    let (_, of_options) = build(&fixture, &args);
    assert_eq!(text(&of_options, "etc/initmod/boards/acme,two.conf"), "gpio_acme\nmmc_two\next4\n");
    fixture.put(
        "three.toml",
        "arch = 'x86_64'\nroot = 'mmc'\nfs = 'ext4'\ndt = { blob = 'one.dtb', also = ['two.dtb'] }\n",
    );
    let (_, of_file) = build(&fixture, &["--board", "three.toml"]);
    assert_eq!(text(&of_file, "etc/initmod/boards/acme,two.conf"), "gpio_acme\nmmc_two\next4\n");
}

#[test]
fn boards_that_share_a_first_compatible_share_a_lane() {
    let fixture = fixture();
    let args = ["--board", "one.toml", "--board", "one.toml", "--fs", "btrfs"];
    let (_, root) = build(&fixture, &args);
    assert_eq!(text(&root, "etc/initmod/boards/acme,one.conf"), "gpio_acme\nmmc_one\nbtrfs\n");
}

#[test]
fn what_two_boards_can_t_both_have_is_told_with_its_key() {
    let fixture = fixture();
    let error = |args: &[&str]| {
        let output = run(&fixture, args);
        let text = String::from_utf8(output.stderr).unwrap().trim_end().to_owned();
        let status = if text.starts_with("mkinitmod: --dtb") { 2 } else { 1 };
        assert_eq!(output.status.code(), Some(status), "{text}");
        text
    };
    fixture.put("xz.toml", "arch = 'x86_64'\nimage.compress = 'xz'\n").put("arm.toml", "arch = 'armv7'\n");
    assert_eq!(
        error(&["--board", "one.toml", "--board", "xz.toml"]),
        "mkinitmod: xz.toml: image.compress: conflicts with one.toml"
    );
    assert_eq!(
        error(&["--board", "one.toml", "--board", "arm.toml"]),
        "mkinitmod: arm.toml: arch: conflicts with one.toml"
    );
    assert_eq!(
        error(&["--board", "one.toml", "--board", "two.toml", "--dtb", "one.dtb"]),
        "mkinitmod: --dtb: cannot be used with several --board; set dt.blob in each board file"
    );
    fixture.put("bad.toml", "arch = 'x86_64'\nroot = 'sata'\ndt.blob = 'two.dtb'\n");
    assert_eq!(
        error(&["--board", "one.toml", "--board", "bad.toml"]),
        "mkinitmod: bad.toml: root: sata: the device tree has no enabled node of that type; it has: mmc"
    );
}

#[test]
fn bad_input_is_named_and_the_image_that_was_there_stays() {
    let fixture = fixture();
    fixture.put("cut.dtb", &board("one")[..200]).put("image", "as it was");
    let cape = "/f\ntarget = <0>\n/f/__overlay__\nx\n/__fixups__\neth = \"/f:target:0\"";
    fixture.put("cape.dtbo", dtb(cape)).put("slip.toml", "arch = 'x86_64'\n[image]\ncompres = 'xz'\n");
    fixture.put("gone.toml", "arch = 'x86_64'\n[modules]\nnames = ['mmc-ome']\n").put("arm.toml", "arch = 'armv7'\n");
    let kernel = Ko::new("old").info("vermagic", "6.1.0 SMP mod_unload");
    fixture.module("kernel/old.ko", &kernel).put("old.toml", "arch = 'x86_64'\nmodules.names = ['old']\n");
    let tree = format!("lib/modules/{KVER}");
    for (args, want) in [
        (&["--dtb", "cut.dtb"][..], "cut.dtb: the device tree is truncated at offset 0xc8".into()),
        (
            &["--dtb", "one.dtb", "--overlay", "cape.dtbo"],
            "cape.dtbo: needs label eth, but the device tree has no labels; compile it with dtc -@".into(),
        ),
        (&["--board", "slip.toml"], "slip.toml:3: unknown key `compres`; did you mean `compress`?".into()),
        (
            &["--board", "gone.toml"],
            "gone.toml: modules.names: the tree has no module `mmc-ome`; did you mean `mmc_one`?".into(),
        ),
        (&["--board", "arm.toml"], format!("arm.toml: arch: is armv7, but the modules of {tree} are for x86_64")),
        (
            &["--board", "old.toml"],
            format!(
                "{tree}/kernel/old.ko: is for Linux 6.1.0, not {KVER}: vermagic `6.1.0 SMP mod_unload`, the kernel's `{KVER} SMP \
            mod_unload modversions`, only the kernel has modversions; pass a tree with its build for this kernel, or leave it out: modules.exclude"
            ),
        ),
        (
            &["--dtb", "one.dtb", "--root", "/soc/mcm@1"],
            "command line: root: /soc/mcm@1: the device tree has no node `/soc/mcm@1`; did you mean `/soc/mmc@1`?"
                .into(),
        ),
    ] {
        let output = run(&fixture, args);
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("mkinitmod: {want}\n"));
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(fs::read(fixture.root().join("image")).unwrap(), b"as it was", "{want}");
    }
}
