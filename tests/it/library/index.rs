// SPDX-License-Identifier: MIT OR Apache-2.0
//! The index on disk: what is written is found again as a plain list of patterns would find it, and no damage makes a
//! reader panic, run on, or read past the end.

use initmod::error::Error;
use initmod::glob;
use initmod::modules::index::{Builder, Fault, Index};
use proptest::prelude::*;

/// Modname and priority of each hit, in the order of the reader.
type Hits = Vec<(u32, String)>;

fn build(entries: &[(String, String, u32)]) -> Vec<u8> {
    let mut builder = Builder::new();
    for (key, value, priority) in entries {
        builder.insert(key.as_bytes(), value.as_bytes(), *priority).unwrap();
    }
    builder.emit().unwrap()
}

/// An index with every kind of node, about 2 kB.
fn sample() -> Vec<u8> {
    let keys = [
        "pci:v00008086d*sv*sd*bc*sc*i*",
        "pci:v00008086d00001234sv*",
        "pci:v*d*sv*sd*bc01sc06i01*",
        "usb:v1D6Bp000[2-3]d*",
        "a",
        "ab",
        "abc",
        "abd",
        "of:N*T*Callwinner,sun8i_h3_mmc",
        "of:N*T*Callwinner,sun8i_h3_mmcC*",
        "?at",
        "*",
        "x[!a]y",
    ];
    let entries = (0..50).map(|at| {
        let name = keys[at % keys.len()];
        let key = if at < 20 { name.to_owned() } else { format!("{name}{at}") };
        (key, format!("mod_{at}"), (at as u32 * 7) % 5)
    });
    build(&entries.collect::<Vec<_>>())
}

fn search(data: &[u8], query: &str) -> Result<Hits, Fault> {
    let mut hits = Vec::new();
    Index::new(data)?.search(query.as_bytes(), &mut |value| {
        hits.push((value.priority, String::from_utf8_lossy(value.text).into_owned()));
        Ok(())
    })?;
    Ok(hits)
}

/// Merges as kmod does: before the first whose priority is not lower.
fn by_priority(hits: Hits) -> Hits {
    hits.into_iter().fold(Vec::new(), |mut list, hit| {
        let at = list.iter().position(|other: &(u32, String)| other.0 >= hit.0).unwrap_or(list.len());
        list.insert(at, hit);
        list
    })
}

/// A list of patterns in the place of the index. Up to its first wild character a pattern is compared as it is, so a
/// backslash there is none: kmod's search and ours agree on that.
fn list_matches(pattern: &str, query: &str) -> bool {
    let literal_len = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    let (literal, wild) = pattern.split_at(literal_len);
    query.strip_prefix(literal).is_some_and(|tail| glob::matches(wild.as_bytes(), tail.as_bytes()))
}

/// Looks the data up in every way and checks what any reader may rely on.
fn exercise(data: &[u8]) {
    let check = |outcome: Result<(), Fault>| {
        if let Err(fault) = outcome {
            // What lies past the end is named by where it should be: up to 28 bits of offset.
            let limit = if fault.error == Error::OutOfBounds { 1 << 28 } else { data.len() };
            assert!((fault.off as usize) < limit, "{fault:?} in {} bytes", data.len());
            assert!(!matches!(fault.error, Error::BadBrackets | Error::BadDirective | Error::Full | Error::TooDeep));
        }
    };
    let index = match Index::new(data) {
        Ok(index) => index,
        Err(fault) => return check(Err(fault)),
    };
    let mut value_count = 0;
    check(index.walk(&mut |_, value| {
        value_count += 1;
        assert!(value_count <= data.len() / 5, "more values than a tree of this size has");
        assert!(value.text.len() < data.len());
    }));
    for query in [
        "pci:v00008086d00001234sv1sd2bc01sc06i01",
        "abd",
        "cat",
        "usb:v1D6Bp0002d1",
        "of:NmmcTCallwinner,sun8i_h3_mmcCx",
        "",
        "***",
    ] {
        check(index.get(query.as_bytes()).map(drop));
        let mut value_count = 0;
        check(index.search(query.as_bytes(), &mut |_| {
            value_count += 1;
            assert!(value_count <= data.len() / 5, "more values than a tree of this size has");
            Ok(())
        }));
    }
}

#[test]
fn every_prefix_is_refused_or_read() {
    let data = sample();
    for len in 0..data.len() {
        exercise(&data[..len]);
    }
    let faulty = (12..data.len()).filter(|&len| Index::new(&data[..len]).unwrap().walk(&mut |_, _| ()).is_err());
    assert_eq!(faulty.count(), data.len() - 12, "a walk over a truncated index says so");
}

#[test]
fn every_flipped_bit_is_refused_or_read() {
    let mut data = sample();
    for at in 0..data.len() * 8 {
        data[at / 8] ^= 1 << (at % 8);
        exercise(&data);
        data[at / 8] ^= 1 << (at % 8);
    }
}

#[test]
fn a_header_fault_names_its_field() {
    let fault = |data: &[u8]| Index::new(data).map(drop).unwrap_err();
    let data = sample();
    assert_eq!(fault(b"ELF"), Fault { error: Error::OutOfBounds, off: 0 });
    assert_eq!(fault(b"\x7fELF and more"), Fault { error: Error::BadMagic, off: 0 });
    assert_eq!(fault(&data[..6]), Fault { error: Error::OutOfBounds, off: 4 });
    assert_eq!(fault(&[&data[..4], &[0, 3, 0, 0, 0, 0, 0, 0]].concat()), Fault { error: Error::BadVersion, off: 4 });
    assert!(Index::new(b"").unwrap().get(b"x").unwrap().is_none(), "0 bytes are an empty index");
}

