//! Several boards in one image, a family of products: what their board files have to agree on, and what adds up. Each board
//! selects for itself; what is selected adds up too, but for what is loaded first, which each board has for its own.

use super::file::Board;
use crate::host::error::Result;
use crate::host::select::selection::Selection;

/// Makes of several boards the one that an image is built for. What a board does not say is what the others say.
///
/// # Errors
/// Two say what can't both be.
pub(crate) fn joined(boards: &[Board]) -> Result<Board> {
    let (first, others) = boards.split_first().expect("there is a board, or the command line for one");
    let mut all = first.clone();
    for board in others {
        let fault = |key: &str, what: &str| {
            Err(board.fault(key, format!("{} says {what}, and one image can't have both", first.path.display())))
        };
        if board.arch != all.arch {
            return fault("arch", &all.arch.to_string());
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
            ("tree.config", agree(&mut all.tree.config, &board.tree.config)),
        ];
        if let Some((key, _)) = choices.iter().find(|(_, agrees)| !agrees) {
            return fault(key, "otherwise");
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

/// Takes over a choice where there is none yet; says whether both are the same then.
fn agree<T: Clone + PartialEq>(choice: &mut Option<T>, other: &Option<T>) -> bool {
    match other {
        Some(other) => choice.get_or_insert_with(|| other.clone()) == other,
        None => true,
    }
}

/// Adds what is not there yet.
fn add<T: Clone + PartialEq>(list: &mut Vec<T>, more: &[T]) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

/// Adds what was selected for another board. The first reason wins.
pub(crate) fn add_selection(all: &mut Selection, more: Selection) {
    for pick in more.picks {
        if all.picks.iter().all(|known| known.at != pick.at) {
            all.picks.push(pick);
        }
    }
    all.lane.add(&more.lane);
    all.edges.extend(more.edges);
    add(&mut all.absent, &more.absent);
    add(&mut all.unserved, &more.unserved);
    add(&mut all.as_they_come, &more.as_they_come);
    for (name, reason) in more.builtin {
        if all.builtin.iter().all(|(known, _)| *known != name) {
            all.builtin.push((name, reason));
        }
    }
    add(&mut all.idle_exclusions, &more.idle_exclusions);
    add(&mut all.unknown_softdeps, &more.unknown_softdeps);
}
