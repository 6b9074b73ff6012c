//! `initmod load`, `coldplug`, `wait`, `explain`: single steps of a boot, for someone else's /init.
//!
//! With `--free` the file of each module that is in is deleted, where it is in memory.
//!
//! Exit status: 0 done; 1 not all of it, and a line says what; 2 called in another way than this; 3 the time is over.

use super::{error, take};
use crate::bytes;
use crate::bytes::Decimal;
use crate::device::boot::POLL_MS;
use crate::device::buffers::{AppletRoom, PlanRoom, Room};
use crate::device::io::file::read;
use crate::device::io::log::{Level, line, put};
use crate::device::loading::dispatch::Lanes;
use crate::device::modules::tree::{Tree, or_failed, tell_bad_lines, tell_no_tree};
use crate::device::root::blockdev;
use crate::device::rt::Args;
use crate::device::rt::clock::{now_ms, sleep_ms};
use crate::getopt::Spec;
use crate::loading::options::{BootOptions, Coldplug};
use crate::modules::resolve::Resolver;
use crate::root::rootdev::RootDev;
use rustix::fs::CWD;

const FAILED: i32 = 1;
const MISUSED: i32 = 2;
const LATE: i32 = 3;

/// How long `wait` waits where nothing else is said, ms.
const PATIENCE_MS: u32 = 30_000;

/// Where the kernel's modules are; `None` was told.
type Known = Option<(Tree, Resolver<'static>)>;

/// What a step begins with.
struct Call {
    operands: &'static [&'static [u8]],
    /// The value of the step's option, ms.
    ms: Option<u32>,
    options: BootOptions<'static>,
    known: Known,
    plan: &'static mut PlanRoom,
}

impl Call {
    /// Takes the arguments, `operand_count` of which are no options, and opens the module tree.
    fn take(
        spec: Spec,
        synopsis: &'static str,
        operand_count: core::ops::RangeInclusive<usize>,
        room: &'static mut Room,
        mut args: Args,
    ) -> Result<Call, i32> {
        let Room { config, cmdline, plan, applet: AppletRoom { operands, .. }, .. } = room;
        let (mut ms, mut frees) = (None, false);
        let mut each = |letter, value: &[u8]| {
            match letter {
                b'f' => frees = true,
                _ => ms = bytes::decimal(value),
            }
            letter == b'f' || ms.is_some()
        };
        take(spec, synopsis, &mut || args.next_bytes(), operands, &mut each)
            .map_err(|status| if status == 0 { 0 } else { MISUSED })?;
        if !operand_count.contains(&operands.len()) {
            error("usage: %", &[synopsis.as_bytes()]);
            return Err(MISUSED);
        }
        let cmdline = read(CWD, b"/proc/cmdline", cmdline).unwrap_or_default();
        let known = match Tree::open() {
            Ok(tree) => {
                let resolver = tree.resolver(config, cmdline);
                tell_bad_lines(&resolver.config);
                Some((tree, resolver))
            }
            Err(errno) => {
                tell_no_tree(errno);
                None
            }
        };
        let mut options = BootOptions::parse(cmdline);
        options.frees = frees;
        Ok(Call { operands, ms, options, known, plan })
    }
}

/// Begins to load, where modules are known.
fn begin<'a>(
    known: &'a Known,
    options: &BootOptions<'static>,
    plan: &'static mut PlanRoom,
    env: Args,
) -> Option<Lanes<'a>> {
    let (tree, resolver) = known.as_ref()?;
    Some(Lanes::new(tree, *resolver, options, plan, env))
}

/// Ends it, and writes down what it came to.
fn end(lanes: &mut Lanes<'_>, start_ms: u64) {
    lanes.finish();
    lanes.asks.sum_up(start_ms, None);
}

