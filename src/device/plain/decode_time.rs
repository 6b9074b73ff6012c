//! In the place of `lap`, in a build without a recorder: no time is taken.

/// Nothing.
pub(crate) struct Lap;

impl Lap {
    pub(crate) fn start() -> Lap {
        Lap
    }

    pub(crate) fn end(&self) {}

    pub(crate) fn took_us(self) -> u32 {
        0
    }
}
