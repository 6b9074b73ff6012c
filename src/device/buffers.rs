// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loader's working memory: one static, composed of the buffers of each part. It is zero until used, so the size for
//! the largest case costs the smallest nothing. Nothing is allocated; each buffer has a defined behaviour when full.

use super::io::config_dirs::Names;
use super::loading::requests::PlanBuffers;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};
use heapless::Vec;
use rustix::mm::{Advice, madvise};

/// All buffers.
pub(crate) struct Buffers {
    /// The names of the files of modprobe.d, then of modules-load.d.
    pub(crate) names: Names,
    /// The text of modprobe.d. Its length stands in the message for `ENOBUFS` too.
    pub(crate) config: Vec<u8, 0x40_0000>,
    /// The kernel command line. Source: COMMAND_LINE_SIZE is at most 4096 in today's kernels.
    pub(crate) cmdline: [u8; 8192],
    pub(crate) plan: PlanBuffers,
    pub(crate) applet: AppletBuffers,
}

impl Buffers {
    const EMPTY: Buffers = Buffers {
        names: Vec::new(),
        config: Vec::new(),
        cmdline: [0; 8192],
        plan: PlanBuffers::EMPTY,
        applet: AppletBuffers::EMPTY,
    };
}

/// The buffers of a command.
pub(crate) struct AppletBuffers {
    /// The arguments that are not options.
    pub(crate) operands: Vec<&'static [u8], 8192>,
    /// The words of MODPROBE_OPTIONS.
    #[cfg_attr(not(feature = "tools"), allow(dead_code, reason = "of the tools"))]
    pub(crate) words: Vec<u8, 8192>,
    /// The modules.dep lines of module files that are named by path.
    pub(crate) lines: [u8; 0x1_0000],
    /// The modules that a dry run has listed: see [`crate::seen`]. Twice as many slots as a tree can have modules.
    pub(crate) named: [u64; 0x2_0000],
}

impl AppletBuffers {
    const EMPTY: AppletBuffers =
        AppletBuffers { operands: Vec::new(), words: Vec::new(), lines: [0; 0x1_0000], named: [0; 0x2_0000] };
}

struct Once {
    buffers: UnsafeCell<Buffers>,
    is_taken: AtomicBool,
}

#[allow(unsafe_code, reason = "the buffers are handed out once")]
// SAFETY: `take` gives the one reference to its first caller
unsafe impl Sync for Once {}

static BUFFERS: Once = Once { buffers: UnsafeCell::new(Buffers::EMPTY), is_taken: AtomicBool::new(false) };

/// Hands the buffers out, once.
#[allow(unsafe_code, reason = "the buffers are handed out once")]
pub(crate) fn take() -> Option<&'static mut Buffers> {
    // Not `swap`, which on Arm64 links 0.8 kB of CPU feature tests: there is one thread.
    if BUFFERS.is_taken.load(Ordering::Relaxed) {
        return None;
    }
    BUFFERS.is_taken.store(true, Ordering::Relaxed);
    let buffers = BUFFERS.buffers.get();
    // Most pages stay unused; transparent huge pages would make them 4 MiB. Kernels without the advice ignore it. Advice is
    // for whole pages.
    let start = buffers.cast::<u8>().map_addr(|addr| addr | 0xfff).wrapping_add(1);
    // SAFETY: advice on memory of our own
    let _ = unsafe { madvise(start.cast(), size_of::<Buffers>().wrapping_sub(0x1000), Advice::LinuxNoHugepage) };
    // SAFETY: there is no other reference: `is_taken` was false
    Some(unsafe { &mut *buffers })
}