/// `initmod load [--free] NAME...`: loads what the names stand for.
pub(crate) fn load(room: &'static mut Room, args: Args, env: Args) -> i32 {
    let mut call =
        match Call::take("f free\nV version\nh help", "initmod load [--free] NAME...", 1..=usize::MAX, room, args) {
            Ok(call) => call,
            Err(status) => return status,
        };
    let start_ms = now_ms();
    call.options.coldplug = Coldplug::None;
    let Some(mut lanes) = begin(&call.known, &call.options, call.plan, env) else { return FAILED };
    lanes.release_post();
    let mut is_known = true;
    for name in call.operands {
        lanes.make_room(false);
        is_known &= lanes.asks.named(b"load", name);
    }
    while !lanes.turn(0) {}
    end(&mut lanes, start_ms);
    or_failed(if is_known && lanes.is_in() { 0 } else { FAILED })
}

/// `initmod coldplug [--free] [--settle MS]`: loads what the devices ask for, and those that come up meanwhile; ends once nothing
/// has come up for so long.
pub(crate) fn coldplug(room: &'static mut Room, args: Args, env: Args) -> i32 {
    let spec = "f free\nm=settle\nV version\nh help";
    let mut call = match Call::take(spec, "initmod coldplug [--free] [--settle MS]", 0..=0, room, args) {
        Ok(call) => call,
        Err(status) => return status,
    };
    let start_ms = now_ms();
    call.options.coldplug = Coldplug::Full;
    let Some(mut lanes) = begin(&call.known, &call.options, call.plan, env) else { return FAILED };
    let mut busy_ms = start_ms;
    while now_ms().saturating_sub(busy_ms) <= call.ms.unwrap_or(0).into() {
        if !lanes.turn(POLL_MS) {
            busy_ms = now_ms();
        }
    }
    end(&mut lanes, start_ms);
    or_failed(if lanes.failed_count == 0 { 0 } else { FAILED })
}

/// `initmod wait [--free] [--timeout MS] DEVICE`: loads what the devices ask for until the one that `DEVICE` means, as root= does,
/// is there, and prints the path of its node.
pub(crate) fn wait(room: &'static mut Room, args: Args, env: Args) -> i32 {
    let spec = "f free\nm=timeout\nV version\nh help";
    let call = match Call::take(spec, "initmod wait [--free] [--timeout MS] DEVICE", 1..=1, room, args) {
        Ok(call) => call,
        Err(status) => return status,
    };
    let wanted = call.operands.first().copied().unwrap_or_default();
    let Some(dev) = blockdev::parse(wanted) else {
        error("%: %", &[wanted, blockdev::NOT_UNDERSTOOD]);
        return MISUSED;
    };
    let mut lanes = begin(&call.known, &call.options, call.plan, env);
    let (start_ms, patience_ms) = (now_ms(), call.ms.unwrap_or(PATIENCE_MS));
    let found = loop {
        let is_news = lanes.as_mut().is_none_or(Lanes::block_news);
        if (is_news || matches!(dev, RootDev::Path(_) | RootDev::Number(..)))
            && let Some(node) = blockdev::find(&dev)
        {
            break Some(node);
        }
        if now_ms().saturating_sub(start_ms) >= patience_ms.into() {
            break None;
        }
        match &mut lanes {
            Some(lanes) => drop(lanes.turn(POLL_MS)),
            None => sleep_ms(POLL_MS),
        }
    };
    if let Some(lanes) = &mut lanes {
        end(lanes, start_ms);
    }
    if let Some(node) = found {
        put(false, &[node.as_bytes(), b"\n"]);
        return 0;
    }
    let waited = Decimal::new(patience_ms.into());
    line(Level::Error, &[wanted, b" did not appear within ", waited.text(), b" ms"]);
    LATE
}

/// `initmod explain`: says what keeps devices back, and which block devices are there.
pub(crate) fn explain(room: &'static mut Room, args: Args, _: Args) -> i32 {
    use crate::device::root::explain::{Scene, tell, tell_devices};
    let call = match Call::take("V version\nh help", "initmod explain", 0..=0, room, args) {
        Ok(call) => call,
        Err(status) => return status,
    };
    tell(call.known.as_ref().map(|(tree, resolver)| Scene { tree, resolver }));
    tell_devices();
    0
}
