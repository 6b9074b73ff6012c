// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the fuzzer once found, replayed: tests/fuzz/regress/TARGET/.

#[path = "../../fuzz/targets.rs"]
pub mod targets;

use std::fs;
use std::path::Path;

#[test]
fn what_was_found_once_stays_mended() {
    let regress = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/regress");
    let mut count = 0;
    for (name, target) in targets::ALL {
        for entry in fs::read_dir(regress.join(name)).into_iter().flatten() {
            target(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
    }
    assert!(count > 0, "the directory is where it was");
}
