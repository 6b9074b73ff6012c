// SPDX-License-Identifier: MIT OR Apache-2.0
//! A node -> the modaliases of its device. Sources: drivers/of/module.c, `of_modalias`;
//! drivers/i2c/i2c-core-of.c, drivers/spi/spi.c, drivers/of/base.c, `of_alias_from_compatible`; drivers/amba/bus.c;
//! drivers/net/mdio/of_mdio.c and include/linux/mdio.h.

use super::tree::{NodeId, Tree};

/// Hardware ids of Arm's PrimeCell peripherals, for trees without `arm,primecell-periphid`. Their drivers have no `of:`
/// aliases. A peripheral with several revisions has several ids. Source: the drivers' `amba_id` tables.
const PRIMECELL_IDS: [(&str, &[u32]); 24] = [
    ("arm,pl011", &[0x0004_1011]),
    ("arm,pl022", &[0x0004_1022]),
    ("arm,pl031", &[0x0004_1031]),
    ("arm,pl041", &[0x0004_1041]),
    ("arm,pl050", &[0x0004_1050]),
    ("arm,pl061", &[0x0004_1061]),
    ("arm,pl080", &[0x0004_1080]),
    ("arm,pl081", &[0x0004_1081]),
    ("arm,pl110", &[0x0004_1110]),
    ("arm,pl111", &[0x0004_1111]),
    ("arm,pl172", &[0x0034_1172]),
    ("arm,pl175", &[0x0024_1175]),
    ("arm,pl176", &[0x0034_1176]),
    ("arm,pl180", &[0x0004_1180, 0x0004_1181]),
    ("arm,pl181", &[0x0004_1181]),
    ("arm,pl18x", &[0x0004_1180, 0x0004_1181]),
    ("arm,pl330", &[0x0004_1330]),
    ("arm,pl341", &[0x0014_1341]),
    ("arm,pl353-smc-r2p1", &[0x0004_1353]),
    ("arm,sp804", &[0x0014_1804]),
    ("arm,sp805", &[0x0014_1805]),
    ("arm,sp805-wdt", &[0x0014_1805]),
    ("arm,sp810", &[0x0014_1810]),
    ("st,nomadik-i2c", &[0x0018_0024]),
];

/// Modules of SDIO devices, whose ids are read from the bus, by their nodes' `compatible`.
const SDIO: [(&str, &str); 6] = [
    ("brcm,bcm4329-fmac", "brcmfmac"),
    ("brcm,bcm4330-fmac", "brcmfmac"),
    ("brcm,bcm43455-fmac", "brcmfmac"),
    ("marvell,sd8787", "mwifiex_sdio"),
    ("marvell,sd8897", "mwifiex_sdio"),
    ("marvell,sd8997", "mwifiex_sdio"),
];

/// Returns the `of:` modalias, as in the device's uevent.
pub fn of(tree: &Tree, id: NodeId) -> String {
    let kind = tree.str(id, "device_type").unwrap_or("(null)");
    let mut alias = format!("of:N{}T{kind}", tree.node(id).stem());
    for compatible in tree.compatible(id) {
        alias.push('C');
        alias.extend(compatible.chars().map(|c| if c.is_whitespace() { '_' } else { c }));
    }
    alias
}

/// Returns the names by which the node's device requests modules beside `of:`: modaliases of its bus, and modnames.
pub fn others(tree: &Tree, id: NodeId) -> Vec<String> {
    let mut aliases = Vec::new();
    let bus = tree.node(id).parent.map_or("", |parent| tree.node(parent).stem());
    if let Some(first) = tree.compatible(id).next() {
        let name = first.split_once(',').map_or(first, |(_, name)| name);
        if bus.starts_with("i2c") {
            aliases.push(format!("i2c:{name}"));
        } else if bus.starts_with("spi") || bus.ends_with("spi") {
            // SPI devices send this modalias only; udev and dracut read the `of:` one from elsewhere.
            aliases.push(format!("spi:{name}"));
        }
    }
    for compatible in tree.compatible(id) {
        match compatible {
            "arm,primecell" => aliases.extend(primecell(tree, id)),
            _ => aliases.extend(coded(compatible)),
        }
    }
    aliases
}

