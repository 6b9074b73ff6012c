// SPDX-License-Identifier: MIT OR Apache-2.0
//! One test per directory of tests/trees, by its name: `cargo test --test cases 04-softdep`.
//!
//! ```text
//! modprobe::NAME  the loader does what kmod 34 did, or differs for a written reason; INITMOD_LOADER names another loader
//! depmod::NAME    `mkinitmod depmod` writes what kmod 34 wrote, or differs for a written reason
//! oracle::NAME    kmod 34 still does what is recorded; ignored unless asked for, as `make oracle` does
//! ```
//! With INITMOD_BLESS=1 each case first rewrites its own expectations from kmod 34, which INITMOD_ORACLE names.
//! A case that the loader was built without a feature for is ignored, and says which.
#![allow(unreachable_pub, reason = "the modules of a test binary are its own library")]

mod case;
mod depmod;
mod modprobe;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, reason = "tests/it uses the rest")]
mod support;

use case::Case;
use libtest_mimic::{Arguments, Failed, Trial};
use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Arguments::from_args();
    libtest_mimic::run(&args, Case::all().into_iter().flat_map(trials).collect()).exit_code()
}

type Check = fn(&Case) -> Result<(), String>;

/// Returns the tests of a case: ours, and the oracle's where kmod is compared at all.
fn trials(case: Case) -> Vec<Trial> {
    let (group, ours, theirs): (_, Check, Check) = match case.depmod {
        Some(_) => ("depmod", depmod::check, depmod::check_oracle),
        None => ("modprobe", modprobe::check, modprobe::check_oracle),
    };
    let mut trials = vec![trial(group, &case, ours)];
    if let Some(feature) = modprobe::lacking(&case) {
        trials = trials.into_iter().map(|trial| ignored(trial, &format!("loader without {feature}"))).collect();
    }
    if !case.is_alone() {
        trials.push(ignored(trial("oracle", &case, theirs), "make oracle"));
    }
    trials
}

fn trial(group: &str, case: &Case, check: Check) -> Trial {
    let (name, case) = (format!("{group}::{}", case.name()), case.clone());
    Trial::test(name, move || check(&case).map_err(Failed::from))
}

/// Ignores a test; `reason` is printed in front of its name.
fn ignored(trial: Trial, reason: &str) -> Trial {
    trial.with_kind(reason).with_ignored_flag(true)
}

/// Whether expectations are to be rewritten.
fn is_blessing() -> bool {
    env::var_os("INITMOD_BLESS").is_some()
}
