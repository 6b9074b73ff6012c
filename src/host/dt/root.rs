// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kinds of device that a root can be on, and the nodes of a tree that are of each kind.

use super::driver::Drivers;
use super::tree::{NodeId, Tree};
use crate::host::spelling;
use std::fmt;
use std::str::FromStr;

/// Location of the root: `root =` of a board file, or `--root`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// Any node of a kind.
    Kind(&'static RootKind),
    /// This node: a path, an alias or a label of the tree.
    Node(String),
}

/// A kind of storage, or the network.
#[derive(Debug, PartialEq, Eq)]
pub struct RootKind {
    /// Name in board files and on the command line.
    pub name: &'static str,
    /// Node names of this kind, without unit address.
    stems: &'static [&'static str],
    /// Properties of this kind's nodes alone.
    props: &'static [&'static str],
    /// Directories of this kind's drivers, below kernel/drivers/.
    dirs: &'static [&'static str],
    /// Modaliases and modnames that the kernel requests once the host works. No node names them.
    implied: &'static [&'static str],
    /// Modaliases of controllers on PCI, which have no node, by base class, subclass and interface. Source:
    /// include/linux/pci_ids.h.
    pci_aliases: &'static [&'static str],
    /// Starts of device names in /dev.
    dev_prefixes: &'static [&'static str],
}

/// Directory of usb-storage and of the drivers for bridges that it leaves to them: each is loaded by its device's alias.
/// Source: drivers/usb/storage/unusual_*.h, `ignore_ids`.
pub const USB_STORAGE_DIR: &str = "kernel/drivers/usb/storage";

/// Directory of PCI host drivers, below kernel/drivers/.
const PCI_HOSTS: &str = "pci/controller/";

/// All kinds.
pub static ROOT_KINDS: [RootKind; 7] = [
    RootKind {
        name: "mmc",
        stems: &["mmc", "sdhci", "sdmmc", "emmc", "esdhc", "usdhc", "dwmmc", "mmci"],
        props: &[
            "non-removable",
            "cap-mmc-highspeed",
            "cap-sd-highspeed",
            "sd-uhs-sdr50",
            "mmc-ddr-1_8v",
            "mmc-pwrseq",
        ],
        dirs: &["mmc/host/"],
        implied: &["mmc:block"],
        pci_aliases: &[],
        dev_prefixes: &["mmcblk"],
    },
    RootKind {
        name: "usb",
        stems: &["usb", "ehci", "ohci", "xhci", "usb-host", "usb-drd", "usb_otg", "dwc3"],
        props: &[],
        dirs: &["usb/host/", "usb/dwc2/", "usb/dwc3/", "usb/musb/", "usb/chipidea/", "usb/cdns3/", "usb/mtu3/"],
        implied: &["usb_storage", "uas", "scsi:t-0x00"],
        pci_aliases: &[
            "pci:v00000000d00000000sv00000000sd00000000bc0Csc03i30",
            "pci:v00000000d00000000sv00000000sd00000000bc0Csc03i20",
        ],
        dev_prefixes: &[],
    },
    RootKind {
        name: "nvme",
        stems: &["pcie", "pci"],
        props: &[],
        dirs: &[PCI_HOSTS],
        implied: &["nvme"],
        pci_aliases: &[],
        dev_prefixes: &["nvme"],
    },
    RootKind {
        name: "sata",
        stems: &["sata", "ahci"],
        props: &[],
        dirs: &["ata/"],
        implied: &["scsi:t-0x00"],
        pci_aliases: &["pci:v00000000d00000000sv00000000sd00000000bc01sc06i01"],
        dev_prefixes: &[],
    },
    RootKind {
        name: "ufs",
        stems: &["ufs", "ufshc", "ufshci"],
        props: &[],
        dirs: &["ufs/"],
        implied: &["scsi:t-0x00"],
        pci_aliases: &[],
        dev_prefixes: &[],
    },
    RootKind {
        name: "nfs",
        stems: &["ethernet", "gmac", "fec"],
        props: &[],
        dirs: &["net/ethernet/"],
        implied: &[],
        pci_aliases: &[],
        dev_prefixes: &["nfs"],
    },
    RootKind {
        name: "virtio",
        stems: &["virtio_mmio", "pcie", "pci"],
        props: &[],
        dirs: &["virtio/"],
        implied: &["virtio_pci", "virtio_blk"],
        pci_aliases: &[],
        dev_prefixes: &["vd"],
    },
];

impl FromStr for Root {
    type Err = String;

    fn from_str(text: &str) -> Result<Root, String> {
        if let Some(kind) = ROOT_KINDS.iter().find(|kind| kind.name == text) {
            return Ok(Root::Kind(kind));
        }
        if let Some(device) = text.strip_prefix("/dev/") {
            let has = |kind: &&RootKind| kind.dev_prefixes.iter().any(|prefix| device.starts_with(prefix));
            let Some(kind) = ROOT_KINDS.iter().find(has) else {
                return Err(format!("{text} can be on several buses; name one: {}", kind_names()));
            };
            return Ok(Root::Kind(kind));
        }
        if text.contains("UUID=") || text.contains("LABEL=") {
            return Err(format!(
                "`{text}` names a partition, which goes to the kernel command line as root={text}; here goes the storage \
                 that it is on: {}",
                kind_names()
            ));
        }
        if let Some(near) =
            device_kind(text).or_else(|| spelling::closest(text, ROOT_KINDS.iter().map(|kind| kind.name)))
        {
            return Err(format!("unknown root type `{text}`; did you mean `{near}`?"));
        }
        Ok(Root::Node(text.into()))
    }
}