fn primecell(tree: &Tree, id: NodeId) -> Vec<String> {
    let ids = match tree.cell(id, "arm,primecell-periphid") {
        Some(id) => vec![id],
        None => {
            let known = |name: &str| PRIMECELL_IDS.iter().find(|(of, _)| *of == name).map(|(_, ids)| ids.to_vec());
            tree.compatible(id).find_map(known).unwrap_or_default()
        }
    };
    ids.iter().map(|id| format!("amba:d{id:08X}")).collect()
}

/// Translates a `compatible` that holds the ids of another bus.
fn coded(compatible: &str) -> Option<String> {
    let hex = |text: &str| u32::from_str_radix(text, 16).ok();
    if let Some((_, driver)) = SDIO.iter().find(|(of, _)| *of == compatible) {
        return Some((*driver).into());
    }
    if let Some((high, low)) = compatible.strip_prefix("ethernet-phy-id").and_then(|id| id.split_once('.')) {
        return Some(format!("mdio:{:032b}", (hex(high)? << 16) | hex(low)?));
    }
    // The remaining fields are unknown: 0 matches patterns with `*`.
    if let Some((vendor, product)) = compatible.strip_prefix("usb").and_then(|ids| ids.split_once(',')) {
        let (vendor, product) = (hex(vendor)?, hex(product.split('.').next()?)?);
        return Some(format!("usb:v{vendor:04X}p{product:04X}d0000dc00dsc00dp00ic00isc00ip00in00"));
    }
    let (vendor, device) = compatible.strip_prefix("pci")?.split_once(',')?;
    let (vendor, device) = (hex(vendor)?, hex(device.split('.').next()?)?);
    Some(format!("pci:v{vendor:08X}d{device:08X}sv00000000sd00000000bc00sc00i00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aliases(text: &str) -> Vec<String> {
        let tree = Tree::of_text(text);
        others(&tree, tree.ids().next_back().unwrap())
    }

    #[test]
    fn the_unit_address_is_left_out_and_an_absent_type_is_null() {
        let tree =
            Tree::of_text("/mmc@1\ncompatible = \"allwinner,sun8i-a20-mmc\", \"b c\"\n/cpu\ndevice_type = \"cpu\"");
        assert_eq!(of(&tree, tree.find("/mmc@1").unwrap()), "of:NmmcT(null)Callwinner,sun8i-a20-mmcCb_c");
        assert_eq!(of(&tree, tree.find("/cpu").unwrap()), "of:NcpuTcpu");
    }

    #[test]
    fn buses_name_their_children_by_the_first_compatible() {
        assert_eq!(aliases("/i2c@1/rtc@68\ncompatible = \"dallas,ds1307\", \"x,y\""), ["i2c:ds1307"]);
        assert_eq!(aliases("/spi@1/f@0\ncompatible = \"micron,n25q256a\", \"jedec,spi-nor\""), ["spi:n25q256a"]);
        assert!(aliases("/soc/rtc@68\ncompatible = \"dallas,ds1307\"").is_empty());
    }

    #[test]
    fn ids_are_written_as_their_bus_does() {
        assert_eq!(aliases("/w@1\ncompatible = \"arm,sp805\", \"arm,primecell\""), ["amba:d00141805"]);
        let periphid = "/w@1\ncompatible = \"arm,pl180\", \"arm,primecell\"\narm,primecell-periphid = <725376>";
        assert_eq!(aliases(periphid), ["amba:d000B1180"]);
        let phy = "/mdio/p@1\ncompatible = \"ethernet-phy-id0007.c0f1\", \"ethernet-phy-ieee802.3-c22\"";
        assert_eq!(aliases(phy), ["mdio:00000000000001111100000011110001"]);
        assert_eq!(
            aliases("/usb/ethernet@1\ncompatible = \"usb424,ec00\""),
            ["usb:v0424pEC00d0000dc00dsc00dp00ic00isc00ip00in00"]
        );
        assert_eq!(
            aliases("/pcie/wifi@0\ncompatible = \"pci168c,3c\""),
            ["pci:v0000168Cd0000003Csv00000000sd00000000bc00sc00i00"]
        );
        assert!(aliases("/x\ncompatible = \"usb-nop-xceiv\", \"pci-host-ecam-generic\", \"usb,odd\"").is_empty());
    }
}
