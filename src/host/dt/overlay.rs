// SPDX-License-Identifier: MIT OR Apache-2.0
//! Applies an overlay (.dtbo) to a tree: resolves its references, then merges each fragment into its target. Refuses an
//! overlay that names nodes or labels the tree lacks. Source: the kernel's Documentation/devicetree/overlay-notes.rst,
//! drivers/of/resolver.c, dtc's libfdt/fdt_overlay.c.

use super::tree::{NodeId, ROOT, Tree, cells, strings};
use crate::host::spelling;

/// Children of an overlay's root that are not fragments.
const FIXUPS: &str = "__fixups__";
const LOCAL_FIXUPS: &str = "__local_fixups__";
const SYMBOLS: &str = "__symbols__";

/// Applies `overlay` to `base`. The overlay's phandles are renumbered after those of the base.
///
/// # Errors
/// As prose: the part of the overlay that does not fit. `base` is then incomplete and must not be used.
pub fn apply(base: &mut Tree, overlay: &Tree) -> Result<(), String> {
    let mut overlay = overlay.clone();
    let fragments: Vec<NodeId> = overlay.node(ROOT).children.clone();
    let fragments: Vec<(NodeId, NodeId)> =
        fragments.into_iter().filter_map(|id| Some((id, overlay.child(id, "__overlay__")?))).collect();
    if fragments.is_empty() {
        return Err("not an overlay: no node in it has an __overlay__".into());
    }
    renumber(&mut overlay, base.max_phandle())?;
    fix_up(base, &mut overlay)?;
    let mut moved_paths = Vec::new();
    for &(fragment, content) in &fragments {
        let target = target(base, &overlay, fragment)?;
        merge(base, target, &overlay, content);
        moved_paths.push((overlay.path(content), base.path(target)));
    }
    add_symbols(base, &overlay, &moved_paths);
    Ok(())
}

/// Adds `delta` to the overlay's own phandles and to all references to them.
fn renumber(overlay: &mut Tree, delta: u32) -> Result<(), String> {
    for id in overlay.ids() {
        for name in ["phandle", "linux,phandle"] {
            if let Some(phandle) = overlay.cell(id, name) {
                let moved = phandle.checked_add(delta).ok_or("its phandles are too high to renumber")?;
                overlay.set(id, name, moved.to_be_bytes().into());
            }
        }
    }
    let Some(local) = overlay.child(ROOT, LOCAL_FIXUPS) else { return Ok(()) };
    let mut patches = Vec::new();
    for id in overlay.down(local) {
        let path = overlay.path(id).split_off(1 + LOCAL_FIXUPS.len());
        for (prop, offsets) in &overlay.node(id).props {
            patches.extend(cells(offsets).map(|off| (path.clone(), prop.clone(), off as usize)));
        }
    }
    for (path, prop, off) in patches {
        let what = || format!("{LOCAL_FIXUPS}: {path}: {prop}+{off} is not in the overlay");
        let id = overlay.find(if path.is_empty() { "/" } else { &path }).ok_or_else(what)?;
        let old = overlay.prop(id, &prop).and_then(|value| value.get(off..)?.first_chunk()).ok_or_else(what)?;
        patch(overlay, id, &prop, off, u32::from_be_bytes(*old).wrapping_add(delta));
    }
    Ok(())
}

/// Writes the phandles of the base's labels into the overlay's references to them.
fn fix_up(base: &mut Tree, overlay: &mut Tree) -> Result<(), String> {
    let Some(fixups) = overlay.child(ROOT, FIXUPS) else { return Ok(()) };
    for (label, references) in overlay.node(fixups).props.clone() {
        let target = base.symbol(&label).map(str::to_owned).ok_or_else(|| no_label(base, &label))?;
        let node =
            base.find(&target).ok_or_else(|| format!("label {label} refers to {target}, which does not exist"))?;
        let phandle = base.cell(node, "phandle").unwrap_or_else(|| {
            let phandle = base.max_phandle().max(overlay.max_phandle()) + 1;
            base.set(node, "phandle", phandle.to_be_bytes().into());
            phandle
        });
        for reference in strings(&references) {
            let what = || format!("{FIXUPS}: {label}: `{reference}` is not in the overlay");
            let mut parts = reference.splitn(3, ':');
            let (Some(path), Some(prop), Some(off)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(what());
            };
            let (id, off) = overlay.find(path).zip(off.parse::<usize>().ok()).ok_or_else(what)?;
            let end = off.checked_add(4).ok_or_else(what)?;
            overlay.prop(id, prop).and_then(|value| value.get(off..end)).ok_or_else(what)?;
            patch(overlay, id, prop, off, phandle);
        }
    }
    Ok(())
}

fn no_label(base: &Tree, label: &str) -> String {
    let Some(symbols) = base.child(ROOT, SYMBOLS) else {
        return format!("needs label {label}, but the device tree has no labels; compile it with dtc -@");
    };
    let labels = base.node(symbols).props.iter().map(|(label, _)| label.as_str());
    let hint = spelling::closest(label, labels).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    format!("needs label {label}, which the device tree does not have{hint}")
}

/// Writes a cell into a property that is long enough for it.
fn patch(tree: &mut Tree, id: NodeId, prop: &str, off: usize, cell: u32) {
    let mut value = tree.prop(id, prop).unwrap_or_default().to_vec();
    value[off..off + 4].copy_from_slice(&cell.to_be_bytes());
    tree.set(id, prop, value);
}

