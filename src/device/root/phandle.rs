// SPDX-License-Identifier: MIT OR Apache-2.0
//! Suppliers of a device by the phandles of its device-tree node, read from /sys/firmware/devicetree, for kernels without
//! supplier links. Source: the Devicetree Specification, 2.3.3; the kernel's drivers/of/property.c.

use crate::bytes::split_around;
use crate::device::io::file::{EntryType, each_entry, link, open_joined, read, read_joined};
use crate::device::io::path::{Path, path};
use crate::modules::uevent::Uevent;
use rustix::fd::AsFd;
use rustix::fs::CWD;

const TREE: &[u8] = b"/sys/firmware/devicetree/base";

/// Most levels of the device tree that are searched.
const DEPTH: u8 = 16;

/// Endings of the names of properties that refer to suppliers, each with the supplier's property that gives the number of
/// cells after the phandle.
const PROPERTIES: [(&[u8], &[u8]); 13] = [
    (b"gpios", b"#gpio-cells"),
    (b"gpio", b"#gpio-cells"),
    (b"-supply", b""),
    (b"clocks", b"#clock-cells"),
    (b"phys", b"#phy-cells"),
    (b"resets", b"#reset-cells"),
    (b"power-domains", b"#power-domain-cells"),
    (b"pwms", b"#pwm-cells"),
    (b"dmas", b"#dma-cells"),
    (b"mboxes", b"#mbox-cells"),
    (b"nvmem-cells", b""),
    (b"iommus", b"#iommu-cells"),
    (b"pwrseq", b""),
];

/// Returns, for a property that refers to suppliers, the supplier's property with the number of cells after the phandle;
/// empty if there are none.
pub(crate) fn cells_of(property: &[u8]) -> Option<&'static [u8]> {
    PROPERTIES.iter().find(|(end, _)| property.ends_with(end)).map(|(_, cells)| *cells)
}

/// Calls `each` with the suppliers of `device`. If a supplier's node has no device yet, its nearest ancestor counts, whose
/// driver creates it.
pub(crate) fn each_supplier(device: &Path, each: &mut dyn FnMut(Path)) {
    let Ok(node) = open_joined(CWD, "%/of_node", &[device.as_bytes()]) else { return };
    each_entry(node.as_fd(), b".", &mut |property, _| {
        let (Some(cells), mut buf) = (cells_of(property), [0; 256]) else { return };
        let (words, _) = read(node.as_fd(), property, &mut buf).unwrap_or_default().as_chunks::<4>();
        let mut words = words.iter();
        while let Some(handle) = words.next() {
            // An unknown phandle ends the list, as its number of cells is unknown.
            let Some(supplier) = find_node(TREE, handle, DEPTH) else { return };
            if let Some(device) = device_of(&supplier).filter(|device| !is_bus(device)) {
                each(device);
            }
            let mut count = [0; 4];
            let is_read = !cells.is_empty()
                && read_joined(CWD, "%/%", &[supplier.as_bytes(), cells], &mut count)
                    .is_some_and(|text| text.len() == 4);
            for _ in 0..if is_read { u32::from_be_bytes(count).min(64) } else { 0 } {
                words.next();
            }
        }
    });
}

/// Whether a device is a simple-bus, which needs no driver. A node below it without a device, like a clock that the kernel
/// sets up early, is not waited for.
fn is_bus(device: &Path) -> bool {
    let mut buf = [0; 1024];
    let uevent = read_joined(CWD, "%/uevent", &[device.as_bytes()], &mut buf);
    Uevent::file(uevent.unwrap_or_default()).is_compatible(b"simple-bus")
}

/// Returns the node with this phandle.
fn find_node(dir: &[u8], handle: &[u8; 4], depth: u8) -> Option<Path> {
    let depth = depth.checked_sub(1)?;
    let (mut own, mut found) = ([0; 4], None);
    if read_joined(CWD, "%/phandle", &[dir], &mut own).is_some_and(|own| own == handle) {
        return path("%", &[dir]).ok();
    }
    each_entry(CWD, dir, &mut |name, entry_type| {
        if entry_type == EntryType::Directory
            && found.is_none()
            && let Ok(child) = path("%/%", &[dir, name])
        {
            found = find_node(child.as_bytes(), handle, depth);
        }
    });
    found
}

/// Returns the device of a node, or of its nearest ancestor that has one.
fn device_of(node: &Path) -> Option<Path> {
    let node = node.as_bytes().strip_prefix(TREE)?;
    let mut best: (usize, Option<Path>) = (0, None);
    each_entry(CWD, b"/sys/bus", &mut |bus, _| {
        let Ok(devices) = path("/sys/bus/%/devices", &[bus]) else { return };
        each_entry(CWD, devices.as_bytes(), &mut |name, _| {
            let Some(target) = link("%/%/of_node", &[devices.as_bytes(), name]) else { return };
            // ../../../firmware/devicetree/base/soc/gpio@20b4000
            let own = split_around(target.as_bytes(), b"devicetree/base").map_or(&b""[..], |(_, own)| own);
            let is_above = node.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
            if is_above && own.len() > best.0 {
                best = (own.len(), path("%/%", &[devices.as_bytes(), name]).ok());
            }
        });
    });
    best.1
}
