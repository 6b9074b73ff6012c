// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the fuzzer calls with bytes of its choice; tests/it calls the same with what it found.

use initmod::glob;
use initmod::host::codec;
use initmod::host::dt::tree::{ROOT, Tree};
use initmod::host::dt::{blob, modalias, overlay, suppliers, way};
use initmod::host::image::contents::Contents;
use initmod::host::image::strip;
use initmod::host::modules::depmod_d::DepmodConfig;
use initmod::host::modules::module::Module;
use initmod::modules::config::{Config, join_lines};
use initmod::modules::index::{Builder, Index};
use std::path::Path;

/// A target.
pub type Target = fn(&[u8]);

/// Each target by its name.
pub const ALL: [(&str, Target); 15] = [
    ("index_read", index_read),
    ("index_write", index_write),
    ("module", module),
    ("depmod_d", depmod_d),
    ("modprobe", modprobe),
    ("signature", signature),
    ("elf", elf),
    ("command_line", command_line),
    ("disk", disk),
    ("network", network),
    ("record", record),
    ("dtb", dtb),
    ("initramfs", initramfs),
    ("strip", strip),
    ("zstd", zstd),
];

/// An image of any bytes is read or refused.
pub fn initramfs(data: &[u8]) {
    let Ok(contents) = Contents::read(data, "6.1") else { return };
    _ = contents.modules("lib/modules").count();
    _ = contents.has("sbin/modprobe");
}

/// A module of any bytes is stripped, left as it is or refused; once is enough.
pub fn strip(data: &[u8]) {
    let Ok(stripped) = strip::stripped(data) else { return };
    let again = strip::stripped(&stripped).expect("it was just written");
    assert!(*again == *stripped);
}

/// An index of any bytes is read or refused.
pub fn index_read(data: &[u8]) {
    let (query, data) = data.split_at(data.len().min(16));
    let Ok(index) = Index::new(data) else { return };
    _ = index.get(query);
    _ = index.search(query, &mut |_| Ok(()));
    _ = index.walk(&mut |_, _| ());
}

/// The lines of the data as keys, the first as a query: what is written is found again, as in a plain list.
pub fn index_write(data: &[u8]) {
    let mut lines = data.split(|&byte| byte == b'\n');
    let query = lines.next().unwrap_or_default();
    let (mut builder, mut keys) = (Builder::new(), Vec::new());
    for (at, key) in lines.filter(|key| !key.is_empty() && key.len() < 256).enumerate() {
        let value = at.to_string();
        if builder.insert(key, value.as_bytes(), at as u32).is_ok() {
            keys.push((key, value));
        } else {
            assert!(key.iter().any(|byte| !(1..128).contains(byte)), "{key:?} was refused");
        }
    }
    let file = builder.emit().expect("it is small");
    let index = Index::new(&file).expect("it was just written");
    for (key, _) in &keys {
        let first = keys.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_bytes());
        assert_eq!(index.get(key).expect("it was just written").map(|value| value.text), first);
    }
    let mut count = 0;
    index.walk(&mut |_, _| count += 1).expect("it was just written");
    assert_eq!(count, keys.len());
    if query.len() < 256 {
        let mut found = Vec::new();
        let each = &mut |value: initmod::modules::index::Value<'_>| {
            found.push(String::from_utf8_lossy(value.text).into_owned());
            Ok(())
        };
        index.search(query, each).expect("it was just written");
        found.sort_unstable();
        let mut wanted: Vec<_> = keys.into_iter().filter(|(key, _)| matches(key, query)).map(|(_, at)| at).collect();
        wanted.sort_unstable();
        assert_eq!(found, wanted);
    }
}

/// Up to its first wild character a pattern is compared as it is.
fn matches(pattern: &[u8], query: &[u8]) -> bool {
    let literal_len = pattern.iter().position(|byte| b"*?[".contains(byte)).unwrap_or(pattern.len());
    let (literal, wild) = pattern.split_at(literal_len);
    query.strip_prefix(literal).is_some_and(|tail| glob::matches(wild, tail))
}

/// A module of any bytes, packed or not, is read or refused.
pub fn module(data: &[u8]) {
    let unpacked = codec::decompress(data);
    if let Ok(module) = Module::parse("m.ko", unpacked.as_deref().unwrap_or(data)) {
        assert_eq!(module.imports.iter().count(), module.imports.len());
        assert_eq!(module.exports.iter().count(), module.exports.len());
        _ = module.aliases().chain(module.softdeps()).chain(module.depends()).count();
    }
}