fn target(base: &Tree, overlay: &Tree, fragment: NodeId) -> Result<NodeId, String> {
    let name = &overlay.node(fragment).name;
    if let Some(phandle) = overlay.cell(fragment, "target") {
        return base.by_phandle(phandle).ok_or_else(|| format!("{name}: its target is not in the device tree"));
    }
    let path = overlay.str(fragment, "target-path").ok_or_else(|| format!("{name}: has no target"))?;
    base.find(path).ok_or_else(|| format!("{name}: its target {path} is not in the device tree"))
}

/// Merges the node `from` of `overlay`, its properties and its children, into the node `to`.
fn merge(base: &mut Tree, to: NodeId, overlay: &Tree, from: NodeId) {
    let mut open = vec![(to, from)];
    while let Some((to, from)) = open.pop() {
        for (name, value) in &overlay.node(from).props {
            // Other nodes refer to the base's own phandle: keep it.
            if !(name == "phandle" && base.has(to, name)) {
                base.set(to, name, value.clone());
            }
        }
        for &child in &overlay.node(from).children {
            let name = &overlay.node(child).name;
            let to = base.child(to, name).unwrap_or_else(|| base.add(to, name));
            open.push((to, child));
        }
    }
}

/// Adds the overlay's labels to the base's: later overlays may refer to them.
fn add_symbols(base: &mut Tree, overlay: &Tree, moved_paths: &[(String, String)]) {
    let Some(symbols) = overlay.child(ROOT, SYMBOLS) else { return };
    let list = base.child(ROOT, SYMBOLS).unwrap_or_else(|| base.add(ROOT, SYMBOLS));
    for (label, path) in &overlay.node(symbols).props {
        let Some(path) = strings(path).next() else { continue };
        let moved = moved_paths.iter().find_map(|(from, to)| {
            let rest = path.strip_prefix(from.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
            Some(format!("{}{rest}\0", to.trim_end_matches('/')))
        });
        if let Some(moved) = moved {
            base.set(list, label, moved.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Tree {
        Tree::of_text(
            "/soc/i2c@1\nstatus = \"disabled\"\nphandle = <1>\n/soc/gpio@2\nphandle = <2>\n/soc/spi@3\n\
            /__symbols__\ni2c1 = \"/soc/i2c@1\"\ngpio2 = \"/soc/gpio@2\"\nspi3 = \"/soc/spi@3\"",
        )
    }

    const CAPE: &str = "/fragment@0\ntarget = <4294967295>\n/fragment@0/__overlay__\nstatus = \"okay\"\n\
        /fragment@0/__overlay__/rtc@68\ncompatible = \"a,rtc\"\nphandle = <1>\nint-gpios = <4294967295 5>\n\
        /fragment@1\ntarget-path = \"/\"\n/fragment@1/__overlay__/leds\nrtc = <1>\n\
        /__fixups__\ni2c1 = \"/fragment@0:target:0\"\ngpio2 = \"/fragment@0/__overlay__/rtc@68:int-gpios:0\"\n\
        /__local_fixups__/fragment@1/__overlay__/leds\nrtc = <0>\n\
        /__symbols__\nrtc = \"/fragment@0/__overlay__/rtc@68\"";

    #[test]
    fn fragments_go_to_their_targets_with_references_resolved() {
        let mut base = base();
        apply(&mut base, &Tree::of_text(CAPE)).unwrap();
        let rtc = base.find("/soc/i2c@1/rtc@68").unwrap();
        assert!(base.is_enabled(rtc));
        assert_eq!(cells(base.prop(rtc, "int-gpios").unwrap()).collect::<Vec<_>>(), [2, 5]);
        assert_eq!(base.cell(base.find("/leds").unwrap(), "rtc"), Some(3), "1 renumbered after the base's two");
        assert_eq!((base.by_phandle(3), base.symbol("rtc")), (Some(rtc), Some("/soc/i2c@1/rtc@68")));

        let second = "/f\ntarget = <0>\n/f/__overlay__\nbattery\n/__fixups__\nrtc = \"/f:target:0\"";
        apply(&mut base, &Tree::of_text(second)).unwrap();
        assert!(base.has(rtc, "battery"), "a later overlay refers to a label of an earlier one");
    }

    #[test]
    fn a_target_without_phandle_gets_one() {
        let mut base = base();
        apply(&mut base, &Tree::of_text("/f\ntarget = <0>\n/f/__overlay__\nx\n/__fixups__\nspi3 = \"/f:target:0\""))
            .unwrap();
        assert!(base.has(base.find("/soc/spi@3").unwrap(), "x"));
    }

    #[test]
    fn an_overlay_that_does_not_fit_is_refused() {
        let error = |text: &str| apply(&mut base(), &Tree::of_text(text)).unwrap_err();
        let fragment = "/f\ntarget = <0>\n/f/__overlay__\n";
        assert_eq!(
            error(&format!("{fragment}/__fixups__\ni2c2 = \"/f:target:0\"")),
            "needs label i2c2, which the device tree does not have; did you mean `i2c1`?"
        );
        assert_eq!(
            error(&format!("{fragment}/__fixups__\ni2c1 = \"/f:target:2\"")),
            "__fixups__: i2c1: `/f:target:2` is not in the overlay"
        );
        assert_eq!(error(fragment), "f: its target is not in the device tree");
        assert_eq!(error("/f/__overlay__"), "f: has no target");
        assert_eq!(error("/soc"), "not an overlay: no node in it has an __overlay__");
        let bare = apply(&mut Tree::default(), &Tree::of_text(CAPE)).unwrap_err();
        assert_eq!(bare, "needs label i2c1, but the device tree has no labels; compile it with dtc -@");
    }
}