/// Returns the kind for the name of a device without /dev, as people write it: `mmcblk0p2`, `sd`.
fn device_kind(text: &str) -> Option<&'static str> {
    match text {
        "sd" | "emmc" | "sdcard" | "sdhci" => Some("mmc"),
        _ => {
            let has = |kind: &&RootKind| kind.dev_prefixes.iter().any(|prefix| text.starts_with(prefix));
            ROOT_KINDS
                .iter()
                .find(has)
                .map(|kind| kind.name)
                .filter(|_| text.ends_with(|last: char| last.is_ascii_digit()))
        }
    }
}

fn kind_names() -> String {
    ROOT_KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Root::Kind(kind) => f.write_str(kind.name),
            Root::Node(path) => f.write_str(path),
        }
    }
}

impl RootKind {
    /// Whether a node is of this kind: by name, property or driver.
    pub fn has(&self, tree: &Tree, drivers: &Drivers<'_>, id: NodeId) -> bool {
        let node = tree.node(id);
        if self.name == "mmc"
            && (is_for_sdio(tree, id)
                || node
                    .parent
                    .is_some_and(|parent| tree.has(parent, "compatible") && tree.node(parent).stem() == "mmc"))
        {
            return false;
        }
        if self.name == "usb" && tree.str(id, "dr_mode") == Some("peripheral") {
            return false;
        }
        self.stems.contains(&node.stem())
            || self.props.iter().any(|prop| tree.has(id, prop))
            || drivers.of(tree, id).modules.iter().any(|module| self.has_driver(drivers.path(module.id)))
    }

    fn has_driver(&self, path: &str) -> bool {
        let below = path.strip_prefix("kernel/drivers/").unwrap_or_default();
        self.dirs.iter().any(|dir| below.starts_with(dir))
    }
}

/// Whether an MMC host is for SDIO only, such as a soldered radio.
fn is_for_sdio(tree: &Tree, id: NodeId) -> bool {
    let has_no_cards = tree.has(id, "no-sd") && tree.has(id, "no-mmc");
    has_no_cards
        || tree
            .node(id)
            .children
            .iter()
            .any(|&child| matches!(tree.node(child).stem(), "wifi" | "wlan" | "wlcore" | "brcmf" | "bcrmf"))
}

impl Root {
    /// Returns the enabled nodes that can hold the root, and the modaliases and modnames that they imply. If the
    /// controllers have no node, returns the PCI hosts that they may be on.
    ///
    /// # Errors
    /// As prose: no node of this kind is enabled, or the named node is missing or disabled.
    pub fn nodes(&self, tree: &Tree, drivers: &Drivers<'_>) -> Result<(Vec<NodeId>, Vec<&'static str>), String> {
        match self {
            Root::Kind(kind) => kind.nodes(tree, drivers),
            Root::Node(path) => {
                let id = tree.find_by_label(path).ok_or_else(|| match path.contains('/') {
                    true => no_node(tree, path),
                    false => format!("{}; root types: {}", no_node(tree, path), kind_names()),
                })?;
                if !tree.is_enabled(id) {
                    return Err(format!("node {path} is disabled"));
                }
                let kinds = ROOT_KINDS.iter().filter(|kind| kind.has(tree, drivers, id));
                Ok((vec![id], kinds.flat_map(|kind| kind.implied).copied().collect()))
            }
        }
    }
}

impl RootKind {
    fn nodes(&self, tree: &Tree, drivers: &Drivers<'_>) -> Result<(Vec<NodeId>, Vec<&'static str>), String> {
        let devices = tree.devices();
        let of = |kind: &RootKind| {
            let nodes = devices.iter().copied().filter(|&id| kind.has(tree, drivers, id));
            nodes.collect::<Vec<NodeId>>()
        };
        let pci_hosts = |kind: &RootKind| match kind.pci_aliases {
            [] => Vec::new(),
            _ => ROOT_KINDS.iter().filter(|kind| kind.dirs.contains(&PCI_HOSTS)).flat_map(of).collect(),
        };
        match (of(self), pci_hosts(self)) {
            (nodes, hosts) if nodes.is_empty() && hosts.is_empty() => {
                let has_nodes = |kind: &&RootKind| !of(kind).is_empty() || !pci_hosts(kind).is_empty();
                let others: Vec<&str> = ROOT_KINDS.iter().filter(has_nodes).map(|kind| kind.name).collect();
                Err(match others[..] {
                    [] => "the device tree has no enabled node of that type, nor of any other".into(),
                    _ => format!("the device tree has no enabled node of that type; it has: {}", others.join(", ")),
                })
            }
            (nodes, hosts) if nodes.is_empty() => Ok((hosts, [self.pci_aliases, self.implied].concat())),
            (nodes, _) => Ok((nodes, self.implied.to_vec())),
        }
    }
}

/// Returns the message for a node that the tree does not have, with the most similar name.
pub fn no_node(tree: &Tree, path: &str) -> String {
    let mut known: Vec<String> = tree.ids().map(|id| tree.path(id)).collect();
    known.extend(tree.ids().map(|id| tree.node(id).name.clone()));
    let near = spelling::closest(path, known.iter().map(String::as_str));
    let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    format!("the device tree has no node `{path}`{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_named_by_kind_device_or_node() {
        let root = |text: &str| text.parse::<Root>().map(|root| root.to_string());
        assert_eq!(root("mmc").unwrap(), "mmc");
        assert_eq!(root("/dev/mmcblk0p2").unwrap(), "mmc");
        assert_eq!(root("/soc/mmc@1").unwrap(), "/soc/mmc@1");
        assert_eq!(root("nvmee").unwrap_err(), "unknown root type `nvmee`; did you mean `nvme`?");
        assert!(root("/dev/sda1").unwrap_err().starts_with("/dev/sda1 can be on several buses; name one: mmc, "));
    }
}
