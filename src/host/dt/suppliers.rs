//! Which nodes provide for a node, by its properties. Source: drivers/of/property.c, `of_supplier_bindings`, and what
//! it lacks for a root file system. Panels, leds, sensors of heat and graph links are not followed: no root hangs on them.

use super::references::{bare, counted, interrupt_map, ranges};
use super::tree::{NodeId, Tree};

/// One reference: by which property, to which node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supply<'t> {
    /// The property.
    pub prop: &'t str,
    /// What it refers to: a device's node, or one inside of it.
    pub target: NodeId,
}

/// Properties whose references are as long as the target's property says, and whether that may be absent.
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

/// Properties that look like references, and are none.
const NOT_GPIOS: [&str; 2] = ["nr-gpios", "ngpios"];

/// Returns what the node `id` refers to for being provided for, in the order of its properties.
pub fn supplies(tree: &Tree, id: NodeId) -> Vec<Supply<'_>> {
    let mut supplies = Vec::new();
    for (prop, value) in &tree.node(id).props {
        let targets = match prop.as_str() {
            "interrupt-map" => interrupt_map(tree, id, value),
            "iommu-map" | "msi-map" => ranges(tree, value),
            "interrupts" => interrupt_parent(tree, id).into_iter().collect(),
            _ if BARE.contains(&prop.as_str()) || prop.ends_with("-supply") || is_pinctrl(prop) => bare(tree, value),
            _ => match COUNTED.iter().find(|(name, ..)| name == prop) {
                Some((_, count_in, or_none)) => counted(tree, value, count_in, *or_none),
                None if is_gpios(prop) => counted(tree, value, "#gpio-cells", false),
                None => Vec::new(),
            },
        };
        supplies.extend(targets.into_iter().map(|target| Supply { prop, target }));
    }
    supplies
}

/// What kind of driver answers to a property: the directory below drivers/ in which it lies; `None` for any.
pub fn directories(prop: &str) -> &'static [&'static str] {
    match prop {
        _ if prop.ends_with("-supply") => &["regulator/", "power/"],
        _ if is_gpios(prop) || matches!(prop, "gpio" | "gpios") => &["gpio/", "pinctrl/"],
        _ if is_pinctrl(prop) => &["pinctrl/"],
        _ if prop.contains("clock") => &["clk/"],
        "nvmem-cells" => &["nvmem/"],
        "phys" | "usb-phy" => &["phy/", "usb/phy/"],
        "pwms" => &["pwm/"],
        "resets" => &["reset/"],
        "io-channels" => &["iio/"],
        _ => &[],
    }
}

fn is_pinctrl(prop: &str) -> bool {
    prop.strip_prefix("pinctrl-").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_gpios(prop: &str) -> bool {
    let is = prop.ends_with("-gpios") || prop.ends_with("-gpio");
    is && !NOT_GPIOS.iter().any(|not| prop.ends_with(not))
}

/// Finds who takes a node's interrupts: what the nearest node above it, or it, says. Source: drivers/of/irq.c,
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
            supplies(&tree, id).iter().map(|supply| (supply.prop, tree.path(supply.target))).collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(prop, path)| (*prop, path.as_str())).collect();
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
