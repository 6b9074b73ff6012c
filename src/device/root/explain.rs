// SPDX-License-Identifier: MIT OR Apache-2.0
//! The post-mortem: explains why the root is not there and what could help, a line for each cause, the likeliest first.
//!
//! debugfs lists deferred devices. Links in /sys lead from each to its suppliers; the device tree's property is found by
//! the supplier's phandle. modules.left-out lists the drivers that the image lacks, `compatible modname` on each line.
//! Source: the kernel's drivers/base/{dd,core}.c, drivers/of/property.c.

use super::blockdev;
use super::mount::{MOUNT_POINT, Root, mount_prose};
use super::phandle::{cells_of, each_supplier};
use crate::bytes::{basename, split, split_around, split_once};
use crate::device::io::file::{each_entry, link, open, open_joined, read, read_joined};
use crate::device::io::log::{Level, errno_prose, line};
use crate::device::io::mmap::map;
use crate::device::io::path::{Name, Path, path};
use crate::device::kernel::state::state_of;
use crate::device::loading::coldplug::each_device;
use crate::device::modules::tree::{Modules, Tree};
use crate::device::rt::{Args, Strings, execve};
use crate::loading::kernel::{Errno, State};
use crate::modules::name::stem;
use crate::modules::resolve::{MATCH_COUNT, Match};
use crate::modules::uevent::Uevent;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, statat};
use rustix::mount::{MountFlags, mount};

/// Reports deferred devices with their suppliers, missing firmware, and storage devices without a driver.
#[inline(never)]
pub(crate) fn report(modules: Option<&Modules>) {
    let mut deferred = [0; 4096];
    let _ = mount(c"debugfs", c"/sys/kernel/debug", c"debugfs", MountFlags::empty(), c"");
    let list = read(CWD, b"/sys/kernel/debug/devices_deferred", &mut deferred);
    let is_likely = |name: &[u8]| LIKELY.iter().any(|end| name.ends_with(end));
    let deferred = list.unwrap_or_default();
    for likely in [true, false] {
        if list.is_none() {
            // Without debugfs: controllers without a driver, and devices whose waiting_for_supplier is 1.
            each_entry(CWD, PLATFORM, &mut |name, _| {
                if is_likely(name) == likely
                    && (likely || is_waiting(name))
                    && link("%/%/driver", &[PLATFORM, name]).is_none()
                {
                    report_suppliers(name, modules);
                }
            });
        }
        for entry in split(deferred, b'\n').filter(|entry| !entry.is_empty()) {
            let (name, reason) = split_once(entry, b'\t').unwrap_or((entry, b""));
            if is_likely(name) == likely && !report_suppliers(name, modules) {
                let reason = if reason.is_empty() { b"the kernel gives no reason" } else { reason };
                line(Level::Error, "% is deferred: %", &[name, reason]);
            }
        }
    }
    report_firmware();
    let Some(modules) = modules else { return };
    each_device(&mut |device, _| {
        if let Some(modalias) = device.get(b"MODALIAS")
            && is_storage(modalias)
            && device.get(b"DRIVER").is_none()
            && driver(modalias, modules).is_none()
        {
            line(Level::Error, "storage device without a driver in this image: %", &[modalias]);
        }
    });
}

const PLATFORM: &[u8] = b"/sys/bus/platform/devices";

/// Endings of the names of platform devices that are disk controllers, which are reported first.
const LIKELY: [&[u8]; 6] = [b".mmc", b".usb", b".sata", b".pcie", b".ufs", b"nand-controller"];

/// Whether a platform device waits for a supplier. Source: the kernel's drivers/base/core.c,
/// `waiting_for_supplier_show`.
fn is_waiting(name: &[u8]) -> bool {
    let mut answer = [0; 4];
    read_joined(CWD, "%/%/waiting_for_supplier", &[PLATFORM, name], &mut answer) == Some(b"1\n")
}

/// Reports the suppliers of a device that have no driver, by the kernel's links or else by the device tree. Returns whether
/// there is one.
fn report_suppliers(name: &[u8], modules: Option<&Modules>) -> bool {
    let mut is_reported = false;
    each_entry(CWD, b"/sys/bus", &mut |bus, _| {
        let Ok(device) = path("/sys/bus/%/devices/%", &[bus, name]) else { return };
        let mut last: Option<Path> = None;
        let mut report = |supplier: Path, last: &mut Option<Path>| {
            let is_last = last.as_ref().is_some_and(|last| last.as_bytes() == supplier.as_bytes());
            if !is_last && link("%/driver", &[supplier.as_bytes()]).is_none() {
                is_reported = true;
                report_supplier(&device, &supplier, modules);
                *last = Some(supplier);
            }
        };
        each_entry(CWD, device.as_bytes(), &mut |entry, _| {
            if let Ok(supplier) = path("%/%/supplier", &[device.as_bytes(), entry])
                && entry.starts_with(b"supplier:")
            {
                report(supplier, &mut last);
            }
        });
        if last.is_none() {
            // There are no links before Linux 5.10, with fw_devlink=off, and to suppliers that are not devices yet.
            each_supplier(&device, &mut |supplier| report(supplier, &mut last));
        }
    });
    is_reported
}

