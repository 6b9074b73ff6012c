// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a device tree to modules: `mkinitmod select`, `why`, and `build` without a board file.

use crate::support::fixture::Fixture;
use crate::support::mkdtb::dtb;
use crate::support::mkko::Ko;
use crate::support::rootfs::Rootfs;
use std::fs;
use std::process::Output;

/// An MMC host with two suppliers: a GPIO, and a regulator that is an MFD cell of a PMIC on an I2C bus.
const BOARD: &str = "/
model = \"Acme One\"
/soc
compatible = \"simple-bus\"
/soc/mmc@1
compatible = \"acme,mmc\"
cd-gpios = <2 1 0>
vmmc-supply = <3>
backlight = <4>
/soc/gpio@2
compatible = \"acme,gpio\"
phandle = <2>
#gpio-cells = <2>
/soc/i2c@3
compatible = \"acme,i2c\"
/soc/i2c@3/pmic@34
compatible = \"acme,pmic\"
/soc/i2c@3/pmic@34/regulators/ldo1
phandle = <3>
/soc/i2c@3/rtc@68
compatible = \"maxim,ds1307\"
/backlight
compatible = \"pwm-backlight\"
phandle = <4>
/soc/ethernet@5
compatible = \"acme,eth\"
status = \"disabled\"
/__symbols__
eth = \"/soc/ethernet@5\"";

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    let of = |name: &str, compatible: &str| {
        Ko::new(name).alias(&format!("of:N*T*C{compatible}")).alias(&format!("of:N*T*C{compatible}C*"))
    };
    fixture
        .module("kernel/drivers/mmc/host/acme-mmc.ko", &of("acme_mmc", "acme,mmc"))
        .module("kernel/drivers/gpio/gpio-acme.ko", &of("gpio_acme", "acme,gpio"))
        .module("kernel/drivers/i2c/busses/i2c-acme.ko", &of("i2c_acme", "acme,i2c"))
        .module(
            "kernel/drivers/mfd/acme-pmic.ko",
            &of("acme_pmic", "acme,pmic").import("mfd_add_devices").info("note", "x\0acme-ldo\0acme-adc"),
        )
        .module("kernel/drivers/mfd/mfd-core.ko", &Ko::new("mfd_core").export("mfd_add_devices"))
        .module("kernel/drivers/regulator/acme-regulator.ko", &Ko::new("acme_regulator").alias("platform:acme-ldo"))
        .module("kernel/drivers/iio/acme-adc.ko", &Ko::new("acme_adc").alias("platform:acme-adc"))
        .module("kernel/drivers/rtc/rtc-ds1307.ko", &Ko::new("rtc_ds1307").alias("i2c:ds1307"))
        .module("kernel/drivers/video/pwm_bl.ko", &of("pwm_bl", "pwm-backlight"))
        .module("kernel/drivers/net/ethernet/acme_eth.ko", &of("acme_eth", "acme,eth"))
        .module("kernel/fs/ext4/ext4.ko", &Ko::new("ext4").alias("fs-ext4"))
        .builtin("kernel/drivers/mmc/core/mmc_block.ko", &[("alias", "mmc:block")]);
    fixture.put("loader", Ko::loader().build()).put("one.dtb", dtb(BOARD));
    fixture
}

pub fn run(fixture: &Fixture, command: &str, args: &[&str]) -> Output {
    fixture.mkinitmod(command).args(args).output().expect("mkinitmod runs")
}

