// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a board's modules come from beside its device tree: what modules name, what the kernel has built in, how it was
//! configured, what a running board tells; and the firmware of all these.

use crate::select::dt::{error, modules, stdout};
use crate::support::fixture::{Fixture, KVER};
use crate::support::mkdtb::dtb;
use crate::support::mkko::Ko;

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture
        .module("kernel/gpu.ko", &Ko::new("gpu").info("weakdep", "panel gone").info("firmware", "gpu/micro.bin"))
        .module("kernel/panel.ko.xz", &Ko::new("panel"))
        .module("kernel/fs.ko", &Ko::new("fs").info("softdep", "pre: sum"))
        .module("kernel/sum-fast.ko", &Ko::new("sum_fast").alias("sum"))
        .module("kernel/sum-slow.ko", &Ko::new("sum_slow").alias("sum"))
        .module("kernel/wifi.ko", &Ko::new("wifi").alias("of:N*T*Cacme,wifi").alias("of:N*T*Cacme,wifiC*"))
        .builtin("kernel/net/eth.ko", &[("firmware", "eth/boot.fw"), ("firmware", "eth/none.fw")]);
    fixture.put("loader", Ko::loader().build());
    fixture
}

fn select(fixture: &Fixture, board: &str) -> Vec<String> {
    fixture.put("b.toml", format!("arch = 'x86_64'\n{board}\n"));
    modules(fixture, &["--board", "b.toml"])
}

fn table(fixture: &Fixture, board: &str, args: &[&str]) -> String {
    fixture.put("b.toml", format!("arch = 'x86_64'\n{board}\n"));
    stdout(fixture, "select", &[&["--board", "b.toml"], args].concat())
}

#[test]
fn weakdeps_come_along_and_softdeps_and_weakdeps_can_be_excluded_by_any_name() {
    let fixture = fixture();
    assert_eq!(select(&fixture, "modules.names = ['gpu']"), ["gpu", "panel"]);
    assert_eq!(select(&fixture, "modules.names = ['gpu']\nmodules.exclude = ['panel']"), ["gpu"]);
    let text = table(&fixture, "modules.names = ['gpu']", &[]);
    assert!(text.contains("  weakdep of gpu\n") && text.contains("missing: gone (weakdep of gpu)\n"), "{text}");

    assert_eq!(select(&fixture, "modules.names = ['fs']"), ["fs", "sum_fast", "sum_slow"]);
    assert_eq!(select(&fixture, "modules.names = ['fs']\nmodules.exclude = ['sum-slow']"), ["fs", "sum_fast"]);
    let text = table(&fixture, "modules.names = ['fs']\nmodules.exclude = ['sum', 'idle']", &[]);
    assert!(text.contains("\n1 module ") && !text.contains("missing: sum "), "{text}");
    assert!(text.contains("missing: idle (modules.exclude)\n"), "{text}");
}

#[test]
fn the_kernel_s_own_list_and_configuration_tell_what_is_built_in_and_what_was_left_out() {
    let fixture = fixture();
    fixture.put("list", "kernel/drivers/usb/usb-disk.ko\n");
    fixture.put("config", "CONFIG_USB_DISK=y\nCONFIG_TOY_FS=y\nCONFIG_SPI_TOY=m\n# CONFIG_I2C_TOY is not set\n");
    let board = "modules.names = ['usb-disk']\nfs = 'eth'";
    let fault = |board: &str, args: &[&str]| {
        fixture.put("b.toml", format!("arch = 'x86_64'\n{board}\n"));
        error(&fixture, "select", &[&["--board", "b.toml"], args].concat())
    };
    assert_eq!(fault(board, &[]), "b.toml: modules.names: the tree has no module `usb-disk`");
    for args in [["--builtin", "list"], ["--config", "config"]] {
        let board = board.replace("fs = 'eth'", "");
        assert!(table(&fixture, &board, &args).contains("built in: usb-disk (names)\n"), "{args:?}");
        let key = format!("{board}\ntree.{} = '{}'", &args[0][2..], args[1]);
        assert!(table(&fixture, &key, &[]).contains("built in: usb-disk (names)\n"), "{key}");
    }
    let config = ["--config", "config"];
    assert!(table(&fixture, "fs = 'toy'", &config).contains("built in: toy (fs=toy)\n"));
    assert_eq!(
        fault("modules.names = ['spi-toy']", &config),
        "b.toml: modules.names: the tree has no module `spi-toy` although CONFIG_SPI_TOY=m: the tree is incomplete"
    );
    assert_eq!(
        fault("modules.names = ['i2c-toy']", &config),
        "b.toml: modules.names: the tree has no module `i2c-toy`: CONFIG_I2C_TOY is not set"
    );
    assert_eq!(table(&fixture, "modules.expected-missing.names = ['i2c-toy']", &config).matches("i2c").count(), 0);
    let optional = table(&fixture, "modules.optional.names = ['i2c-toy']", &config);
    assert!(optional.contains("missing: i2c-toy (modules.optional.names)\n"), "{optional}");
}

#[test]
fn a_snapshot_becomes_lines_of_a_board_file() {
    let fixture = fixture();
    let dump = "MODALIAS=of:NwifiT(null)Cacme,wifi\nMODALIAS=pci:v00001\nfs 16384 1 - Live 0xbf000000\n\
        sum_fast 16384 1 fs, Live 0xbf010000\n";
    let lsmod =
        "Module                  Size  Used by\nfs                     16384  1\nsum_fast               16384  1 fs\n";
    let aliases = "of:NwifiT(null)Cacme,wifi\npci:v00001\n";
    for (text, want) in [
        (dump, &["fs", "sum_fast", "wifi", "sum_slow"][..]),
        (lsmod, &["fs", "sum_fast", "sum_slow"]),
        (aliases, &["wifi"]),
    ] {
        fixture.put("snapshot", text);
        let lines = import(&fixture).unwrap();
        assert_eq!(select(&fixture, &lines), want, "{lines}");
    }
    fixture.put("snapshot", "fs 16384 1\nwhat is this\n");
    assert_eq!(
        import(&fixture).unwrap_err(),
        "snapshot:2: `what is this` is neither a module of lsmod, a line of a uevent file, nor a modalias"
    );
}

