//! What depmod reads beside the modules, trimmed to those in the image, so that it writes the same indexes there.

use crate::host::tree::plain_path;
use std::collections::HashSet;

/// Keeps the lines of modules.order (which always end in `.ko`) whose module is among `paths`.
pub fn order<'a>(lines: &[String], paths: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let paths: HashSet<&str> = paths.into_iter().map(plain_path).collect();
    lines
        .iter()
        .filter(|line| paths.contains(line.as_str()))
        .flat_map(|line| format!("{line}\n").into_bytes())
        .collect()
}

/// Keeps the `modname.alias=` strings of modules.builtin.modinfo: depmod reads no others.
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
    fn order_keeps_its_spelling_and_its_order() {
        let lines = ["kernel/b.ko", "kernel/a.ko", "kernel/c.ko"].map(str::to_owned);
        assert_eq!(order(&lines, ["kernel/a.ko.xz", "kernel/b.ko", "x/d.ko"]), b"kernel/b.ko\nkernel/a.ko\n");
    }

    #[test]
    fn only_aliases_of_builtins_stay() {
        let modinfo = b"a.parm=alias=x\0a.alias=y\0b.license=GPL\0b.alias=z.alias=\0";
        assert_eq!(builtin_modinfo(modinfo), b"a.alias=y\0b.alias=z.alias=\0");
    }
}
