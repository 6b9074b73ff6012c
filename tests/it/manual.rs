// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual: every option, key and message has its place in config/doc, and README stays short.

use clap::CommandFactory;
use initmod::host::board::file::Board;
use initmod::host::commands::args::Cli;
use initmod::host::commands::manual::PAGES;
use std::collections::BTreeSet;
use std::path::Path;

fn page(topic: &str) -> &'static str {
    PAGES.iter().find(|page| page.topic == topic).unwrap_or_else(|| panic!("no page {topic}")).text
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = top().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn each_option_is_in_the_page_of_its_command() {
    for command in Cli::command().get_subcommands().filter(|command| command.get_name() != "help") {
        let name = command.get_name();
        assert!(page("mkinitmod").contains(&format!("\n{name}\n: ")), "mkinitmod(1) has no {name}");
        if !PAGES.iter().any(|page| page.topic == name) {
            continue; // no options of its own
        }
        // The sources of a selection are in the page of build.
        let text = format!("{}{}", page(name), page("build"));
        for option in command.get_opts().filter_map(|option| option.get_long()) {
            assert!(text.contains(&format!("**--{option}**")), "the page of {name} has no --{option}");
        }
    }
}

#[test]
fn each_option_of_depmod_is_in_its_page() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_mkinitmod")).args(["depmod", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let options: BTreeSet<&str> =
        help.split([' ', ',', '\n', ']', '.']).filter(|word| word.starts_with("--")).collect();
    assert!(options.len() > 15, "{options:?}");
    for option in options {
        assert!(page("depmod").contains(&format!("**{option}**")), "mkinitmod-depmod(8) has no {option}");
    }
}

/// The keys of a table, by the message on one that is unknown.
fn keys(table: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("b.toml");
    let head = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
    std::fs::write(&file, format!("arch = \"armv7\"\n{head}qqqqqqqqqqqqqqqqqqqqqqqq = 1\n")).unwrap();
    let error = Board::read(&file).unwrap_err().to_string();
    let (_, known) = error.split_once("known: ").unwrap_or_else(|| panic!("{error}"));
    known.split(", ").map(str::to_owned).collect()
}

#[test]
fn each_key_of_a_board_file_is_in_its_page() {
    let mut tables = vec![String::new()];
    let mut count = 0;
    while let Some(table) = tables.pop() {
        for key in keys(&table) {
            let path = if table.is_empty() { key.clone() } else { format!("{table}.{key}") };
            if ["dt", "tree", "modules", "image", "firmware", "modprobe"].contains(&path.as_str()) {
                tables.push(path);
            } else {
                assert!(page("board").contains(&format!("`{path}` (")), "initmod-board(5) has no {path}");
                count += 1;
            }
        }
    }
    assert!(count > 25, "{count} keys");
    for list in keys("modules.optional") {
        assert!(page("board").contains(&format!("`{list}`")), "initmod-board(5) has no {list}");
    }
}

#[test]
fn each_message_of_the_boot_is_in_its_page() {
    let (mut count, mut absent) = (0, Vec::new());
    for file in ["device/boot.rs", "device/root/explain.rs", "device/root/net.rs", "device/root/mount.rs"] {
        let source = read(format!("src/{file}"));
        let code = source
            .lines()
            .filter(|line| !line.trim_start().starts_with("//") && !line.contains("reason = "))
            .collect::<Vec<_>>()
            .join("\n");
        // Each second piece is a literal. `%` stands for an argument.
        for text in code.split('"').skip(1).step_by(2).flat_map(|literal| literal.split('%')) {
            let text = text.trim_matches([' ', ':', ',', ';']).trim_start_matches("s; ").trim_start_matches("s, ");
            let is_message = text.len() >= 14 && text.contains(' ') && !text.starts_with(['/', ']', ')']);
            if is_message {
                count += 1;
                if !page("boot").contains(text) {
                    absent.push(format!("{file}: {text}"));
                }
            }
        }
    }
    assert!(count > 20, "{count} messages");
    assert!(absent.is_empty(), "not in initmod-boot(7):\n{}", absent.join("\n"));
}

#[test]
fn readme_is_short_and_its_links_lead_somewhere() {
    let readme = read("README.md");
    assert!(readme.lines().count() <= 150, "README.md has {} lines, the limit is 150", readme.lines().count());
    for (number, line) in readme.lines().enumerate().filter(|(_, line)| !line.starts_with('|')) {
        assert!(line.chars().count() <= 100, "README.md:{} has over 100 columns", number + 1);
    }
    for link in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(top().join(link).exists(), "README.md: no {link}");
    }
}

#[test]
fn each_file_of_the_manual_is_a_page_of_help() {
    let files = std::fs::read_dir(top().join("config/doc")).unwrap();
    for name in files.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        let text = read(format!("config/doc/{name}"));
        assert!(name == "measured.md" || PAGES.iter().any(|page| page.text == text), "{name} is no page of `help`");
    }
}

#[test]
fn help_prints_a_page_or_names_the_nearest() {
    let help = |topic: &[&str]| {
        let help =
            std::process::Command::new(env!("CARGO_BIN_EXE_mkinitmod")).arg("help").args(topic).output().unwrap();
        (help.status.code(), String::from_utf8(help.stdout).unwrap(), String::from_utf8(help.stderr).unwrap())
    };
    let (status, list, _) = help(&[]);
    assert!(status == Some(0) && list.contains("\n  board "), "{list}");
    let (status, text, _) = help(&["board"]);
    assert!(status == Some(0) && text.starts_with("# NAME"), "{text}");
    let (status, _, error) = help(&["bord"]);
    assert_eq!((status, error.as_str()), (Some(2), "mkinitmod: help: no topic `bord`; did you mean `board`?\n"));
}
