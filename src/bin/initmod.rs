// SPDX-License-Identifier: MIT OR Apache-2.0
//! `initmod`: the loader's entry point and panic handler. Its code is in [`initmod::device`].
#![no_std]
#![no_main]

use initmod as _; // brings `_start`

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    initmod::device::died()
}
