// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes flattened device trees for tests, from lines: `/path` opens a node, `name = "string", <cells>` adds to it.

use std::collections::BTreeMap;

#[derive(Default)]
struct Node {
    props: Vec<(String, Vec<u8>)>,
    children: BTreeMap<String, Node>,
}

/// Makes a blob; where two lines name one node they mean the same.
pub fn dtb(text: &str) -> Vec<u8> {
    let mut root = Node::default();
    let mut at: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(path) = line.strip_prefix('/') {
            at = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
            open(&mut root, &at);
            continue;
        }
        let (name, value) = line.split_once(" = ").unwrap_or((line, ""));
        open(&mut root, &at).props.push((name.into(), bytes(value)));
    }
    let (mut structs, mut strings) = (Vec::new(), Vec::new());
    emit("", &root, &mut structs, &mut strings);
    structs.extend(9u32.to_be_bytes());
    let (structs_len, strings_len) = (structs.len() as u32, strings.len() as u32);
    let strings_off = 40 + structs_len;
    let header = [0xd00d_feed, strings_off + strings_len, 40, strings_off, 40, 17, 16, 0, strings_len, structs_len];
    [header.into_iter().flat_map(u32::to_be_bytes).collect(), structs, strings].concat()
}

fn open<'a>(root: &'a mut Node, path: &[String]) -> &'a mut Node {
    path.iter().fold(root, |node, part| node.children.entry(part.clone()).or_default())
}

fn bytes(value: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in value.split(", ").filter(|value| !value.is_empty()) {
        match value.strip_prefix('<') {
            Some(cells) => {
                let cells = cells.trim_end_matches('>').split_whitespace();
                bytes.extend(cells.flat_map(|cell| cell.parse::<u32>().unwrap().to_be_bytes()));
            }
            None => bytes.extend(value.trim_matches('"').bytes().chain([0])),
        }
    }
    bytes
}

fn emit(name: &str, node: &Node, structs: &mut Vec<u8>, strings: &mut Vec<u8>) {
    structs.extend(1u32.to_be_bytes());
    structs.extend(name.bytes().chain([0]));
    structs.resize(structs.len().next_multiple_of(4), 0);
    for (name, value) in &node.props {
        structs.extend([3, value.len() as u32, strings.len() as u32].into_iter().flat_map(u32::to_be_bytes));
        structs.extend(value);
        structs.resize(structs.len().next_multiple_of(4), 0);
        strings.extend(name.bytes().chain([0]));
    }
    for (name, child) in &node.children {
        emit(name, child, structs, strings);
    }
    structs.extend(2u32.to_be_bytes());
}
