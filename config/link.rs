//! Build script: linker arguments of the loader. They apply to the `initmod` binary only, not to `mkinitmod`.

fn main() {
    println!("cargo:rerun-if-changed=config/loader.ld");
    if std::env::var_os("CARGO_FEATURE_DEVICE").is_none() {
        return;
    }
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = format!("-T{root}/config/loader.ld");
    for arg in [
        "--gc-sections",
        "--icf=all",
        "-O2",
        "--build-id=none",
        "-znorelro",
        "-zmax-page-size=16",
        "-zcommon-page-size=16",
        "-znosectionheader",
        "--no-eh-frame-hdr",
        &script,
    ] {
        println!("cargo:rustc-link-arg-bin=initmod={arg}");
    }
}
