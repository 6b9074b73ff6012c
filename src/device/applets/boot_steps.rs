// SPDX-License-Identifier: MIT OR Apache-2.0
//! `initmod load`, `coldplug`, `wait`, `explain`: the steps of a boot as commands, for the /init of another image.
//!
//! With `--free` the file of each loaded module is deleted if it is in memory.
//!
//! Exit status: 0 success; 1 a module failed or is unknown, which is reported on stderr; 2 usage error; 3 timeout.

use super::options::take;
use super::print::{error, show};
use crate::bytes;
use crate::bytes::Decimal;
use crate::device::boot::POLL_MS;
use crate::device::buffers::{AppletBuffers, Buffers};
use crate::device::io::log::{Level, line};
use crate::device::loading::dispatch::Dispatcher;
use crate::device::loading::requests::PlanBuffers;
use crate::device::modules::tree::{Modules, or_failed, read_cmdline};
use crate::device::root::explain;
use crate::device::root::wanted::Wanted;
use crate::device::rt::Args;
use crate::device::rt::clock::{now_ms, sleep_ms};
use crate::getopt::Spec;
use crate::loading::options::{BootOptions, Coldplug};
use crate::loading::wait::Left;

const FAILED: i32 = 1;
const MISUSED: i32 = 2;
const LATE: i32 = 3;

/// The default timeout of `wait`, ms.
const PATIENCE_MS: u32 = 30_000;

/// The arguments and buffers of a step.
struct Call {
    operands: &'static [&'static [u8]],
    /// The value of the step's option, ms.
    ms: Option<u32>,
    options: BootOptions<'static>,
    /// `None` without a module tree, which has been reported.
    modules: Option<Modules>,
    plan: &'static mut PlanBuffers,
}

impl Call {
    /// Parses the arguments, of which `operand_count` are operands, and opens the module tree.
    fn take(
        spec: Spec,
        synopsis: &'static str,
        operand_count: core::ops::RangeInclusive<usize>,
        buffers: &'static mut Buffers,
        mut args: Args,
    ) -> Result<Call, i32> {
        let Buffers { names, config, cmdline, plan, applet: AppletBuffers { operands, .. }, .. } = buffers;
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
        let cmdline = read_cmdline(cmdline);
        let mut options = BootOptions::parse(cmdline);
        options.frees = frees;
        let modules = Modules::open(names, config, cmdline);
        Ok(Call { operands, ms, options, modules, plan })
    }
}

/// Starts a load loop, if there is a module tree.
fn begin<'a>(
    modules: &'a Option<Modules>,
    options: &BootOptions<'static>,
    plan: &'static mut PlanBuffers,
    env: Args,
) -> Option<Dispatcher<'a>> {
    modules.as_ref().map(|modules| Dispatcher::new(modules, options, plan, env))
}

/// Ends the load loop and records its numbers.
fn end(dispatcher: &mut Dispatcher<'_>, start_ms: u64) {
    dispatcher.finish();
    dispatcher.requests.sum_up(start_ms, None);
}

/// `initmod load [--free] NAME...`: loads modules by name or alias.
pub(crate) fn load(buffers: &'static mut Buffers, args: Args, env: Args) -> i32 {
    let spec = "f free\nV version\nh help";
    let mut call = match Call::take(spec, "initmod load [--free] NAME...", 1..=usize::MAX, buffers, args) {
        Ok(call) => call,
        Err(status) => return status,
    };
    let start_ms = now_ms();
    call.options.coldplug = Coldplug::None;
    let Some(mut dispatcher) = begin(&call.modules, &call.options, call.plan, env) else { return FAILED };
    dispatcher.release_post();
    let mut is_known = true;
    for name in call.operands {
        dispatcher.drain(false);
        is_known &= dispatcher.requests.named(b"load", name);
    }
    while dispatcher.turn(0) != Left::Nothing {}
    end(&mut dispatcher, start_ms);
    or_failed(if is_known && dispatcher.is_in() { 0 } else { FAILED })
}

/// `initmod coldplug [--free] [--settle MS]`: loads the modules of all devices, also of those that appear meanwhile; ends
/// after MS without a new one.
pub(crate) fn coldplug(buffers: &'static mut Buffers, args: Args, env: Args) -> i32 {
    let spec = "f free\nm=settle\nV version\nh help";
    let mut call = match Call::take(spec, "initmod coldplug [--free] [--settle MS]", 0..=0, buffers, args) {
        Ok(call) => call,
        Err(status) => return status,
    };
    let start_ms = now_ms();
    call.options.coldplug = Coldplug::Full;
    let Some(mut dispatcher) = begin(&call.modules, &call.options, call.plan, env) else { return FAILED };
    let mut busy_ms = start_ms;
    loop {
        // Nothing is left to do only after a whole pass.
        let is_idle = dispatcher.turn(POLL_MS) == Left::Nothing;
        let now_ms = now_ms();
        if !is_idle {
            busy_ms = now_ms;
        } else if now_ms.saturating_sub(busy_ms) >= call.ms.unwrap_or(0).into() {
            break;
        }
    }
    end(&mut dispatcher, start_ms);
    or_failed(if dispatcher.failed_count == 0 { 0 } else { FAILED })
}

/// `initmod wait [--free] [--timeout MS] DEVICE`: loads the modules of devices until DEVICE, named as in `root=`, is there.
/// Prints the path of its node.
pub(crate) fn wait(buffers: &'static mut Buffers, args: Args, env: Args) -> i32 {
    let spec = "f free\nm=timeout\nV version\nh help";
    let call = match Call::take(spec, "initmod wait [--free] [--timeout MS] DEVICE", 1..=1, buffers, args) {
        Ok(call) => call,
        Err(status) => return status,
    };
    let text = call.operands.first().copied().unwrap_or_default();
    let mut wanted = match Wanted::parse(text) {
        Ok(wanted) => wanted,
        Err(prose) => {
            error("%: %", &[text, prose]);
            return MISUSED;
        }
    };
    let mut dispatcher = begin(&call.modules, &call.options, call.plan, env);
    let (start_ms, patience_ms) = (now_ms(), call.ms.unwrap_or(PATIENCE_MS));
    // What is there is requested and loaded once, whatever the time.
    let mut has_passed = dispatcher.is_none();
    loop {
        wanted.look(dispatcher.as_mut().is_none_or(Dispatcher::take_block_news));
        if wanted.node.is_some() || has_passed && now_ms().saturating_sub(start_ms) >= patience_ms.into() {
            break;
        }
        match &mut dispatcher {
            Some(dispatcher) => has_passed |= dispatcher.turn(POLL_MS) != Left::Work,
            None => sleep_ms(POLL_MS),
        }
    }
    if let Some(dispatcher) = &mut dispatcher {
        end(dispatcher, start_ms);
    }
    if let Some(node) = wanted.node {
        show("%\n", &[node.as_bytes()]);
        return 0;
    }
    let waited = Decimal::new(patience_ms.into());
    line(Level::Error, "% did not appear within % ms", &[text, waited.text()]);
    LATE
}

/// `initmod explain`: reports deferred devices with their suppliers, and the block devices that are there.
pub(crate) fn explain(buffers: &'static mut Buffers, args: Args, _: Args) -> i32 {
    let call = match Call::take("V version\nh help", "initmod explain", 0..=0, buffers, args) {
        Ok(call) => call,
        Err(status) => return status,
    };
    explain::report(call.modules.as_ref());
    explain::report_devices();
    0
}