fn import(fixture: &Fixture) -> Result<String, String> {
    let mut mkinitmod = std::process::Command::new(env!("CARGO_BIN_EXE_mkinitmod"));
    let output = mkinitmod.current_dir(fixture.root()).args(["snapshot", "import", "snapshot"]).output().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap().trim_start_matches("mkinitmod: ").trim_end().into()),
    }
}

#[test]
fn firmware_of_modules_nodes_and_built_in_drivers_goes_in_and_what_is_missing_is_told() {
    let fixture = fixture();
    let tree = "/wifi\ncompatible = \"acme,wifi\"\nfirmware-name = \"wifi/one.bin\", \"wifi/two.bin\"\n\
        /off\ncompatible = \"acme,off\"\nstatus = \"disabled\"\nfirmware-name = \"off.bin\"";
    fixture.put("b.dtb", dtb(tree));
    fixture
        .put("fw/gpu/micro.bin", "1")
        .put("fw/wifi/one.bin.xz", "2")
        .put("fw/eth/boot.fw.zst", "3")
        .put("fw/off.bin", "4");
    let board =
        "arch = 'x86_64'\ndt.blob = 'b.dtb'\nmodules.names = ['gpu']\n[firmware]\ndirs = ['fw']\nbuiltin = true\n";
    fixture.put("b.toml", board);
    let args = ["--board", "b.toml", "--loader", "loader", "--compress", "none", "--manifest", "m.json", "-o", "image"];
    let text = stdout(&fixture, "build", &args);
    assert!(text.contains("3 firmware files"), "{text}");
    assert!(text.contains("missing: wifi/two.bin (firmware of /wifi)\n") && !text.contains("none.fw"), "{text}");
    let manifest = std::fs::read_to_string(fixture.root().join("m.json")).unwrap();
    for (file, who) in [("gpu/micro.bin", "gpu"), ("wifi/one.bin.xz", "/wifi"), ("eth/boot.fw.zst", "eth")] {
        let at = manifest.find(&format!("\"/lib/firmware/{file}\"")).unwrap_or_else(|| panic!("{file}: {manifest}"));
        assert!(manifest[at..].contains(&format!("\"why\": \"firmware of {who}\"")), "{file}");
    }
    assert!(!manifest.contains("off.bin") && manifest.contains(KVER));
}

#[test]
fn built_in_drivers_bring_their_softdeps_and_firmware() {
    let fixture = fixture();
    fixture
        .builtin(
            "kernel/fs/toyfs.ko",
            &[("alias", "fs-toyfs"), ("softdep", "pre: sum post: gone"), ("firmware", "t.fw")],
        )
        .builtin("kernel/drivers/host.ko", &[("alias", "of:N*T*Cacme,host"), ("alias", "of:N*T*Cacme,hostC*")])
        .append(&format!("lib/modules/{KVER}/modules.builtin.modinfo"), "host.softdep=pre: panel\0");
    let text = table(&fixture, "fs = 'toyfs'", &[]);
    assert!(
        text.contains("softdep of toyfs, built in\n") && text.contains("missing: gone (softdep of toyfs, built in")
    );
    assert_eq!(select(&fixture, "fs = 'toyfs'"), ["sum_fast", "sum_slow"]);
    assert_eq!(select(&fixture, "modules.load = ['toyfs']"), ["sum_fast", "sum_slow"]);
    fixture.put("h.dtb", dtb("/host\ncompatible = \"acme,host\""));
    assert_eq!(select(&fixture, "dt.blob = 'h.dtb'"), ["panel"]);
    fixture.put("b.toml", "arch = 'x86_64'\nfs = 'toyfs'\n").put("fw/t.fw", "1");
    let args = ["--board", "b.toml", "--loader", "loader", "--firmware", "fw", "-o", "image"];
    assert!(stdout(&fixture, "build", &args).contains("1 firmware file "));
}

#[test]
fn what_is_built_in_by_the_configuration_counts_for_load_as_for_names() {
    let fixture = fixture();
    fixture.put("config", "CONFIG_DM_TOY=y\n");
    for key in ["load", "names"] {
        let board = format!("modules.{key} = ['dm-toy', 'gpu']");
        assert!(table(&fixture, &board, &["--config", "config"]).contains("built in: dm-toy"), "{key}");
    }
}

#[test]
fn a_file_system_brings_what_its_mount_requests() {
    let fixture = fixture();
    for name in ["vfat", "nls_cp437", "nls_ascii", "nls_cp850"] {
        let ko = if name == "vfat" { Ko::new(name).alias("fs-vfat") } else { Ko::new(name) };
        fixture.module(&format!("kernel/fs/{name}.ko"), &ko);
    }
    assert_eq!(select(&fixture, "fs = 'vfat'"), ["vfat", "nls_cp437", "nls_ascii"]);
    fixture.put("config", "CONFIG_FAT_DEFAULT_CODEPAGE=850\nCONFIG_FAT_DEFAULT_IOCHARSET=\"koi8-r\"\n");
    let text = table(&fixture, "fs = 'vfat'", &["--config", "config"]);
    assert!(text.contains("fs=vfat -> nls_cp850\n") && !text.contains("nls_ascii"), "{text}");
    assert!(text.contains("missing: nls_koi8-r (fs=vfat requests it)\n"), "{text}");
}
