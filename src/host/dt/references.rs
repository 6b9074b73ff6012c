// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the references in a property: phandles, each followed by argument cells. The target's property, such as
//! `#clock-cells`, has their number. Source: drivers/of/base.c, `of_phandle_iterator_next`.

use super::tree::{NodeId, Tree, cells};

/// Returns the targets of references whose number of argument cells is the target's property `count_in`. With
/// `may_be_absent`, a target without the property takes none. Ends at an unknown phandle or count: its length is unknown.
pub(crate) fn counted(tree: &Tree, value: &[u8], count_in: &str, may_be_absent: bool) -> Vec<NodeId> {
    let (mut targets, mut rest) = (Vec::new(), cells(value));
    while let Some(phandle) = rest.next() {
        if phandle == 0 {
            // An empty entry, without arguments.
            continue;
        }
        let Some(target) = tree.by_phandle(phandle) else { break };
        targets.push(target);
        match tree.cell(target, count_in) {
            Some(0) => {}
            Some(count) => drop(rest.by_ref().nth(count as usize - 1)),
            None if may_be_absent => {}
            None => break,
        }
    }
    targets
}

/// Returns the targets of a list of phandles without arguments.
pub(crate) fn bare(tree: &Tree, value: &[u8]) -> Vec<NodeId> {
    cells(value).filter_map(|phandle| tree.by_phandle(phandle)).collect()
}

/// Returns the targets of a map of id ranges; each range is: id, phandle, id at the target, length.
pub(crate) fn ranges(tree: &Tree, value: &[u8]) -> Vec<NodeId> {
    let all: Vec<u32> = cells(value).collect();
    all.as_chunks::<4>().0.iter().filter_map(|[_, phandle, _, _]| tree.by_phandle(*phandle)).collect()
}

/// Returns the targets of the `interrupt-map` of node `id`; each row is: address and interrupt below the node, the
/// controller's phandle, address and interrupt at the controller.
pub(crate) fn interrupt_map(tree: &Tree, id: NodeId, value: &[u8]) -> Vec<NodeId> {
    let count = |id, name, default| tree.cell(id, name).unwrap_or(default) as usize;
    let before = count(id, "#address-cells", 2).saturating_add(count(id, "#interrupt-cells", 1));
    let (mut targets, mut rest) = (Vec::new(), cells(value));
    while let Some(target) = rest.nth(before).and_then(|phandle| tree.by_phandle(phandle)) {
        targets.push(target);
        let behind = count(target, "#address-cells", 0).saturating_add(count(target, "#interrupt-cells", 1));
        if behind > 0 && rest.nth(behind - 1).is_none() {
            break;
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(cells: &[u32]) -> Vec<u8> {
        cells.iter().flat_map(|cell| cell.to_be_bytes()).collect()
    }

    #[test]
    fn the_target_has_the_length_of_a_reference() {
        let tree =
            Tree::of_text("/a\nphandle = <1>\n#x-cells = <2>\n/b\nphandle = <2>\n#x-cells = <0>\n/c\nphandle = <3>");
        let [a, b, c] = ["/a", "/b", "/c"].map(|path| tree.find(path).unwrap());
        let counted = |list: &[u32]| counted(&tree, &value(list), "#x-cells", false);
        assert_eq!(counted(&[1, 9, 9, 2, 0, 1, 9, 9]), [a, b, a]);
        assert_eq!(counted(&[3, 1, 9, 9]), [c], "a target without the property ends the list");
        assert_eq!(counted(&[1, 9]), [a], "and so does a truncated list");
        assert_eq!(super::counted(&tree, &value(&[3, 3]), "#x-cells", true), [c, c]);
    }

    #[test]
    fn maps_lead_to_their_controllers() {
        let tree = Tree::of_text(
            "/pcie\n#address-cells = <3>\n#interrupt-cells = <1>\n/gic\nphandle = <1>\n#address-cells = <0>\n\
            #interrupt-cells = <3>",
        );
        let [pcie, gic] = ["/pcie", "/gic"].map(|path| tree.find(path).unwrap());
        let row = [0, 0, 0, 1, 1, 0, 5, 4];
        assert_eq!(interrupt_map(&tree, pcie, &value(&[row, row].concat())), [gic, gic]);
        assert_eq!(interrupt_map(&tree, pcie, &value(&row[..6])), [gic]);
        assert_eq!(ranges(&tree, &value(&[0, 1, 0, 256, 7, 7, 7, 7])), [gic]);
    }
}
