//! The post-mortem: why the root is not there, and what could help. One line each, the likeliest cause first.
//!
//! Devices that the kernel has put off are listed in debugfs; what each waits for are links beside it in /sys, and which
//! property of the device tree says so is found by the supplier's phandle. The image names drivers that were left out of
//! it in modules.left-out, `compatible modname` a line. Source: the kernel's drivers/base/{dd,core}.c,
//! drivers/of/property.c.

use super::blockdev;
use super::mount::{MOUNT_POINT, Root, mount_prose};
use crate::bytes::{basename, split_once};
use crate::device::io::file::{each_entry, link, open, open_joined, read, read_joined};
use crate::device::io::log::{Level, errno_prose, line};
use crate::device::io::mmap::map;
use crate::device::io::path::{Name, Path, path};
use crate::device::kernel::state::state_of;
use crate::device::modules::tree::Tree;
use crate::device::rt::{Args, Strings, execve};
use crate::loading::kernel::{Errno, State};
use crate::modules::name::stem;
use crate::modules::resolve::{Match, Resolver};
use crate::modules::uevent::Uevent;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};
use rustix::mount::{MountFlags, mount};

/// Where the post-mortem knows drivers from.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) resolver: &'a Resolver<'static>,
}

/// Says what devices wait for, what firmware is missing, and which storage no module here knows.
#[inline(never)] // smaller so
pub(crate) fn tell(scene: Option<Scene<'_>>) {
    let mut deferred = [0; 4096];
    let _ = mount(c"debugfs", c"/sys/kernel/debug", c"debugfs", MountFlags::empty(), c"");
    let list = read(CWD, b"/sys/kernel/debug/devices_deferred", &mut deferred);
    let is_likely = |name: &[u8]| LIKELY.iter().any(|end| name.ends_with(end));
    let deferred = list.unwrap_or_default();
    for likely in [true, false] {
        if list.is_err() {
            // No debugfs: what disks are behind and no driver has taken may wait as well, and what says so itself.
            each_entry(CWD, PLATFORM, &mut |name, _| {
                if is_likely(name) == likely
                    && (likely || is_waiting(name))
                    && link(&[PLATFORM, b"/", name, b"/driver"]).is_none()
                {
                    tell_suppliers(name, scene);
                }
            });
        }
        for entry in deferred.split(|&byte| byte == b'\n').filter(|entry| !entry.is_empty()) {
            let (name, reason) = split_once(entry, b'\t').unwrap_or((entry, b""));
            if is_likely(name) == likely && !tell_suppliers(name, scene) {
                let reason = if reason.is_empty() { b"the kernel does not say for what" } else { reason };
                line(Level::Error, &[name, b" waits: ", reason]);
            }
        }
    }
    tell_firmware();
    let Some(scene) = scene else { return };
    crate::device::loading::coldplug::each_device(&mut |device, _| {
        if let Some(modalias) = device.get(b"MODALIAS")
            && is_storage(modalias)
            && device.get(b"DRIVER").is_none()
            && driver(modalias, scene).is_none()
        {
            line(Level::Error, &[b"storage that no module in this image knows: ", modalias]);
        }
    });
}

const PLATFORM: &[u8] = b"/sys/bus/platform/devices";

/// How names of platform devices end that disks are behind: what waits of these is told first.
const LIKELY: [&[u8]; 6] = [b".mmc", b".usb", b".sata", b".pcie", b".ufs", b"nand-controller"];

/// Says whether a platform device says that it waits. Source: the kernel's drivers/base/core.c,
/// `waiting_for_supplier_show`.
fn is_waiting(name: &[u8]) -> bool {
    let mut answer = [0; 4];
    read_joined(CWD, &[PLATFORM, b"/", name, b"/waiting_for_supplier"], &mut answer) == Ok(b"1\n")
}

/// Tells which suppliers of a device have no driver, by the links that the kernel has made of the device tree, or by the
/// device tree; says whether there is one.
fn tell_suppliers(name: &[u8], scene: Option<Scene<'_>>) -> bool {
    let mut is_told = false;
    each_entry(CWD, b"/sys/bus", &mut |bus, _| {
        let Ok(device) = path(&[b"/sys/bus/", bus, b"/devices/", name]) else { return };
        let mut last: Option<Path> = None;
        let mut tell = |supplier: Path, last: &mut Option<Path>| {
            let is_last = last.as_ref().is_some_and(|last| last.as_bytes() == supplier.as_bytes());
            if !is_last && link(&[supplier.as_bytes(), b"/driver"]).is_none() {
                is_told = true;
                tell_supplier(&device, &supplier, scene);
                *last = Some(supplier);
            }
        };
        each_entry(CWD, device.as_bytes(), &mut |entry, _| {
            if let Ok(supplier) = path(&[device.as_bytes(), b"/", entry, b"/supplier"])
                && entry.starts_with(b"supplier:")
            {
                tell(supplier, &mut last);
            }
        });
        if last.is_none() {
            // No links before 5.10, with fw_devlink=off, and to what is no device yet: its waiting_for_supplier.
            super::phandle::each_supplier(&device, &mut |supplier| tell(supplier, &mut last));
        }
    });
    is_told
}

