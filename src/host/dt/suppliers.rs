// SPDX-License-Identifier: MIT OR Apache-2.0
//! A node's suppliers, as its properties refer to them.
//!
//! Source: drivers/of/property.c, `of_supplier_bindings`, and properties that it lacks and a root file system needs. Panels,
//! LEDs, thermal sensors and graph links are not followed: no root depends on them.

use super::references::{bare, counted, interrupt_map, ranges};
use super::tree::{NodeId, Tree};

/// A reference to a supplier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supplier<'t> {
    /// The consumer's property.
    pub property: &'t str,
    /// The node it refers to: a device's node, or one inside a device.
    pub target: NodeId,
}

/// Properties whose references have arguments; the target's property that counts them, and whether it may be absent.
const COUNTED: [(&str, &str, bool); 21] = [
    ("access-controllers", "#access-controller-cells", true),
    ("assigned-clock-parents", "#clock-cells", false),
    ("assigned-clocks", "#clock-cells", false),
    ("clocks", "#clock-cells", false),
    ("dmas", "#dma-cells", false),
    ("gpio", "#gpio-cells", false),
    ("gpios", "#gpio-cells", false),
    ("hwlocks", "#hwlock-cells", false),
    ("interconnects", "#interconnect-cells", false),
    ("interrupts-extended", "#interrupt-cells", false),
    ("io-backends", "#io-backend-cells", true),
    ("io-channels", "#io-channel-cells", false),
    ("iommus", "#iommu-cells", false),
    ("mboxes", "#mbox-cells", false),
    ("msi-parent", "#msi-cells", true),
    ("nvmem-cells", "#nvmem-cell-cells", true),
    ("phys", "#phy-cells", false),
    ("power-domains", "#power-domain-cells", false),
    ("pwms", "#pwm-cells", false),
    ("resets", "#reset-cells", false),
    ("usb-phy", "#phy-cells", true),
];

/// Properties that are lists of phandles.
const BARE: [&str; 7] =
    ["fsl,usbmisc", "fsl,usbphy", "mmc-pwrseq", "phy-device", "phy-handle", "power-supplies", "fsl,magic-packet-gpr"];

/// Properties that look like references to GPIOs, but are not.
const NOT_GPIOS: [&str; 2] = ["nr-gpios", "ngpios"];

/// Returns a node's suppliers, in the order of its properties.
pub fn of(tree: &Tree, id: NodeId) -> Vec<Supplier<'_>> {
    let mut suppliers = Vec::new();
    for (property, value) in &tree.node(id).props {
        let targets = match property.as_str() {
            "interrupt-map" => interrupt_map(tree, id, value),
            "iommu-map" | "msi-map" => ranges(tree, value),
            "interrupts" => interrupt_parent(tree, id).into_iter().collect(),
            _ if BARE.contains(&property.as_str()) || property.ends_with("-supply") || is_pinctrl(property) => {
                bare(tree, value)
            }
            _ => match COUNTED.iter().find(|(name, ..)| name == property) {
                Some((_, count_in, may_be_absent)) => counted(tree, value, count_in, *may_be_absent),
                None if is_gpios(property) => counted(tree, value, "#gpio-cells", false),
                None => Vec::new(),
            },
        };
        suppliers.extend(targets.into_iter().map(|target| Supplier { property, target }));
    }
    suppliers
}

/// Returns the directories below drivers/ in which the drivers of a property's suppliers lie; empty if they lie anywhere.
pub fn driver_dirs(property: &str) -> &'static [&'static str] {
    match property {
        _ if property.ends_with("-supply") => &["regulator/", "power/"],
        _ if is_gpios(property) || matches!(property, "gpio" | "gpios") => &["gpio/", "pinctrl/"],
        _ if is_pinctrl(property) => &["pinctrl/"],
        _ if property.contains("clock") => &["clk/"],
        "nvmem-cells" => &["nvmem/"],
        "phys" | "usb-phy" => &["phy/", "usb/phy/"],
        "pwms" => &["pwm/"],
        "resets" => &["reset/"],
        "io-channels" => &["iio/"],
        _ => &[],
    }
}

fn is_pinctrl(property: &str) -> bool {
    property.strip_prefix("pinctrl-").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_gpios(property: &str) -> bool {
    let is = property.ends_with("-gpios") || property.ends_with("-gpio");
    is && !NOT_GPIOS.iter().any(|not| property.ends_with(not))
}

/// Returns the interrupt controller: `interrupt-parent` of the node, or of the nearest above that has one. Source: drivers/of/irq.c,
/// `of_irq_find_parent`.
fn interrupt_parent(tree: &Tree, id: NodeId) -> Option<NodeId> {
    let parent = tree.up(id).find_map(|id| tree.cell(id, "interrupt-parent"))?;
    tree.by_phandle(parent).filter(|&parent| parent != id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_of_references_are_read_and_others_are_not() {
        let tree = Tree::of_text(
            "/clk\nphandle = <1>\n#clock-cells = <1>\n/gpio\nphandle = <2>\n#gpio-cells = <2>\n/reg\nphandle = <3>\n\
            /pins\nphandle = <4>\n/mmc\ninterrupts = <0 1 4>\nclocks = <1 7 1 8>\ncd-gpios = <2 1 0>\n\
            vmmc-supply = <3>\npinctrl-0 = <4 4>\npinctrl-names = \"default\"\nbacklight = <3>\nnr-gpios = <3>\n\
            /\ninterrupt-parent = <2>",
        );
        let id = tree.find("/mmc").unwrap();
        let found: Vec<(&str, String)> =
            of(&tree, id).iter().map(|supplier| (supplier.property, tree.path(supplier.target))).collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(property, path)| (*property, path.as_str())).collect();
        assert_eq!(
            found,
            [
                ("interrupts", "/gpio"),
                ("clocks", "/clk"),
                ("clocks", "/clk"),
                ("cd-gpios", "/gpio"),
                ("vmmc-supply", "/reg"),
                ("pinctrl-0", "/pins"),
                ("pinctrl-0", "/pins"),
            ]
        );
    }
}
