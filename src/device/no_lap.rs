//! In the place of `lap`, in a build without a recorder: no time is taken.

/// Nothing.
pub(super) struct Lap;

impl Lap {
    pub(super) fn start() -> Lap {
        Lap
    }

    pub(super) fn end(&self) {}

    pub(super) fn took_us(self) -> u32 {
        0
    }
}
