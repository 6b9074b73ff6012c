// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mkinitmod help [TOPIC]`: the manual, whose pages in config/doc are part of the program.

use crate::host::spelling;
use crate::host::{Error, Result};
use std::io::Write;

/// A page of the manual.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The topic, as on the command line.
    pub topic: &'static str,
    /// The page's subject, for the list of topics.
    pub about: &'static str,
    /// Its text, in Markdown.
    pub text: &'static str,
}

macro_rules! pages {
    ($($topic:literal $file:literal $about:literal)*) => {
        &[$(Page { topic: $topic, about: $about, text: include_str!(concat!("../../../config/doc/", $file, ".md")) }),*]
    };
}

/// All pages, in the order of the list.
pub const PAGES: &[Page] = pages! {
    "mkinitmod" "mkinitmod.1" "the generator, its commands and exit status"
    "build" "mkinitmod-build.1" "build an initramfs: all options"
    "select" "mkinitmod-select.1" "list the modules that a board needs"
    "why" "mkinitmod-why.1" "explain why a module is selected"
    "snapshot" "mkinitmod-snapshot.1" "import modules and devices from a running board"
    "depmod" "mkinitmod-depmod.8" "index a module tree"
    "board" "initmod-board.5" "the board file: every key, with type, default and effect"
    "initmod" "initmod.8" "the loader, and its commands for another /init"
    "boot" "initmod-boot.7" "the boot: kernel command line, messages with cause and cure"
    "kernel" "initmod-kernel.7" "what the kernel must have, and what initmod does not do"
    "kmod" "initmod-kmod.8" "differences from kmod's programs"
    "beaglebone" "tutorial-beaglebone" "tutorial: from nothing to an image for a BeagleBone Black"
    "yocto" "tutorial-yocto" "tutorial: Yocto"
    "buildroot" "tutorial-buildroot" "tutorial: Buildroot"
    "debian" "tutorial-debian" "tutorial: Debian and Ubuntu"
    "post-mortem" "tutorial-post-mortem" "tutorial: why a boot did not reach its root"
    "board-file" "tutorial-board-file" "tutorial: writing a board file"
    "packaging" "packaging" "install, packages, builds inside other builds"
    "running-board" "tutorial-running-board" "tutorial: from a running board to an image"
};

/// Prints the page of a topic, or without one the list of topics.
///
/// # Errors
/// There is no such topic; or standard output cannot be written.
pub fn run(topic: Option<&str>) -> Result<()> {
    let text = match topic {
        None => list(),
        Some(topic) => match PAGES.iter().find(|page| page.topic == topic) {
            // The first two lines are for the man page.
            Some(page) => page
                .text
                .split_once("\n\n")
                .filter(|(head, _)| head.starts_with('%'))
                .map_or(page.text, |(_, text)| text)
                .to_owned(),
            None => {
                let near = spelling::closest(topic, PAGES.iter().map(|page| page.topic));
                let hint =
                    near.map_or("`mkinitmod help` lists the topics".into(), |near| format!("did you mean `{near}`?"));
                return Err(Error::Usage(format!("help: no topic `{topic}`; {hint}")));
            }
        },
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        // A pager that was left early.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Error::io("standard output")),
    }
}

/// Returns the list of topics.
fn list() -> String {
    let rows: String = PAGES.iter().map(|page| format!("  {:<14} {}\n", page.topic, page.about)).collect();
    format!(
        "Pages of the manual, printed by `mkinitmod help TOPIC`:\n\n{rows}\n`mkinitmod COMMAND --help` has the options of a command.\n"
    )
}
