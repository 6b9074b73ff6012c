// SPDX-License-Identifier: MIT OR Apache-2.0
//! Steps of a plan: one module each. The steps are a binary tree by the hash of their paths, so that one is found in a
//! few hops; any beginning of the list is a tree of its own.

use crate::modules::dep_line::DepLine;

/// Number of a step, counted from the first step ever: retiring steps does not change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepId(pub u32);

/// One module of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Step<'map> {
    line: DepLine<'map>,
    hash: u32,
    /// The places of the next steps in the tree: one for lower hashes, one for the others; 0 for none.
    links: [u16; 2],
    /// Whether the plan holds all its softdeps.
    pub(super) settled: bool,
    /// Whether its failure counts.
    pub need: Need,
    /// Its progress.
    pub state: StepState,
    /// The number of times a schedule started it.
    pub tries: u8,
}

/// Progress of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Not tried yet.
    Waiting,
    /// Handed to the kernel, no answer yet.
    Running,
    /// Failed, to be tried once more when all other steps are done.
    Retry,
    /// In the kernel.
    In,
    /// Failed for good.
    Failed,
}

/// Whether a module may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Requested, or a dependency of a requested module: it must load.
    Required,
    /// Reached by softdeps only: it may fail.
    Optional,
}

impl<'map> Step<'map> {
    pub(super) fn new(line: DepLine<'map>, need: Need) -> Self {
        Step { line, hash: hash(line.path()), links: [0; 2], settled: false, need, state: StepState::Waiting, tries: 0 }
    }

    /// Returns the module file's path, relative to /lib/modules/KVER unless it begins with `/`.
    pub fn path(&self) -> &'map [u8] {
        self.line.path()
    }

    /// Yields the paths of all modules it needs, directly or not, leaves last.
    pub fn deps(&self) -> impl DoubleEndedIterator<Item = &'map [u8]> + use<'map> {
        self.line.deps()
    }

    /// Whether the step is finished: loaded, or failed for good.
    pub fn is_done(&self) -> bool {
        matches!(self.state, StepState::In | StepState::Failed)
    }
}

/// Whether all required steps are in the kernel.
pub fn are_in(steps: &[Step<'_>]) -> bool {
    let mut required = steps.iter().filter(|step| step.need == Need::Required);
    required.all(|step| step.state == StepState::In)
}

/// Finds the step of a module by its path.
pub fn find<'steps, 'map>(steps: &'steps [Step<'map>], path: &[u8]) -> Option<&'steps Step<'map>> {
    steps.get(position(steps, path)?)
}

/// Finds the place of a module's step by its path.
pub fn position(steps: &[Step<'_>], path: &[u8]) -> Option<usize> {
    locate(steps, path).ok()
}

/// Links a step, which is to stand at `place`, into the tree of the steps before it. Returns the place of a step that has
/// the same path, if there is one; then it links nothing.
pub(super) fn link(steps: &mut [Step<'_>], step: &Step<'_>, place: usize) -> Option<usize> {
    match locate(steps, step.path()) {
        Ok(known) => return Some(known),
        Err(parent) => {
            if let Some(parent) = steps.get_mut(parent)
                && let Ok(place) = u16::try_from(place)
            {
                let [lower, other] = &mut parent.links;
                *if step.hash < parent.hash { lower } else { other } = place;
            }
        }
    }
    None
}

/// Builds the tree anew, for steps that have moved.
pub(super) fn relink(steps: &mut [Step<'_>]) {
    for place in 0..steps.len() {
        if let Some((before, [step, ..])) = steps.split_at_mut_checked(place) {
            step.links = [0; 2];
            link(before, step, place);
        }
    }
}

/// Like [`position`]; on a miss, `Err` holds the parent in the tree.
#[inline(never)] // one copy for many callers
fn locate(steps: &[Step<'_>], path: &[u8]) -> Result<usize, usize> {
    let hash = hash(path);
    let (mut parent, mut at) = (0, 0);
    while let Some(step) = steps.get(at) {
        if step.hash == hash && step.path() == path {
            return Ok(at);
        }
        parent = at;
        let [lower, other] = step.links;
        at = if hash < step.hash { lower } else { other }.into();
        // Links lead forward; 0 leads nowhere. A link past the end is of a step that was taken back, or outside this part.
        if at <= parent {
            break;
        }
    }
    Err(parent)
}

/// Mixes the last 16 bytes of a path, in which modules differ most, or the bytes of a shorter one.
fn hash(path: &[u8]) -> u32 {
    let mix = |sum: u32, word: u32| (sum.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b1);
    let Some(tail) = path.last_chunk::<16>() else {
        return path.iter().fold(0, |sum, byte| mix(sum, u32::from(*byte)));
    };
    let (words, _) = tail.as_chunks::<4>();
    words.iter().fold(0, |sum, word| mix(sum, u32::from_ne_bytes(*word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_paths_have_hashes_of_their_own() {
        let hashes: std::collections::BTreeSet<u32> =
            (0..10_000).map(|number| hash(format!("k/m{number}.ko").as_bytes())).collect();
        assert!(hashes.len() > 9_990, "few of 10,000 may collide: {}", hashes.len());
    }
}
