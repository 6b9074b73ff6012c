// SPDX-License-Identifier: MIT OR Apache-2.0
//! Build script: how the `initmod` binary is linked, by lld, GNU ld or a C compiler. `mkinitmod` links as usual.
//!
//! This script and config/loader.ld hold all that the loader's link needs, as other builds have flags and a configuration of
//! their own. Flags that only make the loader smaller are in config/loader; a note names those that are missing.

use std::env::var;

/// Arguments for every linker.
const ALWAYS: [&str; 9] = [
    "--gc-sections",
    "-O2",
    "--build-id=none",
    "--no-eh-frame-hdr",
    "--strip-all",
    "-znorelro",
    "-zmax-page-size=16",
    "-zcommon-page-size=16",
    "-no-pie",
];

fn main() {
    println!("cargo:rerun-if-changed=config/loader.ld");
    if var("CARGO_FEATURE_DEVICE").is_err() {
        return;
    }
    let root = var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let flags = var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let mut args: Vec<String> = ALWAYS.map(String::from).into();
    args.push(format!("-T{root}/config/loader.ld"));
    match linker(&flags) {
        Linker::Lld => args.extend(["--icf=all", "-znosectionheader"].map(String::from)),
        Linker::Ld => {}
        Linker::Cc => {
            args.iter_mut().for_each(|arg| *arg = format!("-Wl,{arg}"));
            args.extend(["-nostdlib", "-nostartfiles", "-static", "-no-pie"].map(String::from));
        }
    }
    for arg in args {
        println!("cargo:rustc-link-arg-bin=initmod={arg}");
    }
    for note in notes(&flags) {
        println!("cargo:warning={note}");
    }
}

enum Linker {
    /// rust-lld, ld.lld
    Lld,
    /// GNU ld
    Ld,
    /// gcc, clang, or a wrapper of them: arguments for the linker have `-Wl,` before them
    Cc,
}

/// Returns the linker that rustc will take: by its flavor, or by its name as rustc itself does.
fn linker(flags: &str) -> Linker {
    let last = |option: &str| {
        flags.split('\x1f').filter_map(|flag| flag.trim_start_matches("-C").strip_prefix(option)).next_back()
    };
    let name = last("linker=").map(String::from).or(var("RUSTC_LINKER").ok()).unwrap_or_default();
    let stem = name.rsplit('/').next().unwrap_or_default();
    match last("linker-flavor=").unwrap_or(stem) {
        "rust-lld" | "lld" | "ld.lld" | "gnu-lld" => Linker::Lld,
        "ld" | "gnu" => Linker::Ld,
        flavor if flavor.ends_with("-ld") || flavor.starts_with("ld.") => Linker::Ld,
        _ => Linker::Cc,
    }
}

/// Returns a note for each setting without which the loader works, but is larger.
fn notes(flags: &str) -> Vec<String> {
    if var("PROFILE").as_deref() != Ok("release") {
        return Vec::new();
    }
    let arch = var("CARGO_CFG_TARGET_ARCH").map_or("ARCH".to_owned(), |arch| arch.replace("arm", "armv7"));
    let wanted: &[&str] = match arch.as_str() {
        "armv7" => &["thumb-mode", "relocation-model=static", "inline-instr-cost"],
        _ => &["relocation-model=static", "inline-instr-cost"],
    };
    let mut notes = Vec::new();
    if wanted.iter().any(|flag| !flags.contains(flag)) {
        let cost = if arch == "armv7" { "50 kB" } else { "3 kB" };
        notes.push(format!(
            "the loader works, but is {cost} larger than with RUSTFLAGS=\"$(config/loader --flags {arch} | xargs)\""
        ));
    }
    let of_profile = |key: &str| var(format!("CARGO_PROFILE_RELEASE_{key}")).unwrap_or_default();
    let is_small = var("OPT_LEVEL").as_deref() == Ok("z") && matches!(&*of_profile("LTO"), "fat" | "true");
    if !is_small && !var("OUT_DIR").is_ok_and(|dir| dir.contains("/loader/build/")) {
        let small =
            "CARGO_PROFILE_RELEASE_OPT_LEVEL=z CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1";
        notes.push(format!("the loader works, but is twice as large as with --profile loader, or with {small}"));
    }
    notes
}
