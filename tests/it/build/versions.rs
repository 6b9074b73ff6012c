// SPDX-License-Identifier: MIT OR Apache-2.0
//! Versions of symbols: a module that was built against another kernel or another build of a module is refused, and the
//! message has the module, the symbol and both versions.

use super::append::archive;
use super::boots::{error, told};
use crate::support::fixture::{Fixture, KVER, compress};
use crate::support::mkko::{Ko, Versions, crc};

/// A version that no fixture gives a symbol.
const OTHER: u32 = 0xbad_0001;

/// Makes a tree of two modules of the kernel and one that the board loads, and a board file.
fn fixture(wifi: &Ko) -> Fixture {
    let fixture = Fixture::new();
    fixture.module("kernel/lib.ko", &Ko::new("lib").export("lib_f").import("printk"));
    fixture.module("kernel/disk.ko", &Ko::new("disk").import("printk").import("lib_f").import("kfree"));
    fixture.module("extra/wifi.ko", wifi).put("loader", Ko::loader().build());
    fixture.put("b.toml", "arch = 'x86_64'\nmodules.names = ['wifi']\n");
    fixture
}

fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    const TREE: &str = "lib/modules/6.12.0-it";
    assert!(TREE.ends_with(KVER));
    [&["--board", "b.toml", "--modules", TREE, "-o", "image"], more].concat()
}

/// Returns the message on extra/wifi.ko.
fn message(symbol: &str, version: u32, known: &str) -> String {
    let advice = "pass a tree with its build for this kernel, or leave it out: modules.exclude";
    let what = format!("the kernel refuses it: it needs version {version:#010x} of {symbol}, and {known}");
    format!("mkinitmod: lib/modules/{KVER}/extra/wifi.ko: {what}; {advice}")
}

fn symvers(lines: &[(&str, u32, &str)]) -> String {
    lines.iter().map(|(name, crc, owner)| format!("{crc:#010x}\t{name}\t{owner}\tEXPORT_SYMBOL_GPL\t\n")).collect()
}

#[test]
fn another_build_of_a_module_in_the_tree_is_named_with_both_versions() {
    for versions in [Versions::Basic, Versions::Extended] {
        let fixture = fixture(&Ko::new("wifi").import("lib_f").crc("lib_f", OTHER).versions(versions));
        let known = format!("kernel/lib.ko exports {:#010x}", crc("lib_f"));
        assert_eq!(error(&fixture, &args(&[])), message("lib_f", OTHER, &known));
    }
    let fixture = fixture(&Ko::new("wifi").import("lib_f").weak("printk"));
    assert_eq!(told(&fixture, &args(&[])), "");
}

#[test]
fn symvers_is_found_where_kernels_have_it() {
    let lines = [("module_layout", crc("module_layout"), "vmlinux"), ("skb_push", OTHER, "vmlinux")];
    let known = |path: &str| format!("the kernel's is {OTHER:#010x} ({path})");
    let tree = format!("lib/modules/{KVER}");
    for path in [
        format!("{tree}/Module.symvers"),
        format!("{tree}/symvers.gz"),
        format!("{tree}/symvers.zst"),
        format!("{tree}/build/Module.symvers"),
        format!("boot/symvers-{KVER}.xz"),
        format!("usr/src/linux-headers-{KVER}/Module.symvers"),
    ] {
        let fixture = fixture(&Ko::new("wifi").import("skb_push"));
        fixture.put(&path, compress(&path, symvers(&lines).as_bytes()));
        assert_eq!(error(&fixture, &args(&[])), message("skb_push", crc("skb_push"), &known(&path)));
    }
    let fixture = fixture(&Ko::new("wifi").import("skb_push"));
    fixture.put("s", symvers(&lines));
    assert_eq!(told(&fixture, &args(&[])), "", "no version of it is known");
    assert_eq!(error(&fixture, &args(&["--symvers", "s"])), message("skb_push", crc("skb_push"), &known("s")));
    fixture.put("b.toml", "arch = 'x86_64'\nmodules.names = ['wifi']\ntree.symvers = 's'\n");
    assert_eq!(error(&fixture, &args(&[])), message("skb_push", crc("skb_push"), &known("s")));
    let absolute = format!("/usr/src/{KVER}");
    fixture.put("b.toml", "arch = 'x86_64'\nmodules.names = ['wifi']\n");
    fixture.put(&format!("usr/src/{KVER}/Module.symvers"), symvers(&lines));
    std::os::unix::fs::symlink(absolute, fixture.modules_dir().join("build")).unwrap();
    let path = format!("usr/src/{KVER}/Module.symvers");
    assert_eq!(
        error(&fixture, &args(&[])),
        message("skb_push", crc("skb_push"), &known(&path)),
        "a link of the target"
    );
}