pub fn stdout(fixture: &Fixture, command: &str, args: &[&str]) -> String {
    let output = run(fixture, command, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn error(fixture: &Fixture, command: &str, args: &[&str]) -> String {
    let output = run(fixture, command, args);
    let text = String::from_utf8(output.stderr).unwrap();
    // An unknown storage is an error of use.
    let status = if text.starts_with("mkinitmod: --root: ") { 2 } else { 1 };
    assert_eq!(output.status.code(), Some(status), "{text}");
    text.strip_prefix("mkinitmod: ").unwrap().trim_end().to_owned()
}

pub fn modules(fixture: &Fixture, args: &[&str]) -> Vec<String> {
    let text = stdout(fixture, "select", &[&["--json"], args].concat());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["modules"].as_array().unwrap().iter().map(|row| row["module"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_way_to_the_root_has_all_suppliers_in_order_and_no_more() {
    let fixture = fixture();
    let way = modules(&fixture, &["--dtb", "one.dtb", "--root", "mmc", "--fs", "ext4"]);
    let want = ["gpio_acme", "i2c_acme", "acme_pmic", "acme_regulator", "acme_mmc", "ext4", "mfd_core"];
    assert_eq!(way, want, "no backlight, no clock, and of the PMIC's cells the regulator only");
    let board = modules(&fixture, &["--dtb", "one.dtb"]);
    let missing = |name: &&str| !board.contains(&(*name).to_owned());
    assert_eq!(
        ["rtc_ds1307", "acme_adc", "pwm_bl", "acme_mmc", "acme_eth"].into_iter().filter(missing).collect::<Vec<_>>(),
        ["acme_eth"]
    );
}

/// A driver without its supplier is deferred, and its device may get another number.
#[test]
fn drivers_have_softdeps_on_their_suppliers() {
    let fixture = fixture();
    let args = ["--dtb", "one.dtb", "--root", "mmc", "--fs", "ext4"];
    stdout(&fixture, "build", &[&args[..], &["--loader", "loader", "--compress", "none", "-o", "image"]].concat());
    let root = Rootfs::unpack(&fs::read(fixture.root().join("image")).unwrap());
    let order = String::from_utf8(root.read("etc/modprobe.d/initmod-order.conf").unwrap().into()).unwrap();
    let want = "softdep acme_pmic pre: i2c_acme\nsoftdep acme_regulator pre: i2c_acme\n\
        softdep acme_mmc pre: gpio_acme acme_pmic acme_regulator\n";
    assert_eq!(order, want);
}

#[test]
fn hosts_without_a_fixed_number_are_reported() {
    let board = "/\n/soc/mmc@1\ncompatible = \"acme,mmc\"\n/soc/mmc@2\ncompatible = \"acme,mmc\"\n\
        /soc/mmc@3\ncompatible = \"acme,mmc\"\n/aliases\nmmc0 = \"/soc/mmc@2\"\n";
    let fixture = fixture();
    let numbered = |more: &str, root: &str| {
        fixture.put("more.dtb", dtb(&format!("{board}{more}")));
        let text = stdout(&fixture, "select", &["--dtb", "more.dtb", "--root", root, "--fs", "ext4"]);
        text.lines().find(|line| line.starts_with("no fixed mmcblk number: ")).map(str::to_owned)
    };
    let line = numbered("", "mmc").unwrap();
    assert!(line.starts_with("no fixed mmcblk number: /soc/mmc@1, /soc/mmc@3: /dev/mmcblkN may change"), "{line}");
    assert_eq!(numbered("", "/soc/mmc@2"), None, "it has a number");
    assert_eq!(numbered("mmc1 = \"/soc/mmc@3\"", "mmc"), None, "one has the number that is left");
}

#[test]
fn a_trail_leads_from_the_board_to_the_module() {
    let fixture = fixture();
    let why = |what: &str| stdout(&fixture, "why", &[what, "--dtb", "one.dtb", "--root", "mmc", "--fs", "ext4"]);
    assert!(why("gpio-acme").starts_with("root=mmc -> mmc@1 -cd-gpios-> gpio@2 -> acme,gpio -> gpio_acme\n"));
    let regulator =
        "root=mmc -> mmc@1 -vmmc-supply-> pmic@34 -> acme,pmic -cell-> platform:acme-ldo -> acme_regulator\n";
    assert!(why("acme_regulator").starts_with(regulator), "{}", why("acme_regulator"));
    assert!(
        why("mfd_core").starts_with("root=mmc -> mmc@1 -vmmc-supply-> pmic@34 -> acme,pmic -> acme_pmic -> mfd_core")
    );
    assert_eq!(why("ext4"), "fs=ext4 -> ext4\n");
    let left_out = run(&fixture, "why", &["pwm_bl", "--dtb", "one.dtb", "--root", "mmc", "--fs", "ext4"]);
    assert_eq!(String::from_utf8_lossy(&left_out.stdout), "pwm_bl is not selected: nothing requires it\n");
    assert_eq!(left_out.status.code(), Some(1));
    let node = why("/soc/mmc@1");
    assert!(
        node.contains("  module: acme,mmc -> acme_mmc\n") && node.contains("  -cd-gpios-> gpio@2: acme,gpio"),
        "{node}"
    );
}

#[test]
fn an_overlay_enables_what_the_board_has_off() {
    let fixture = fixture();
    let cape = "/f\ntarget = <0>\n/f/__overlay__\nstatus = \"okay\"\n/__fixups__\neth = \"/f:target:0\"";
    fixture.put("cape.dtbo", dtb(cape)).put("other.dtbo", dtb(&cape.replace("eth =", "ethe =")));
    let with = |overlay: &'static str| ["--dtb", "one.dtb", "--overlay", overlay];
    assert!(modules(&fixture, &with("cape.dtbo")).contains(&"acme_eth".to_owned()));
    assert_eq!(
        error(&fixture, "select", &with("other.dtbo")),
        "other.dtbo: needs label ethe, which the device tree does not have; did you mean `eth`?"
    );
}

#[test]
fn a_controller_on_pci_has_no_node_but_its_host_has() {
    let fixture = fixture();
    let pci = |name: &str, class: &str| Ko::new(name).alias(&format!("pci:v*d*sv*sd*bc{class}*"));
    fixture
        .module("kernel/drivers/pci/controller/pcie-acme.ko", &Ko::new("pcie_acme").alias("of:N*T*Cacme,pcie"))
        .module("kernel/drivers/usb/host/xhci-pci.ko", &pci("xhci_pci", "0Csc03i30"))
        .module("kernel/drivers/usb/host/acme-hcd.ko", &Ko::new("acme_hcd").alias("of:N*T*Cacme,usb"))
        .module("kernel/drivers/usb/storage/usb-storage.ko", &Ko::new("usb_storage"))
        .module("kernel/drivers/ata/ahci.ko", &pci("ahci", "01sc06i01"))
        .module("kernel/drivers/scsi/sd_mod.ko", &Ko::new("sd_mod").alias("scsi:t-0x00*"));
    let pcie = "/pcie@1\ncompatible = \"acme,pcie\"";
    let device = "/usb@2\ncompatible = \"acme,usb\"\ndr_mode = \"peripheral\"";
    let select = |text: &str, root: &str| {
        fixture.put("pci.dtb", dtb(text));
        modules(&fixture, &["--dtb", "pci.dtb", "--root", root])
    };
    fixture.module("kernel/drivers/usb/storage/ums-toy.ko", &Ko::new("ums_toy").import("usb_stor_probe1"));
    let behind_pci = ["pcie_acme", "xhci_pci", "usb_storage", "ums_toy", "sd_mod"];
    assert_eq!(select(pcie, "usb"), behind_pci);
    assert_eq!(select(&format!("{pcie}\n{device}"), "usb"), behind_pci, "what is a device hosts no root");
    let native = format!("{pcie}\n{}", device.replace("peripheral", "otg"));
    assert_eq!(select(&native, "usb"), ["acme_hcd", "usb_storage", "ums_toy", "sd_mod"]);
    assert_eq!(select(pcie, "sata"), ["pcie_acme", "ahci", "sd_mod"]);
}

#[test]
fn an_image_loads_the_way_first() {
    let fixture = fixture();
    let args = ["--dtb", "one.dtb", "--root", "mmc", "--fs", "ext4", "--loader", "loader", "--compress", "none", "-o"];
    let text = stdout(&fixture, "build", &[&args[..], &["image"]].concat());
    assert!(text.starts_with("Acme One (x86_64), Linux 6.12.0-it\n"), "{text}");
    let image = fs::read(fixture.root().join("image")).unwrap();
    let list = b"gpio_acme\ni2c_acme\nacme_pmic\nacme_regulator\nacme_mmc\next4\n";
    assert!(image.windows(list.len()).any(|window| window == list));
    assert!(!image.windows(6).any(|window| window == b"pwm_bl"));
}

#[test]
fn a_board_file_says_the_same() {
    let fixture = fixture();
    let lines = "arch = 'x86_64'\nroot = 'mmc'\nfs = 'ext4'\n[dt]\nblob = 'one.dtb'\n";
    fixture.put("b.toml", lines);
    let of_options = modules(&fixture, &["--dtb", "one.dtb", "--root", "mmc", "--fs", "ext4"]);
    assert_eq!(modules(&fixture, &["--board", "b.toml"]), of_options);
    fixture.put("b.toml", lines.replace("one.dtb", "onne.dtb"));
    let unknown = error(&fixture, "select", &["--board", "b.toml"]);
    assert!(unknown.starts_with("b.toml: dt.blob: `onne.dtb` is neither beside the board file"), "{unknown}");
    assert!(unknown.ends_with("did you mean `one.dtb`?"), "{unknown}");
    fixture.put("b.toml", format!("{lines}[modules]\nnames = ['pwm-bl']\nwhy = {{ pwm_bl = 'x' }}"));
    let why = error(&fixture, "select", &["--board", "b.toml"]);
    assert_eq!(why, "b.toml: modules.why: no list of modules has `pwm_bl`; did you mean `pwm-bl`?");
}

#[test]
fn what_can_t_be_is_told_with_its_name() {
    let fixture = fixture();
    let blob = dtb(BOARD);
    fixture.put("cut.dtb", &blob[..blob.len() / 2]).put("text.dtb", "hello");
    let select = |args: &[&str]| error(&fixture, "select", args);
    assert_eq!(
        select(&["--dtb", "cut.dtb"]),
        format!("cut.dtb: the device tree is truncated at offset {:#x}", blob.len() / 2)
    );
    assert_eq!(
        select(&["--dtb", "text.dtb"]),
        "text.dtb: not a device tree blob (.dtb); `dtc -O dtb` makes one from a .dts"
    );
    assert_eq!(
        select(&["--dtb", "one.dtb", "--root", "mmmc"]),
        "--root: unknown root type `mmmc`; did you mean `mmc`?"
    );
    assert_eq!(
        select(&["--dtb", "one.dtb", "--root", "sata"]),
        "command line: root: sata: the device tree has no enabled node of that type; it has: mmc"
    );
    assert_eq!(
        select(&["--dtb", "one.dtb", "--root", "/soc/mcm@1"]),
        "command line: root: /soc/mcm@1: the device tree has no node `/soc/mcm@1`; did you mean `/soc/mmc@1`?"
    );
    assert_eq!(
        select(&["--dtb", "one.dtb", "--root", "/soc/ethernet@5"]),
        "command line: root: /soc/ethernet@5: node /soc/ethernet@5 is disabled"
    );
    assert_eq!(
        select(&["--dtb", "one.dtb", "--root", "mmc", "--fs", "ext5"]),
        "command line: fs: neither the kernel nor the tree has the file system `ext5`; did you mean `ext4`?"
    );
    assert!(select(&["--root", "mmc"]).starts_with("command line: root: needs a device tree"));
    assert_eq!(
        error(&fixture, "why", &["acme-mmd", "--dtb", "one.dtb"]),
        "acme-mmd: no module or node of that name; did you mean `acme_mmc`?"
    );
}

#[test]
fn each_of_many_device_trees_has_its_line() {
    let fixture = fixture();
    fixture.put("all/a/two.dtb", dtb(BOARD)).put("all/bad.dtb", "hello");
    let output = run(&fixture, "select", &["--dtb", "all", "--each", "--root", "mmc"]);
    let (text, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(text.lines().any(|line| line.ends_with("all/a/two.dtb")), "{text}");
    assert!(told.contains("all/bad.dtb: not a device tree blob (.dtb)") && told.contains("1 of 2"), "{told}");
    assert_eq!(output.status.code(), Some(1));
}