/// Node references of a file whose nodes are shared: `levels` nodes, each with 127 edges to the next, the last with values.
fn braid(levels: usize, value_count: u32) -> Vec<u8> {
    let node_len = 2 + 4 * 127;
    let mut data = [0xB007_F457u32, 0x0002_0001, 0x2000_000C].map(u32::to_be_bytes).concat();
    for level in 1..=levels {
        let flags: u32 = if level == levels { 0x4000_0000 } else { 0x2000_0000 };
        data.extend([1, 127]);
        data.extend((flags | (12 + level * node_len) as u32).to_be_bytes().repeat(127));
    }
    data.extend(value_count.to_be_bytes());
    (0..value_count).for_each(|_| data.extend([0, 0, 0, 0, b'v', 0]));
    data
}

#[test]
fn nodes_that_are_shared_are_no_tree() {
    let data = braid(9, 50_000); // 127^9 keys of 50,000 values each
    let index = Index::new(&data).unwrap();
    let started = std::time::Instant::now();
    let fault = index.walk(&mut |_, _| ()).unwrap_err();
    assert_eq!(fault.error, Error::Cycle);
    for query in ["?????????", "*********", "bbbbbbbbb"] {
        let _ = index.search(query.as_bytes(), &mut |_| Ok(()));
    }
    assert!(started.elapsed().as_secs() < 5, "took {:?}", started.elapsed());
}

#[test]
fn a_dense_tree_is_one() {
    let keys = (0..1 << 9).map(|bits: u32| (0..9).map(|at| if bits >> at & 1 == 1 { '*' } else { '?' }).collect());
    let entries: Vec<_> = keys.map(|key: String| (key, String::new(), 0)).collect();
    let data = build(&entries);
    assert_eq!(search(&data, "abcdefghi").unwrap().len(), entries.len());
    assert!(search(&data, "*********").unwrap().len() == entries.len(), "none is found twice");
    let mut walked = 0;
    Index::new(&data).unwrap().walk(&mut |_, _| walked += 1).unwrap();
    assert_eq!(walked, entries.len());
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        r"[ab]{0,5}",
        r"[ab]{0,3}([ab*?]|\[[!a-b]b\]|\\[a*]|\[){0,5}",
        r"a{0,60}b?",
        r"v(0|1|\*)d(0|1|\*)(sv\*)?"
    ]
    .prop_filter("depmod leaves such keys out", |key: &String| !key.is_empty())
}

fn query() -> impl Strategy<Value = String> {
    prop_oneof![r"[ab]{0,6}", r"[ab*?]{0,5}", r"a{0,60}b?", r"v[01*]d[01](sv1)?", r"[ab\[\]]{0,5}"]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn search_finds_what_a_list_would(entries in prop::collection::vec((key(), "[m-p]", 0u32..4), 0..40), query in query()) {
        let data = build(&entries);
        let found = search(&data, &query).unwrap();
        let mut want: Hits = Vec::new();
        for (key, value, priority) in &entries {
            if list_matches(key, &query) {
                want.push((*priority, value.clone()));
            }
        }
        let sorted = |mut hits: Hits| { hits.sort(); hits };
        prop_assert_eq!(sorted(found), sorted(want), "{:?}", query);
    }

    #[test]
    fn the_values_of_a_key_keep_the_insert_rule(values in prop::collection::vec(("[a-z]{1,3}", 0u32..4), 1..20)) {
        let entries: Vec<_> = values.iter().map(|(value, priority)| ("k*".to_owned(), value.clone(), *priority)).collect();
        let data = build(&entries);
        // In the file by priority, ties reversed; the reader's merge turns ties round again.
        let inserted = by_priority(values.iter().map(|(value, priority)| (*priority, value.clone())).collect());
        let mut stable: Hits = values.iter().map(|(value, priority)| (*priority, value.clone())).collect();
        stable.sort_by_key(|hit| hit.0);
        let found = search(&data, "kx").unwrap();
        prop_assert_eq!(&found, &inserted);
        prop_assert_eq!(by_priority(found), stable);
        let first = Index::new(&data).unwrap().get(b"k*").unwrap().unwrap();
        prop_assert_eq!((first.priority, first.text), (inserted[0].0, inserted[0].1.as_bytes()));
    }

    #[test]
    fn get_and_walk_find_every_key(entries in prop::collection::btree_map("[a-c*]{1,6}", "[a-z]{0,4}", 0..40), other in "[a-c*]{0,7}") {
        let list: Vec<_> = entries.iter().map(|(key, value)| (key.clone(), value.clone(), 1)).collect();
        let data = build(&list);
        let index = Index::new(&data).unwrap();
        let mut walked = Vec::new();
        index.walk(&mut |key, value| { walked.push((key.to_vec(), value.text.to_vec())) }).unwrap();
        let want: Vec<_> = entries.iter().map(|(key, value)| (key.clone().into_bytes(), value.clone().into_bytes())).collect();
        prop_assert_eq!(walked, want);
        for key in entries.keys().chain([&other]) {
            let found = index.get(key.as_bytes()).unwrap().map(|value| value.text);
            prop_assert_eq!(found, entries.get(key).map(String::as_bytes));
        }
    }

    #[test]
    fn damage_is_refused_or_read(bytes in prop::collection::vec((0usize..3000, any::<u8>()), 1..8)) {
        let mut data = sample();
        for (at, byte) in bytes {
            let at = at % data.len();
            data[at] = byte;
        }
        exercise(&data);
    }
}
