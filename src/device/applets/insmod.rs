// SPDX-License-Identifier: MIT OR Apache-2.0
//! `insmod FILE [PARAM=VALUE...]`: loads one file, and nothing that it needs.

use super::options::take;
use super::print::error;
use super::refusal::KernelLog;
use crate::device::buffers::{AppletBuffers, Buffers};
use crate::device::io::file::open;
use crate::device::io::log::{errno_prose, refusal_prose};
use crate::device::kernel::insert::{IGNORE_MODVERSIONS, IGNORE_VERMAGIC, Inserter};
use crate::device::rt::Args;
use crate::getopt::{Spec, join_options};
use crate::loading::kernel::Refusal;
use crate::loading::run::OPTIONS_LEN;
use crate::modules::name::stem;
use rustix::fs::CWD;

const SPEC: Spec = "f force\nG-force-vermagic\nM-force-modversion\ns syslog\nv verbose\nV version\nh help";

/// Runs the command; `args` begins behind its name. Returns the exit status.
pub(super) fn main(buffers: &'static mut Buffers, mut args: Args, env: Args) -> i32 {
    let Buffers { applet: AppletBuffers { operands, .. }, .. } = buffers;
    let mut force = 0;
    let mut each = |letter, _: &[u8]| {
        match letter {
            b'f' => force = IGNORE_MODVERSIONS | IGNORE_VERMAGIC,
            b'M' => force |= IGNORE_MODVERSIONS,
            b'G' => force |= IGNORE_VERMAGIC,
            _ => {}
        }
        true
    };
    let synopsis = "insmod [OPTION...] FILE [PARAM=VALUE...]";
    if let Err(status) = take(SPEC, synopsis, &mut || args.next_bytes(), operands, &mut each) {
        return status;
    }
    let Some((file, params)) = operands.split_first() else {
        error("missing filename.", &[]);
        return 1;
    };
    if *file == b"-" {
        error("this tool does not support loading from stdin!", &[]);
        return 1;
    }
    let mut options = heapless::Vec::<u8, OPTIONS_LEN>::new();
    if join_options(params, &mut options).is_err() {
        error("the parameters are too long", &[]);
        return 1;
    }
    let kernel_log = KernelLog::new();
    let mut inserter = Inserter::at(CWD, env);
    inserter.force = force;
    let Err(refusal) = inserter.insert(file, &options) else { return 0 };
    let (verb, prose): (&[u8], _) = match refusal {
        Refusal::File(errno) => (b"load", errno_prose(errno)),
        refusal => (b"insert", refusal_prose(refusal)),
    };
    error("could not % module %: %", &[verb, file, prose]);
    kernel_log.explain(refusal, stem(file), &|| open(CWD, file).ok());
    1
}