#[test]
fn symvers_also_knows_modules_that_the_tree_lacks() {
    let fixture = fixture(&Ko::new("wifi").import("mac_f").import("lib_f"));
    fixture.put("s", symvers(&[("lib_f", OTHER, "kernel/lib"), ("mac_f", OTHER, "net/mac80211/mac80211")]));
    let known = format!("the kernel's is {OTHER:#010x} (s)");
    assert_eq!(error(&fixture, &args(&["--symvers", "s"])), message("mac_f", crc("mac_f"), &known));
}

#[test]
fn the_kernels_own_modules_show_its_versions() {
    let fixture = fixture(&Ko::new("wifi").import("printk").crc("printk", OTHER));
    let known = format!("the kernel's own modules need {:#010x} (kernel/lib.ko)", crc("printk"));
    assert_eq!(error(&fixture, &args(&[])), message("printk", OTHER, &known));
    let fixture = self::fixture(&Ko::new("wifi").import("only_here").crc("only_here", OTHER));
    assert_eq!(told(&fixture, &args(&[])), "");
    let fixture = self::fixture(&Ko::new("wifi").crc("module_layout", OTHER));
    let known = format!("the kernel's own modules need {:#010x} (kernel/lib.ko)", crc("module_layout"));
    assert_eq!(error(&fixture, &args(&[])), message("module_layout", OTHER, &known), "the kernel's structures");
}

#[test]
fn two_modules_that_disagree_about_the_kernel_are_told() {
    let fixture = Fixture::new();
    fixture.module("extra/a.ko", &Ko::new("a").import("tb_f"));
    fixture.module("extra/wifi.ko", &Ko::new("wifi").import("tb_f").crc("tb_f", OTHER));
    fixture.put("loader", Ko::loader().build()).put("b.toml", "arch = 'x86_64'\nmodules.names = ['a', 'wifi']\n");
    let known = format!("extra/a.ko needs {:#010x}", crc("tb_f"));
    assert_eq!(error(&fixture, &args(&[])), message("tb_f", OTHER, &known));
}

#[test]
fn a_map_and_a_vmlinux_have_versions_too() {
    let old = Ko::new("wifi").import("skb_push");
    let known = |path: &str| format!("the kernel's is {OTHER:#010x} ({path})");
    let fixture = fixture(&old);
    let map = format!("{:016x} A __crc_skb_push\nffffffff81000000 T skb_push\nffffffff82000000 r __crc_kfree\n", OTHER);
    let path = format!("boot/System.map-{KVER}");
    fixture.put(&path, map);
    assert_eq!(error(&fixture, &args(&[])), message("skb_push", crc("skb_push"), &known(&path)));
    let fixture = self::fixture(&old);
    fixture.put("vmlinux", Ko::new("vmlinux").export("skb_push").crc("skb_push", OTHER).build());
    let told = error(&fixture, &args(&["--kernel", "vmlinux"]));
    assert_eq!(told, message("skb_push", crc("skb_push"), &known("vmlinux")));
}

#[test]
fn symvers_of_another_kernel_is_not_believed() {
    let lines = [("module_layout", OTHER, "vmlinux"), ("skb_push", OTHER, "vmlinux")];
    let fixture = fixture(&Ko::new("wifi").import("skb_push"));
    let path = format!("lib/modules/{KVER}/Module.symvers");
    fixture.put(&path, symvers(&lines)).put("s", symvers(&lines));
    let own = crc("module_layout");
    let what = format!(
        "is of another kernel: its version of module_layout is {OTHER:#010x}, the kernel's own modules need {own:#010x} (kernel/lib.ko)"
    );
    assert_eq!(told(&fixture, &args(&[])), format!("mkinitmod: {path}: {what}; it is not used\n"));
    assert_eq!(error(&fixture, &args(&["--symvers", "s"])), format!("mkinitmod: s: {what}"));
    fixture.put("s", "junk\tskb_push\tvmlinux\n");
    assert_eq!(error(&fixture, &args(&["--symvers", "s"])), "mkinitmod: s:1: no version of a symbol: `junk`");
}

#[test]
fn a_module_of_the_image_that_is_appended_to_counts_before_the_trees() {
    let fixture = fixture(&Ko::new("wifi").import("lib_f"));
    let of_image = Ko::new("lib").export("lib_f").crc("lib_f", OTHER).built_for(KVER).build();
    let dirs = ["lib", "lib/modules", &format!("lib/modules/{KVER}")].map(str::to_owned);
    let path = format!("lib/modules/{KVER}/lib.ko");
    let mut entries: Vec<(&str, u32, u32, &[u8])> =
        dirs.iter().map(|dir| (dir.as_str(), 0o040_755, 2, &b""[..])).collect();
    entries.push((&path, 0o100_644, 1, &of_image));
    fixture.put("base", archive(&entries));
    let known = format!("lib.ko of the image exports {OTHER:#010x}");
    assert_eq!(error(&fixture, &args(&["--append", "base"])), message("lib_f", crc("lib_f"), &known));
}
