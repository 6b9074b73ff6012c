// SPDX-License-Identifier: MIT OR Apache-2.0
//! modules.left-out: supplier drivers that are not in the image. Each line is `compatible modname`, sorted; the loader names
//! the missing module when a device stays deferred.

use crate::host::modules::module::Module;

/// Directories below kernel/drivers of what others wait for.
const SUPPLIERS: &str = "bus clk dma gpio i2c interconnect iommu irqchip mailbox mfd nvmem phy pinctrl pmdomain pwm \
    regulator reset soc spi spmi";

/// Returns the text of modules.left-out: the supplier drivers among `modules` that are not among `packed`.
pub(crate) fn left_out(modules: &[Module], packed: &[Module]) -> Vec<u8> {
    let is_supplier = |module: &&Module| {
        let dir = module.path.strip_prefix("kernel/drivers/").and_then(|rest| rest.split('/').next());
        dir.is_some_and(|dir| SUPPLIERS.split(' ').any(|supplier| supplier == dir))
            && !packed.iter().any(|packed| packed.modname == module.modname)
    };
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for module in modules.iter().filter(is_supplier) {
        let compatibles = module.aliases().filter_map(|alias| alias.strip_prefix(b"of:N*T*C"));
        // Each alias occurs twice: plain, and with C* for more compatible strings after it.
        for compatible in compatibles.filter(|compatible| !compatible.contains(&b'*')) {
            lines.push([compatible, b" ", module.modname.as_bytes(), b"\n"].concat());
        }
    }
    lines.sort_unstable();
    lines.dedup();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::modules::module::Strings;

    #[test]
    fn supplier_drivers_that_are_not_packed_are_listed() {
        let module = |path: &str, info: &[u8]| Module {
            path: path.into(),
            modname: crate::modules::name::stem(path.as_bytes()).iter().map(|&byte| char::from(byte)).collect(),
            info: Strings(info.into()),
            ..Module::default()
        };
        let gpio = module("kernel/drivers/gpio/gpio_b.ko", b"alias=of:N*T*Cb,gpioC*\0alias=of:N*T*Cb,gpio\0");
        let other = module("kernel/drivers/mmc/host/mmc.ko", b"alias=of:N*T*Cx,mmc\0");
        let modules = [gpio, other, module("kernel/drivers/clk/c.ko", b"alias=platform:c\0alias=of:N*T*Ca,clk\0")];
        assert_eq!(left_out(&modules, &[]), b"a,clk c\nb,gpio gpio_b\n");
        assert_eq!(left_out(&modules, &modules[..1]), b"a,clk c\n");
    }
}