/// A depmod.d file of any bytes is parsed; bad lines are ignored.
pub fn depmod_d(data: &[u8]) {
    let mut config = DepmodConfig::default();
    config.parse(Path::new("fuzz.conf"), data, "6.12.0-fuzz");
    for path in ["updates/a.ko", "kernel/b.ko.xz", "/ext/c.ko", ""] {
        _ = (config.rank(path), config.excludes(path));
    }
}

/// A modprobe.d file of any bytes is understood or told of.
pub fn modprobe(data: &[u8]) {
    let (cmdline, text) = data.split_at(data.len().min(64));
    let mut text = text.to_vec();
    let len = join_lines(&mut text);
    let config = Config::new(&text[..len], cmdline);
    _ = config.directives().count() + config.bad_lines().count();
    _ = config.aliases(b"some_alias").count() + config.softdeps(b"some_module").count();
    _ = (config.blacklists(b"some_module"), config.install(b"some_module").is_some());
}

/// A signature of any bytes is read or refused, as the trailer has it and as a PKCS#7 message.
pub fn signature(data: &[u8]) {
    use initmod::modules::signature::{MAGIC, Signature};
    _ = Signature::of(data);
    _ = Signature::of(&[data, MAGIC].concat());
    let message = [data, &[0, 0, 2, 0, 0, 0, 0, 0], &(data.len() as u32).to_be_bytes(), MAGIC].concat();
    if let Ok(Some(signature)) = Signature::of(&message) {
        assert!(signature.bytes.len() + signature.key.len() + signature.signer.len() <= data.len());
    }
}

/// A module of any bytes tells what it has in it, or nothing.
pub fn elf(data: &[u8]) {
    let Ok(elf) = initmod::modules::elf::Elf::new(data) else { return };
    assert!(elf.modinfo().map(<[u8]>::len).sum::<usize>() <= data.len());
    elf.versions(true, &mut |_| ());
    elf.versions(false, &mut |_| ());
    if let Some(range) = elf.info_range(b"vermagic") {
        assert!(data[range].starts_with(b"vermagic="));
    }
    if let Some((off, _)) = elf.unallocated(b"__versions") {
        assert!(off < data.len());
    }
}

/// A kernel command line, MODPROBE_OPTIONS, and arguments of any bytes.
pub fn command_line(data: &[u8]) {
    use initmod::getopt;
    use initmod::modules::{cmdline, show_config};
    cmdline::params(data).for_each(drop);
    _ = cmdline::blacklists(data, b"a");
    show_config::config(&Config::new(data, data), &mut |_, _| ());
    let mut args = data.split(|&byte| byte == b'\n');
    let mut next = || args.next();
    let is_posix: fn() -> bool = if data.len() % 2 == 1 { || true } else { || false };
    let mut getopt = getopt::Getopt::new("a all\nC=config\nr remove\nH-remove-holders", is_posix, &mut next);
    while let Ok(Some(_)) = getopt.next() {}
}

/// A disk of any bytes holds a file system and partitions, or nothing known.
pub fn disk(data: &[u8]) {
    use initmod::root::{partition, superblock};
    let (head, rest) = data.split_at(data.len().min(superblock::HEAD_LEN));
    if let Some(found) = superblock::identify(head, rest) {
        assert!(!found.fs_type.is_empty());
        _ = (found.uuid().is(b"1a"), found.label().is(b"root"));
    }
    _ = partition::of_mbr(data, 1).is_some_and(|uuid| uuid.is(b"1a-01"));
    _ = partition::gpt_entry_off(data, 512, 1);
    if let Some((uuid, label)) = partition::of_gpt(data) {
        _ = (uuid.is(b"1a"), label.is(b"root"));
    }
}

