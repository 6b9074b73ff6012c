//! References in a property: a phandle and as many cells behind it as its target says, again and again. Source:
//! drivers/of/base.c, `of_phandle_iterator_next`.

use super::tree::{NodeId, Tree, cells};

/// Yields the targets of phandles that are followed by as many cells as the target's property `count_in` says; 0
/// where it has none and `or_none`. Ends at what can't be followed: how long it is nobody knows.
pub(crate) fn counted(tree: &Tree, value: &[u8], count_in: &str, or_none: bool) -> Vec<NodeId> {
    let (mut targets, mut rest) = (Vec::new(), cells(value));
    while let Some(phandle) = rest.next() {
        if phandle == 0 {
            // A hole in the list: the place counts, nothing is there.
            continue;
        }
        let Some(target) = tree.by_phandle(phandle) else { break };
        targets.push(target);
        match tree.cell(target, count_in) {
            Some(0) => {}
            Some(count) => drop(rest.by_ref().nth(count as usize - 1)),
            None if or_none => {}
            None => break,
        }
    }
    targets
}

/// Yields the targets of a list of phandles with nothing between them.
pub(crate) fn bare(tree: &Tree, value: &[u8]) -> Vec<NodeId> {
    cells(value).filter_map(|phandle| tree.by_phandle(phandle)).collect()
}

/// Yields the targets of a map of ranges: id, phandle, id at the target, length.
pub(crate) fn ranges(tree: &Tree, value: &[u8]) -> Vec<NodeId> {
    let all: Vec<u32> = cells(value).collect();
    all.as_chunks::<4>().0.iter().filter_map(|[_, phandle, _, _]| tree.by_phandle(*phandle)).collect()
}

/// Yields the targets of `interrupt-map` of the node `id`: address and interrupt below it, the controller's phandle,
/// address and interrupt there.
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
    fn a_reference_is_as_long_as_its_target_says() {
        let tree =
            Tree::of_text("/a\nphandle = <1>\n#x-cells = <2>\n/b\nphandle = <2>\n#x-cells = <0>\n/c\nphandle = <3>");
        let counted = |list: &[u32]| counted(&tree, &value(list), "#x-cells", false);
        assert_eq!(counted(&[1, 9, 9, 2, 0, 1, 9, 9]), [1, 2, 1]);
        assert_eq!(counted(&[3, 1, 9, 9]), [3], "a target that does not say ends the list");
        assert_eq!(counted(&[1, 9]), [1], "and so does a list cut short");
        assert_eq!(super::counted(&tree, &value(&[3, 3]), "#x-cells", true), [3, 3]);
    }

    #[test]
    fn maps_lead_to_their_controllers() {
        let tree = Tree::of_text(
            "/pcie\n#address-cells = <3>\n#interrupt-cells = <1>\n/gic\nphandle = <1>\n#address-cells = <0>\n\
            #interrupt-cells = <3>",
        );
        let row = [0, 0, 0, 1, 1, 0, 5, 4];
        assert_eq!(interrupt_map(&tree, 1, &value(&[row, row].concat())), [2, 2]);
        assert_eq!(interrupt_map(&tree, 1, &value(&row[..6])), [2]);
        assert_eq!(ranges(&tree, &value(&[0, 1, 0, 256, 7, 7, 7, 7])), [2]);
    }
}
