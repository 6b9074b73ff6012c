// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several boards in one image, a family of products: merges their board files. Some keys must agree, lists are joined.
//! Each board selects its modules on its own; the image gets them all.

use super::file::Board;
use crate::host::error::Result;

/// Merges several boards into the one that an image is built for. A key that only some boards set applies to all.
///
/// # Errors
/// Two boards set a key differently.
pub(crate) fn joined(boards: &[Board]) -> Result<Board> {
    let (first, others) = boards.split_first().expect("the caller has at least one board");
    let mut all = first.clone();
    for board in others {
        let conflict = |key: &str| Err(board.fault(key, format!("conflicts with {}", first.path.display())));
        if board.arch != all.arch {
            return conflict("arch");
        }
        let (image, more) = (&mut all.image, &board.image);
        let choices = [
            ("image.compress", agree(&mut image.compress, &more.compress)),
            ("image.modules", agree(&mut image.modules, &more.modules)),
            ("image.signatures", agree(&mut image.signatures, &more.signatures)),
            ("image.strip", agree(&mut image.strip, &more.strip)),
            ("image.append", agree(&mut image.append, &more.append)),
            ("image.loader-as", agree(&mut image.loader_as, &more.loader_as)),
            ("tree.modules", agree(&mut all.tree.modules, &board.tree.modules)),
            ("tree.builtin", agree(&mut all.tree.builtin, &board.tree.builtin)),
            ("tree.symvers", agree(&mut all.tree.symvers, &board.tree.symvers)),
            ("tree.config", agree(&mut all.tree.config, &board.tree.config)),
        ];
        if let Some((key, _)) = choices.iter().find(|(_, agrees)| !agrees) {
            return conflict(key);
        }
        add(&mut image.files, &more.files);
        add(&mut image.early, &more.early);
        add(&mut all.firmware.dirs, &board.firmware.dirs);
        add(&mut all.firmware.files, &board.firmware.files);
        all.firmware.builtin |= board.firmware.builtin;
        add(&mut all.modprobe.conf, &board.modprobe.conf);
    }
    Ok(all)
}

/// Sets a choice that is unset; returns whether both are equal then.
fn agree<T: Clone + PartialEq>(choice: &mut Option<T>, other: &Option<T>) -> bool {
    match other {
        Some(other) => choice.get_or_insert_with(|| other.clone()) == other,
        None => true,
    }
}

/// Adds the items that the list lacks.
fn add<T: Clone + PartialEq>(list: &mut Vec<T>, more: &[T]) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}