/// What a DHCP server or a command line says of the network is read or refused.
pub fn network(data: &[u8]) {
    use initmod::root::nfsroot::{Ip, NfsRoot, Offer, Reply, emit};
    _ = Ip::parse(data);
    let said = NfsRoot::parse(data);
    assert!(said.path.len() + said.options.len() <= data.len());
    // As if it answered ours.
    let mut packet = data.to_vec();
    for (off, bytes) in [(0, &[2][..]), (4, &7_u32.to_be_bytes()), (28, &[0; 6]), (236, &0x6382_5363_u32.to_be_bytes())]
    {
        if let Some(slot) = packet.get_mut(off..off + bytes.len()) {
            slot.copy_from_slice(bytes);
        }
    }
    if let Some(reply) = Reply::parse(&packet, 7, [0; 6]) {
        assert!(NfsRoot::parse(reply.root).path.len() <= reply.root.len());
        assert_eq!(emit([0; 6], 7, Some(Offer { client: [0; 4], server: reply.id }))[256..260], reply.id);
    }
}

/// A line of the flight recorder is JSON, whatever devices are called.
pub fn record(data: &[u8]) {
    use initmod::loading::record::{LINE_LEN, Record, Style, TEXT_LEN, Verdict};
    let (alias, by) = data.split_at(data.len() / 2);
    let record = Record { module: b"a", result: Verdict::Failed(alias, by), alias, by, asked_us: 1, run: None };
    let mut line = heapless::Vec::<u8, { 2 * LINE_LEN }>::new();
    record.emit(Style::Json, &mut line).expect("there is room for more than any");
    let read: serde_json::Value = serde_json::from_slice(&line).expect("it is JSON");
    let text = read["alias"].as_str().expect("it is a string");
    assert!(text.chars().map(|char| char as u32).eq(alias.iter().take(TEXT_LEN).map(|&byte| u32::from(byte))));
}

/// A device tree of any bytes, and an overlay behind it, are read and followed, or refused. What is read is what another
/// reader, which relies on a whole tree, reads.
pub fn dtb(data: &[u8]) {
    let (base, layer) = data.split_at(total_len(data));
    let Ok(mut tree) = blob::parse(base) else { return };
    assert!(same(&tree, dtoolkit::fdt::Fdt::new_unchecked(base).root()));
    follow(&tree);
    if let Ok(layer) = blob::parse(layer)
        && overlay::apply(&mut tree, &layer).is_ok()
    {
        follow(&tree);
    }
}

/// The length that a device tree says it has.
fn total_len(data: &[u8]) -> usize {
    let len = data.get(4..8).and_then(|len| len.first_chunk()).map_or(0, |len| u32::from_be_bytes(*len) as usize);
    len.min(data.len())
}

/// Compares a tree with what `dtoolkit` reads, from its root on.
pub fn same(tree: &Tree, root: dtoolkit::fdt::FdtNode<'_>) -> bool {
    use dtoolkit::{Node, Property};
    let mut open = vec![(ROOT, root)];
    while let Some((id, theirs)) = open.pop() {
        let node = tree.node(id);
        let props: Vec<_> = theirs.properties().collect();
        let children: Vec<_> = theirs.children().collect();
        let is_same = node.name == theirs.name()
            && node.props.len() == props.len()
            && node.props.iter().zip(&props).all(|((name, value), prop)| name == prop.name() && value == prop.value())
            && node.children.len() == children.len();
        if !is_same {
            return false;
        }
        open.extend(node.children.iter().copied().zip(children));
    }
    true
}

/// Asks for all that a selection asks of a tree.
fn follow(tree: &Tree) {
    let devices = tree.devices();
    for &id in &devices {
        assert!(tree.is_enabled(id));
        _ = (modalias::of(tree, id), modalias::others(tree, id), suppliers::of(tree, id), tree.find(&tree.path(id)));
    }
    for &start in devices.iter().take(8) {
        let way = way::Way::new(tree, &[start]);
        way.order.iter().for_each(|&id| _ = way.steps(tree, id));
    }
}

/// Bytes that are a zstd file to libzstd and to us mean the same to both. It is not asked to pack any: its own packer does
/// not pass the address sanitizer.
pub fn zstd(data: &[u8]) {
    if codec::Format::of(data) == codec::Format::Zst
        && let (Some(ours), Ok(theirs)) = (unpacked(data), codec::decompress(data))
    {
        assert_eq!(ours, theirs);
    }
}

fn unpacked(data: &[u8]) -> Option<Vec<u8>> {
    use initmod::zstd::{BLOCK_LEN, decode, needs};
    let needs = needs(data).filter(|needs| needs.len <= 1 << 22)?;
    let mut content = vec![0; needs.len as usize];
    let len = decode(data, &mut content, &mut vec![0; BLOCK_LEN])?;
    content.truncate(len);
    Some(content)
}