#[inline(never)] // smaller so
fn tell_supplier(device: &Path, supplier: &Path, scene: Option<Scene<'_>>) {
    let (consumer, name) = (node_name(device), node_name(supplier));
    let (Some(consumer), Some(name)) = (consumer, name) else { return };
    let mut property = Name::new();
    find_property(device, supplier, &mut property);
    let [open, close]: [&[u8]; 2] = if property.is_empty() { [b"", b""] } else { [b" (", b")"] };
    let mut buf = [0; 4096];
    let uevent = read_joined(CWD, &[supplier.as_bytes(), b"/uevent"], &mut buf);
    let uevent = Uevent::file(uevent.unwrap_or_default());
    let known = scene.and_then(|scene| driver(uevent.get(b"MODALIAS")?, scene));
    let left_out = scene.and_then(|scene| left_out(uevent, scene.tree));
    let (who, what): (&[u8], &[u8]) = match (known, left_out) {
        (Some(Match::Module(line)), _) => {
            let modname = stem(line.path());
            if crate::modules::name::modname(modname).is_ok_and(|modname| state_of(&modname) == State::Live) {
                (modname, b" is loaded, and did not take it")
            } else {
                (modname, b" is in this image, but not loaded; its own line says why")
            }
        }
        (Some(_), _) => (b"its driver", b" is built in, and did not take it"),
        (None, Some(modname)) => (modname, b" is not in this image; rebuild with --dtb"),
        (None, None) => (
            uevent.get(b"OF_COMPATIBLE_0").unwrap_or_default(),
            b" is known to no module of this image; rebuild with --dtb",
        ),
    };
    let (consumer, name) = (basename(consumer.as_bytes()), basename(name.as_bytes()));
    line(Level::Error, &[consumer, b" waits for ", name, open, &property, close, b": ", who, what]);
}

/// Returns the path of a device's node in the device tree, or of the device itself.
fn node_name(device: &Path) -> Option<Path> {
    link(&[device.as_bytes(), b"/of_node"]).or_else(|| link(&[device.as_bytes()]))
}

/// Finds which property of a device's node leads to the supplier's: the first that holds its phandle.
fn find_property(device: &Path, supplier: &Path, found: &mut Name) {
    let (mut phandle, mut buf) = ([0; 4], [0; 256]);
    let handle = read_joined(CWD, &[supplier.as_bytes(), b"/of_node/phandle"], &mut phandle);
    let Ok(handle @ [_, _, _, _]) = handle else { return };
    let Ok(node) = open_joined(CWD, &[device.as_bytes(), b"/of_node"]) else { return };
    each_entry(node.as_fd(), b".", &mut |property, _| {
        if found.is_empty()
            && super::phandle::cells_of(property).is_some()
            && read(node.as_fd(), property, &mut buf)
                .is_ok_and(|cells| cells.as_chunks::<4>().0.iter().any(|cell| cell == handle))
        {
            let _ = found.extend_from_slice(property);
        }
    });
}

