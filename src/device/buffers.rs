//! The loader's working memory: one static, zero until used, so that room for the largest case costs nothing in the
//! smallest. Nothing here is allocated; each buffer has a defined way to be full.

use crate::loading::plan::Step;
use crate::loading::schedule::Edge;
use crate::modules::resolve::Match;
use core::cell::UnsafeCell;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicBool, Ordering};
use heapless::Vec;
use rustix::mm::{Advice, madvise};

/// Most modules of a tree. Source: depmod numbers modules in 16 bits.
const MODULE_COUNT: usize = 65_536;

/// All buffers.
pub(crate) struct Room {
    /// Text of modprobe.d.
    pub(crate) config: Vec<u8, 0x10_0000>,
    /// The kernel command line. Source: COMMAND_LINE_SIZE is at most 4096 in the kernels of today.
    pub(crate) cmdline: [u8; 8192],
    pub(crate) plan: PlanRoom,
    pub(crate) applet: AppletRoom,
}

/// The buffers of a command.
pub(crate) struct AppletRoom {
    /// Arguments that are no options.
    pub(crate) operands: Vec<&'static [u8], 8192>,
    /// Words of MODPROBE_OPTIONS.
    #[cfg_attr(not(feature = "tools"), allow(dead_code, reason = "of the tools"))]
    pub(crate) words: Vec<u8, 8192>,
    /// The line that modules.dep would have for a module file that is given by path.
    pub(crate) line: Vec<u8, 0x1_0000>,
}

/// The buffers of a plan.
#[cfg_attr(not(feature = "boot"), allow(dead_code, reason = "who loads in order needs no edges"))]
pub(crate) struct PlanRoom {
    pub(crate) steps: Vec<Step<'static>, MODULE_COUNT>,
    pub(crate) visited: Vec<*const u8, MODULE_COUNT>,
    pub(crate) matches: Vec<Match<'static>, 1024>,
    /// The modaliases that were asked for: see [`crate::seen`].
    pub(crate) seen: [u64; 1024],
    /// The steps that were taken out of the plan.
    pub(crate) past: [u64; 1024],
    /// What holds steps back; once full, one module goes after the other.
    pub(crate) edges: Vec<Edge, 0x4_0000>,
    pub(crate) firsts: Vec<Option<NonZeroU32>, MODULE_COUNT>,
    pub(crate) record: RecordRoom,
}

/// The buffers of the flight recorder.
#[cfg(feature = "boot")]
pub(crate) struct RecordRoom {
    /// Who asked for each step of the plan.
    pub(crate) origins: Vec<super::loading::recorder::Origin, MODULE_COUNT>,
    /// In which words; once full, it is no longer told.
    pub(crate) texts: Vec<u8, 0x1_0000>,
    /// Files and words of the command line that ask; once full, they are no longer told.
    pub(crate) words: Vec<u8, 0x4000>,
}
#[cfg(not(feature = "boot"))]
pub(crate) struct RecordRoom;

struct Once {
    room: UnsafeCell<Room>,
    taken: AtomicBool,
}

#[allow(unsafe_code, reason = "the room is handed out once")]
// SAFETY: `take` gives the one reference to whoever asks first
unsafe impl Sync for Once {}

static ROOM: Once = Once {
    room: UnsafeCell::new(Room {
        config: Vec::new(),
        cmdline: [0; 8192],
        plan: PlanRoom {
            steps: Vec::new(),
            visited: Vec::new(),
            matches: Vec::new(),
            seen: [0; 1024],
            past: [0; 1024],
            edges: Vec::new(),
            firsts: Vec::new(),
            #[cfg(feature = "boot")]
            record: RecordRoom { origins: Vec::new(), texts: Vec::new(), words: Vec::new() },
            #[cfg(not(feature = "boot"))]
            record: RecordRoom,
        },
        applet: AppletRoom { operands: Vec::new(), words: Vec::new(), line: Vec::new() },
    }),
    taken: AtomicBool::new(false),
};

/// Hands the room out, once.
#[allow(unsafe_code, reason = "the room is handed out once")]
pub(crate) fn take() -> Option<&'static mut Room> {
    // Not `swap`, which on Arm64 brings 0.8 kB of CPU feature tests along: there is one thread.
    if ROOM.taken.load(Ordering::Relaxed) {
        return None;
    }
    ROOM.taken.store(true, Ordering::Relaxed);
    let room = ROOM.room.get();
    // Of the room little is used: in huge pages, which the kernel gives where it can, that would be 4 MiB. Not known: so be it.
    // Advice is for whole pages.
    let start = room.cast::<u8>().map_addr(|addr| addr | 0xfff).wrapping_add(1);
    // SAFETY: advice on memory of our own
    let _ = unsafe { madvise(start.cast(), size_of::<Room>().wrapping_sub(0x1000), Advice::LinuxNoHugepage) };
    // SAFETY: nobody else has a reference: `taken` was false
    Some(unsafe { &mut *room })
}