#[inline(never)]
fn report_supplier(device: &Path, supplier: &Path, modules: Option<&Modules>) {
    let (consumer, name) = (node_name(device), node_name(supplier));
    let (Some(consumer), Some(name)) = (consumer, name) else { return };
    let mut property = Name::new();
    find_property(device, supplier, &mut property);
    let [open, close]: [&[u8]; 2] = if property.is_empty() { [b"", b""] } else { [b" (", b")"] };
    let mut buf = [0; 4096];
    let uevent = read_joined(CWD, "%/uevent", &[supplier.as_bytes()], &mut buf);
    let uevent = Uevent::file(uevent.unwrap_or_default());
    let known = modules.and_then(|modules| driver(uevent.get(b"MODALIAS")?, modules));
    let left_out = modules.and_then(|modules| left_out(uevent, &modules.tree));
    let (who, what): (&[u8], &[u8]) = match (known, left_out) {
        (Some(Match::Module(line)), _) => {
            let modname = stem(line.path());
            if crate::modules::name::modname(modname).is_ok_and(|modname| state_of(&modname) == State::Live) {
                (modname, b" is loaded but did not bind to it")
            } else {
                (modname, b" is in this image but not loaded; see its line")
            }
        }
        (Some(_), _) => (b"its driver", b" is built in but did not bind to it"),
        (None, Some(modname)) => (modname, b" is not in this image; rebuild it with mkinitmod build --dtb FILE"),
        (None, None) => (
            uevent.get(b"OF_COMPATIBLE_0").unwrap_or_default(),
            b" matches no module in this image; rebuild it with mkinitmod build --dtb FILE",
        ),
    };
    let (consumer, name) = (basename(consumer.as_bytes()), basename(name.as_bytes()));
    line(Level::Error, "% waits for %%%%: %%", &[consumer, name, open, &property, close, who, what]);
}

/// Returns the path of a device's device-tree node, or of the device if it has none.
fn node_name(device: &Path) -> Option<Path> {
    link("%/of_node", &[device.as_bytes()]).or_else(|| link("%", &[device.as_bytes()]))
}

/// Writes to `found` the property of the device's node that refers to the supplier: the first with its phandle.
fn find_property(device: &Path, supplier: &Path, found: &mut Name) {
    let (mut phandle, mut buf) = ([0; 4], [0; 256]);
    let handle = read_joined(CWD, "%/of_node/phandle", &[supplier.as_bytes()], &mut phandle);
    let Some(handle @ [_, _, _, _]) = handle else { return };
    let Ok(node) = open_joined(CWD, "%/of_node", &[device.as_bytes()]) else { return };
    each_entry(node.as_fd(), b".", &mut |property, _| {
        if found.is_empty()
            && cells_of(property).is_some()
            && read(node.as_fd(), property, &mut buf)
                .is_some_and(|cells| cells.as_chunks::<4>().0.iter().any(|cell| cell == handle))
        {
            let _ = found.extend_from_slice(property);
        }
    });
}

/// Returns the first module, or built-in driver, for a modalias.
fn driver(modalias: &[u8], modules: &Modules) -> Option<Match<'static>> {
    let mut matches = heapless::Vec::<Match<'static>, MATCH_COUNT>::new();
    // A damaged index has been reported.
    let _ = modules.resolver.resolve(modalias, &mut matches);
    matches.first().copied()
}