/// Finds what a modalias stands for.
fn driver(modalias: &[u8], scene: Scene<'_>) -> Option<Match<'static>> {
    let mut matches = heapless::Vec::<Match<'static>, 128>::new();
    // A damaged index was told when it was met.
    let _ = scene.resolver.resolve(modalias, &mut matches);
    matches.first().copied()
}

/// Finds the module for one of a device's compatible strings that the image was built without.
fn left_out(device: Uevent<'_>, tree: &Tree) -> Option<&'static [u8]> {
    let list = open(tree.dir.as_fd(), b"modules.left-out").and_then(|file| map(&file)).ok()?;
    let mut lines = list.split(|&byte| byte == b'\n').filter_map(|line| split_once(line, b' '));
    lines.find(|(known, _)| device.is_compatible(known)).map(|(_, modname)| modname)
}

/// Says whether a modalias looks like that of a disk, or of what disks are behind.
fn is_storage(modalias: &[u8]) -> bool {
    let holds = |part: &[u8]| modalias.windows(part.len()).any(|window| window == part);
    match split_once(modalias, b':') {
        Some((b"pci", _)) => holds(b"bc01") || holds(b"bc0Csc03"),
        Some((b"usb", _)) => holds(b"ic08"),
        Some((b"virtio", id)) => id.starts_with(b"d00000002") || id.starts_with(b"d00000008"),
        Some((bus, rest)) => matches!(bus, b"mmc" | b"scsi" | b"nvme") || bus == b"of" && rest.starts_with(b"Nmmc"),
        None => false,
    }
}

/// Tells the firmware files that the kernel has missed, from its own log.
fn tell_firmware() {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(log) = openat(CWD, c"/dev/kmsg", flags, Mode::empty()) else { return };
    let mut buf = [0; 2048];
    // One record a read; the end, and what was overwritten meanwhile, are errors.
    while let Ok(len) = rustix::io::read(&log, &mut buf) {
        let record = buf.get(..len).unwrap_or_default();
        const WORDS: &[u8] = b"Direct firmware load for ";
        if let Some(at) = record.windows(WORDS.len()).position(|window| window == WORDS)
            && let Some((name, _)) = split_once(record.get(at.saturating_add(WORDS.len())..).unwrap_or_default(), b' ')
        {
            line(Level::Error, &[b"firmware is missing from this image: ", name]);
        }
    }
}

/// Says why the root can't be mounted, and what could help.
pub(crate) fn tell_unmountable(root: &Root<'_>, errno: Errno) {
    let mut found = Name::new();
    root.fs_type(&mut found);
    let mut known = [0; 4096];
    let known = read(CWD, b"/proc/filesystems", &mut known).unwrap_or_default();
    let is_known = known.split(|&byte| byte == b'\n').any(|line| line.strip_prefix(b"\t") == Some(&found));
    let node = root.node_path();
    if found.is_empty() || is_known {
        let (found, is): (&[u8], &[u8]) = if found.is_empty() { (b"", b"") } else { (&found, b", which holds ") };
        return line(Level::Error, &[b"mounting ", node, is, found, b", failed: ", mount_prose(errno)]);
    }
    let fix = b", which this kernel does not know: its module is missing here, or failed; rebuild with it";
    line(Level::Error, &[b"mounting ", node, b" failed: it holds ", &found, fix]);
}

/// Says behind a number that it is of seconds, and what could help where the root did not appear in so many.
pub(crate) fn seconds_and_advice(root: &Root<'_>) -> &'static [u8] {
    let is_numbered = root.text.starts_with(b"/dev/mmcblk");
    if is_numbered { b" s; its number changes, root=UUID=... does not" } else { b" s" }
}

/// Says why one of our mounts does not come along into the root.
pub(crate) fn tell_left_behind(place: &[u8], root: &Root<'_>, errno: Errno) {
    let why = b" has no such directory, and none can be made: ";
    line(Level::Error, &[place, b" stays behind: the root ", root.text, why, errno_prose(errno)]);
}

/// Tells which block devices are there, for whoever has to find out why the root is not.
pub(crate) fn tell_devices() {
    let mut is_any = false;
    blockdev::describe(&mut |parts| {
        is_any = true;
        let mut all = heapless::Vec::<&[u8], 8>::from_array([&b"block device "[..]]);
        let _ = all.extend_from_slice(parts);
        line(Level::Error, &all);
    });
    if !is_any {
        line(Level::Error, &[b"there are no block devices here: the driver of the disk or of its bus is missing"]);
    }
}

/// Runs a shell before the switch to the root, for rd.break.
pub(crate) fn pause(env: Args) {
    line(Level::Notice, &[b"rd.break: the root is mounted on ", MOUNT_POINT.to_bytes()]);
    shell(env);
}

/// Runs the image's shell on the console until it ends; says whether there is one.
pub(crate) fn shell(env: Args) -> bool {
    if statat(CWD, c"/bin/sh", AtFlags::empty()).is_err() {
        return false;
    }
    line(Level::Notice, &[b"starting /bin/sh; when it ends, the boot goes on"]);
    let status = crate::device::kernel::child::in_child(|| {
        let argv = Strings::new([c"sh"].into_iter());
        execve(c"/bin/sh", &argv, &Strings::new(env.map(|var| var as &core::ffi::CStr)));
        NOT_STARTED
    });
    status != Ok(NOT_STARTED)
}

/// What a child ends with that could not become a shell.
const NOT_STARTED: i32 = 126;
