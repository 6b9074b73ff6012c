//! What a root can be on, and which nodes of a tree that is.

use super::driver::Drivers;
use super::tree::{NodeId, Tree};
use crate::host::spelling;
use std::fmt;
use std::str::FromStr;

/// What the root is on: `root =` of a board file, `--root`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// All nodes of a kind.
    Class(&'static Class),
    /// This node: a path, or an alias of the tree.
    Node(String),
}

/// A kind of storage, or the network.
#[derive(Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: &'static str,
    /// Names that nodes of this kind have, without unit address.
    stems: &'static [&'static str],
    /// Properties that only nodes of this kind have.
    props: &'static [&'static str],
    /// Where drivers for this kind lie, below kernel/drivers/.
    dirs: &'static [&'static str],
    /// What the kernel asks for once the host works: modaliases and modnames. No node names them.
    implied: &'static [&'static str],
    /// Modaliases of its controllers on PCI, which have no node: the kinds by base class, subclass and interface. Source:
    /// include/linux/pci_ids.h.
    on_pci: &'static [&'static str],
    /// How its devices are called in /dev.
    dev: &'static [&'static str],
}

/// Where drivers of PCI hosts lie.
const PCI_HOSTS: &str = "pci/controller/";

/// All kinds.
pub static CLASSES: [Class; 7] = [
    Class {
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
        on_pci: &[],
        dev: &["mmcblk"],
    },
    Class {
        name: "usb",
        stems: &["usb", "ehci", "ohci", "xhci", "usb-host", "usb-drd", "usb_otg", "dwc3"],
        props: &[],
        dirs: &["usb/host/", "usb/dwc2/", "usb/dwc3/", "usb/musb/", "usb/chipidea/", "usb/cdns3/", "usb/mtu3/"],
        implied: &["usb_storage", "uas", "scsi:t-0x00"],
        on_pci: &[
            "pci:v00000000d00000000sv00000000sd00000000bc0Csc03i30",
            "pci:v00000000d00000000sv00000000sd00000000bc0Csc03i20",
        ],
        dev: &[],
    },
    Class {
        name: "nvme",
        stems: &["pcie", "pci"],
        props: &[],
        dirs: &[PCI_HOSTS],
        implied: &["nvme"],
        on_pci: &[],
        dev: &["nvme"],
    },
    Class {
        name: "sata",
        stems: &["sata", "ahci"],
        props: &[],
        dirs: &["ata/"],
        implied: &["scsi:t-0x00"],
        on_pci: &["pci:v00000000d00000000sv00000000sd00000000bc01sc06i01"],
        dev: &[],
    },
    Class {
        name: "ufs",
        stems: &["ufs", "ufshc", "ufshci"],
        props: &[],
        dirs: &["ufs/"],
        implied: &["scsi:t-0x00"],
        on_pci: &[],
        dev: &[],
    },
    Class {
        name: "nfs",
        stems: &["ethernet", "gmac", "fec"],
        props: &[],
        dirs: &["net/ethernet/"],
        implied: &[],
        on_pci: &[],
        dev: &["nfs"],
    },
    Class {
        name: "virtio",
        stems: &["virtio_mmio", "pcie", "pci"],
        props: &[],
        dirs: &["virtio/"],
        implied: &["virtio_pci", "virtio_blk"],
        on_pci: &[],
        dev: &["vd"],
    },
];

impl FromStr for Root {
    type Err = String;

    fn from_str(text: &str) -> Result<Root, String> {
        if let Some(class) = CLASSES.iter().find(|class| class.name == text) {
            return Ok(Root::Class(class));
        }
        let names = || CLASSES.iter().map(|class| class.name);
        if let Some(device) = text.strip_prefix("/dev/") {
            let of = |class: &&Class| class.dev.iter().any(|start| device.starts_with(start));
            let Some(class) = CLASSES.iter().find(of) else {
                return Err(format!(
                    "of {text} it can't be told what it is on: {}",
                    names().collect::<Vec<_>>().join(", ")
                ));
            };
            return Ok(Root::Class(class));
        }
        if let Some(near) = spelling::closest(text, names()) {
            return Err(format!("`{text}` is nothing that a root can be on; did you mean `{near}`?"));
        }
        Ok(Root::Node(text.into()))
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Root::Class(class) => f.write_str(class.name),
            Root::Node(path) => f.write_str(path),
        }
    }
}