/// Returns the driver of a device if the image was built without it.
fn left_out(device: Uevent<'_>, tree: &Tree) -> Option<&'static [u8]> {
    let list = open(tree.dir.as_fd(), b"modules.left-out").and_then(|file| map(&file)).ok()?;
    let mut lines = split(list, b'\n').filter_map(|line| split_once(line, b' '));
    lines.find(|(known, _)| device.is_compatible(known)).map(|(_, modname)| modname)
}

/// Whether a modalias is that of a disk or of a disk controller.
fn is_storage(modalias: &[u8]) -> bool {
    let holds = |part: &[u8]| split_around(modalias, part).is_some();
    match split_once(modalias, b':') {
        Some((b"pci", _)) => holds(b"bc01") || holds(b"bc0Csc03"),
        Some((b"usb", _)) => holds(b"ic08"),
        Some((b"virtio", id)) => id.starts_with(b"d00000002") || id.starts_with(b"d00000008"),
        Some((bus, rest)) => matches!(bus, b"mmc" | b"scsi" | b"nvme") || bus == b"of" && rest.starts_with(b"Nmmc"),
        None => false,
    }
}

/// Reports the firmware files that the kernel did not find, from its log.
fn report_firmware() {
    each_kernel_line(&mut |text| {
        if let Some((_, behind)) = split_around(text, b"Direct firmware load for ")
            && let Some((name, _)) = split_once(behind, b' ')
        {
            line(Level::Error, "firmware is missing from this image: %", &[name]);
        }
    });
}

/// Calls `each` with the text of each line of the kernel's log. Source: the kernel's
/// Documentation/ABI/testing/dev-kmsg.
fn each_kernel_line(each: &mut dyn FnMut(&[u8])) {
    let Ok(log) = open(CWD, b"/dev/kmsg") else { return };
    let mut buf = [0; 2048];
    // Each read gives one record; the end of the log and an overwritten record give errors.
    while let Ok(len) = rustix::io::read(&log, &mut buf) {
        let record = buf.get(..len).unwrap_or_default();
        let text = split_once(record, b';').map_or(record, |(_, text)| text);
        each(split_once(text, b'\n').map_or(text, |(text, _)| text));
    }
}

/// Reports why the root cannot be mounted, and what could help.
pub(crate) fn report_unmountable(root: &Root<'_>, errno: Errno) {
    let mut found = Name::new();
    if let Some(node) = root.node() {
        blockdev::fs_type(node, &mut found);
    }
    let mut known = [0; 4096];
    let known = read(CWD, b"/proc/filesystems", &mut known).unwrap_or_default();
    let is_known = split(known, b'\n').any(|line| line.strip_prefix(b"\t") == Some(&found));
    let node = root.node_path();
    if found.is_empty() || is_known {
        let is: &[u8] = if found.is_empty() { b"" } else { b", which holds " };
        let why = mount_prose(errno, !found.is_empty());
        line(Level::Error, "mounting %%%, failed: %", &[node, is, &found, why]);
        if !found.is_empty() {
            report_last_words(&found);
        }
        return;
    }
    let fix = b", whose module is missing from this image, or failed; rebuild it with mkinitmod build --fs TYPE";
    line(Level::Error, "mounting % failed: it holds %%", &[node, &found, fix]);
}

/// Repeats the kernel's last line on file systems of a type: `EXT4-fs (vda1): ...`, `ext4: ...`.
fn report_last_words(fs_type: &[u8]) {
    let mut last = heapless::Vec::<u8, 512>::new();
    each_kernel_line(&mut |text| {
        // Three letters, as the ext4 driver speaks for ext2 and ext3.
        if text.iter().zip(fs_type).take(3).all(|(a, b)| a.eq_ignore_ascii_case(b)) {
            last.clear();
            let _ = last.extend_from_slice(text.get(..512).unwrap_or(text));
        }
    });
    if !last.is_empty() {
        line(Level::Error, "the kernel: %", &[&last]);
    }
}

/// Returns the end of the message that the root did not appear in time: the unit of seconds, and advice.
pub(crate) fn seconds_and_advice(root: &Root<'_>) -> &'static [u8] {
    let is_numbered = root.text.starts_with(b"/dev/mmcblk");
    if is_numbered { b" s; mmcblk numbers can change between boots, root=UUID= does not" } else { b" s" }
}

/// Reports why a mount of the initramfs cannot be moved to the root.
pub(crate) fn report_left_behind(place: &[u8], root: &Root<'_>, errno: Errno, has_dir: bool) {
    let why: &[u8] = if has_dir { b": " } else { b": no such directory, and mkdir failed: " };
    line(Level::Error, "cannot move % to the root %%%", &[place, root.text, why, errno_prose(errno)]);
}

/// Reports the block devices that are there.
pub(crate) fn report_devices() {
    let mut is_any = false;
    blockdev::describe(&mut |name, content| {
        is_any = true;
        line(Level::Error, "block device /dev/%:%", &[name, content]);
    });
    if !is_any {
        line(Level::Error, "no block devices: the driver of the disk, or of its bus, is missing", &[]);
    }
}

/// Runs a shell before the switch to the root, for `rd.break`.
pub(crate) fn pause(env: Args) {
    line(Level::Notice, "rd.break: the root is mounted on %", &[MOUNT_POINT.to_bytes()]);
    shell(env);
}

/// Runs the image's shell on the console until it ends. Returns whether there is one.
pub(crate) fn shell(env: Args) -> bool {
    if statat(CWD, c"/bin/sh", AtFlags::empty()).is_err() {
        return false;
    }
    line(Level::Notice, "starting /bin/sh; the boot continues when it ends", &[]);
    let status = crate::device::kernel::child::in_child(|| {
        let argv = Strings::new([c"sh"].into_iter());
        execve(c"/bin/sh", &argv, &Strings::new(env.map(|var| var as &core::ffi::CStr)));
        NOT_STARTED
    });
    status != Ok(NOT_STARTED)
}

/// The exit status of a child that could not start the shell.
const NOT_STARTED: i32 = 126;
