// SPDX-License-Identifier: MIT OR Apache-2.0
//! Completions, loaded and asked in each shell that is installed here.

use super::support::modprobe::Modprobe;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Runs a script in a shell with both programs in PATH, and returns what it prints; `None` where the shell is missing.
fn ask(shell: &[&str], script: &str) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    symlink(env!("CARGO_BIN_EXE_mkinitmod"), dir.path().join("mkinitmod")).unwrap();
    symlink(Modprobe::loader_path(), dir.path().join("initmod")).unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let [shell, options @ ..] = shell else { panic!("no shell") };
    let mut command = Command::new(shell);
    command.args(options).args(["-c", script]).env("PATH", path).env("HOME", dir.path());
    match command.current_dir(env!("CARGO_MANIFEST_DIR")).output() {
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && stderr.is_empty(), "{shell}: {stderr}");
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(_) => {
            eprintln!("skipped: {shell} is not installed");
            None
        }
    }
}

fn assert_has(answer: &str, words: &[&str]) {
    for word in words {
        assert!(answer.split_whitespace().any(|found| found == *word), "{word} is not in: {answer}");
    }
}

#[test]
fn bash_completes_both_programs() {
    let ask = |script: &str| ask(&["bash", "--norc"], script).expect("the Makefile needs bash");
    let generated = "source <(mkinitmod completions bash); COMP_WORDS=(mkinitmod";
    let end = "; _mkinitmod mkinitmod \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; echo \"${COMPREPLY[@]}\"";
    assert_has(
        &ask(&format!("{generated} '') COMP_CWORD=1{end}")),
        &["build", "select", "why", "depmod", "completions"],
    );
    assert_has(&ask(&format!("{generated} build --mo) COMP_CWORD=2{end}")), &["--modules", "--module-format"]);
    let own = "source config/completions/initmod.bash; COMP_WORDS=(initmod";
    let end = "; _initmod; echo \"${COMPREPLY[@]}\"";
    assert_has(&ask(&format!("{own} '') COMP_CWORD=1{end}")), &["modprobe", "coldplug", "lsmod"]);
    assert_has(&ask(&format!("{own} modprobe --sh) COMP_CWORD=2{end}")), &["--show-depends"]);
}

#[test]
fn zsh_loads_both_programs() {
    let init = "autoload -U compinit && compinit -u -D";
    let script = format!("{init}; source <(mkinitmod completions zsh); echo $_comps[mkinitmod]");
    if let Some(answer) = ask(&["zsh", "-f"], &script) {
        assert_eq!(answer.trim(), "_mkinitmod");
    }
    let script = format!("fpath=(config/completions $fpath); {init}; autoload +X _initmod; echo $_comps[initmod]");
    if let Some(answer) = ask(&["zsh", "-f"], &script) {
        assert_eq!(answer.trim(), "_initmod");
    }
}

#[test]
fn fish_completes_both_programs() {
    let fish = ["fish", "--no-config"];
    if let Some(answer) = ask(&fish, "mkinitmod completions fish | source; complete -C 'mkinitmod '") {
        assert_has(&answer, &["build", "select", "completions"]);
    }
    let own = "source config/completions/initmod.fish;";
    if let Some(answer) = ask(&fish, &format!("{own} complete -C 'initmod '")) {
        assert_has(&answer, &["modprobe", "coldplug"]);
    }
    if let Some(answer) = ask(&fish, &format!("{own} complete -C 'initmod modprobe --sh'")) {
        assert_has(&answer, &["--show-depends"]);
    }
}

#[test]
fn the_files_for_other_shells_are_installed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_mkinitmod"), dir.path().join("bin/mkinitmod")).unwrap();
    let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/completions/install");
    assert!(Command::new(install).arg(dir.path()).status().unwrap().success());
    let share = dir.path().join("share");
    for file in [
        "bash-completion/completions/initmod",
        "zsh/site-functions/_mkinitmod",
        "fish/vendor_completions.d/initmod.fish",
    ] {
        assert!(fs::metadata(share.join(file)).unwrap().len() > 100, "{file}");
    }
}
