// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files that depmod reads besides modules, trimmed to the modules of the image, where depmod then writes equal indexes.

use crate::host::modules::file::plain_path;

/// Emits modules.order for module paths in depmod's order. Each ends in `.ko`, also where the file is compressed.
pub fn order<'a>(paths: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    paths.into_iter().flat_map(|path| format!("{}\n", plain_path(path)).into_bytes()).collect()
}

/// Returns the `modname.alias=` strings of modules.builtin.modinfo: depmod reads no others.
pub fn builtin_modinfo(modinfo: &[u8]) -> Vec<u8> {
    let strings = modinfo.split_inclusive(|&byte| byte == 0);
    let is_alias = |text: &&[u8]| {
        let dot = text.iter().position(|&byte| byte == b'.');
        dot.is_some_and(|dot| text[dot + 1..].starts_with(b"alias="))
    };
    strings.filter(is_alias).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_has_no_suffix_of_compression() {
        assert_eq!(order(["kernel/b.ko.xz", "kernel/a.ko"]), b"kernel/b.ko\nkernel/a.ko\n");
    }

    #[test]
    fn only_aliases_of_builtins_stay() {
        let modinfo = b"a.parm=alias=x\0a.alias=y\0b.license=GPL\0b.alias=z.alias=\0";
        assert_eq!(builtin_modinfo(modinfo), b"a.alias=y\0b.alias=z.alias=\0");
    }
}