impl Class {
    /// The node is of this kind.
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
            || drivers.of(tree, id).modules.iter().any(|(at, _)| self.has_driver(drivers.path(*at)))
    }

    fn has_driver(&self, path: &str) -> bool {
        let below = path.strip_prefix("kernel/drivers/").unwrap_or_default();
        self.dirs.iter().any(|dir| below.starts_with(dir))
    }
}

/// A host that takes no card, but a radio that is soldered to it.
fn is_for_sdio(tree: &Tree, id: NodeId) -> bool {
    let takes_none = tree.has(id, "no-sd") && tree.has(id, "no-mmc");
    takes_none
        || tree
            .node(id)
            .children
            .iter()
            .any(|&child| matches!(tree.node(child).stem(), "wifi" | "wlan" | "wlcore" | "brcmf" | "bcrmf"))
}

impl Root {
    /// Finds the enabled nodes that the root can be on, and what else these imply: modaliases and modnames. Where the
    /// controllers have no node the PCI hosts that they may be on count.
    ///
    /// # Errors
    /// In prose: there is none, or the node that is named is not there or disabled.
    pub fn nodes(&self, tree: &Tree, drivers: &Drivers<'_>) -> Result<(Vec<NodeId>, Vec<&'static str>), String> {
        let devices = tree.devices();
        let of = |class: &Class| {
            let nodes = devices.iter().copied().filter(|&id| class.has(tree, drivers, id));
            nodes.collect::<Vec<NodeId>>()
        };
        let pci_hosts = |class: &Class| match class.on_pci {
            [] => Vec::new(),
            _ => CLASSES.iter().filter(|class| class.dirs.contains(&PCI_HOSTS)).flat_map(of).collect(),
        };
        match self {
            Root::Class(class) => match (of(class), pci_hosts(class)) {
                (nodes, hosts) if nodes.is_empty() && hosts.is_empty() => {
                    let there = CLASSES.iter().filter(|class| !of(class).is_empty() || !pci_hosts(class).is_empty());
                    let there: Vec<&str> = there.map(|class| class.name).collect();
                    Err(format!("the device tree has no enabled node for it, but for: {}", there.join(", ")))
                }
                (nodes, hosts) if nodes.is_empty() => Ok((hosts, [class.on_pci, class.implied].concat())),
                (nodes, _) => Ok((nodes, class.implied.to_vec())),
            },
            Root::Node(path) => {
                let labelled = tree.symbol(path).map(str::to_owned);
                let id = tree.find(path).or_else(|| tree.find(&labelled?)).ok_or_else(|| {
                    let kinds = CLASSES.iter().map(|class| class.name).collect::<Vec<_>>().join(", ");
                    let is_kind = if path.contains('/') { String::new() } else { format!("; the kinds are {kinds}") };
                    unknown(tree, path) + &is_kind
                })?;
                if !tree.is_enabled(id) {
                    return Err(format!("node {path} is disabled"));
                }
                let classes = CLASSES.iter().filter(|class| class.has(tree, drivers, id));
                Ok((vec![id], classes.flat_map(|class| class.implied).copied().collect()))
            }
        }
    }
}

/// Says that a node is not there, and which name is most like it.
pub fn unknown(tree: &Tree, path: &str) -> String {
    let mut known: Vec<String> = (0..tree.len()).map(|id| tree.path(id)).collect();
    known.extend((0..tree.len()).map(|id| tree.node(id).name.clone()));
    let near = spelling::closest(path, known.iter().map(String::as_str));
    let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    format!("the device tree has no node `{path}`{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_named_by_kind_device_or_node() {
        let class = |text: &str| text.parse::<Root>().map(|root| root.to_string());
        assert_eq!(class("mmc").unwrap(), "mmc");
        assert_eq!(class("/dev/mmcblk0p2").unwrap(), "mmc");
        assert_eq!(class("/soc/mmc@1").unwrap(), "/soc/mmc@1");
        assert_eq!(class("nvmee").unwrap_err(), "`nvmee` is nothing that a root can be on; did you mean `nvme`?");
        assert!(class("/dev/sda1").unwrap_err().starts_with("of /dev/sda1 it can't be told"));
    }
}
