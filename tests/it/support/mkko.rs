// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernel modules without a compiler: the smallest relocatable ELF files that depmod, modprobe and modinfo accept.
//!
//! Sections and symbols are those that a module's readers look at; there is no code. Sources: the kernel's
//! scripts/mod/modpost.c and include/uapi/linux/elf.h.

/// Trailer of a signed module. Source: the kernel's include/linux/module_signature.h.
const SIGNATURE_MAGIC: &[u8] = b"~Module signature appended~\n";

const SHT_PROGBITS: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHF_ALLOC: u64 = 2;
const SHF_WRITE: u64 = 1;
const SHN_ABS: u16 = 0xfff1;
const STB_GLOBAL: u8 = 1 << 4;
const STB_WEAK: u8 = 2 << 4;
const STT_FUNC: u8 = 2;

/// Where a module says which versions of symbols it was built against.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// Nowhere: CONFIG_MODVERSIONS is off.
    None,
    /// `__versions`, names cut at 55 (60) bytes.
    Basic,
    /// `__version_ext_names` and `__version_ext_crcs`, as Linux 6.14 and later can.
    Extended,
}

/// A module in the making; by default for x86-64, with `__versions` and `__crc_` symbols.
#[derive(Clone)]
pub struct Ko {
    name: String,
    exports: Vec<String>,
    imports: Vec<String>,
    weak: Vec<String>,
    info: Vec<(String, String)>,
    depends: String,
    is_64: bool,
    big_endian: bool,
    machine: u16,
    versions: Versions,
    crc_symbols: bool,
    signature: Option<Vec<u8>>,
    release: String,
    other_crcs: Vec<(String, u32)>,
}

struct Section {
    name: &'static str,
    kind: u32,
    flags: u64,
    data: Vec<u8>,
    entry_len: u64,
}

impl Ko {
    /// Begins a module called `name`, as the kernel shall list it.
    pub fn new(name: &str) -> Self {
        Ko {
            name: name.into(),
            exports: Vec::new(),
            imports: Vec::new(),
            weak: Vec::new(),
            info: Vec::new(),
            depends: String::new(),
            is_64: true,
            big_endian: false,
            machine: 62,
            versions: Versions::Basic,
            crc_symbols: true,
            signature: None,
            release: "6.12.0".into(),
            other_crcs: Vec::new(),
        }
    }

    /// Returns a file that passes for the loader.
    pub fn loader() -> Self {
        Ko::new("initmod")
    }

    /// Returns the module as built for the kernel `release`.
    pub fn built_for(&self, release: &str) -> Self {
        Ko { release: release.into(), ..self.clone() }
    }

    /// Adds a symbol that other modules may use.
    pub fn export(mut self, symbol: &str) -> Self {
        self.exports.push(symbol.into());
        self
    }

    /// Adds a symbol that has to come from elsewhere.
    pub fn import(mut self, symbol: &str) -> Self {
        self.imports.push(symbol.into());
        self
    }

    /// Adds a symbol that is used where it exists.
    pub fn weak(mut self, symbol: &str) -> Self {
        self.weak.push(symbol.into());
        self
    }

    /// Adds `key=value` to .modinfo, behind the license.
    pub fn info(mut self, key: &str, value: &str) -> Self {
        self.info.push((key.into(), value.into()));
        self
    }

    /// Adds a pattern of devices or names that the module serves.
    pub fn alias(self, pattern: &str) -> Self {
        self.info("alias", pattern)
    }

    /// Sets `depends=` of .modinfo: names joined by commas. Nothing checks it against the imports.
    pub fn depends(mut self, names: &str) -> Self {
        self.depends = names.into();
        self
    }

    /// Makes it a 32-bit file; EM_ARM unless [`Ko::machine`] follows.
    pub fn elf32(mut self) -> Self {
        (self.is_64, self.machine) = (false, 40);
        self
    }

    /// Makes it a big-endian file.
    pub fn big_endian(mut self) -> Self {
        self.big_endian = true;
        self
    }

    /// Sets e_machine.
    pub fn machine(mut self, machine: u16) -> Self {
        self.machine = machine;
        self
    }

    /// Sets where the versions of imported symbols stand.
    pub fn versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    /// Sets another version of a symbol than [`crc`], as from another build.
    pub fn crc(mut self, symbol: &str, crc: u32) -> Self {
        self.other_crcs.push((symbol.into(), crc));
        self
    }

    /// Leaves `__crc_` symbols out; then exports are to be read from `__ksymtab_strings`.
    pub fn without_crcs(mut self) -> Self {
        self.crc_symbols = false;
        self
    }

    /// Appends `signature` and the trailer of a signed module.
    pub fn signed(mut self, signature: &[u8]) -> Self {
        self.signature = Some(signature.into());
        self
    }

    /// Emits the file.
    pub fn build(&self) -> Vec<u8> {
        let (symtab, strtab) = self.symbols();
        let mut sections = vec![
            Section::new(".modinfo", SHT_PROGBITS, SHF_ALLOC, self.modinfo()),
            Section::new("__ksymtab_strings", SHT_PROGBITS, SHF_ALLOC, strings(&self.exports)),
        ];
        let versioned: Vec<_> = ["module_layout".to_owned()].into_iter().chain(self.undefined().cloned()).collect();
        match self.versions {
            Versions::None => {}
            Versions::Basic => {
                let data = versioned.iter().flat_map(|symbol| self.version(symbol)).collect();
                sections.push(Section::new("__versions", SHT_PROGBITS, SHF_ALLOC, data));
            }
            Versions::Extended => {
                let crcs = versioned.iter().flat_map(|symbol| self.u32(self.crc_of(symbol))).collect();
                sections.push(Section::new("__version_ext_crcs", SHT_PROGBITS, SHF_ALLOC, crcs));
                sections.push(Section::new("__version_ext_names", SHT_PROGBITS, SHF_ALLOC, strings(&versioned)));
            }
        }
        sections.push(Section::new(
            ".gnu.linkonce.this_module",
            SHT_PROGBITS,
            SHF_ALLOC | SHF_WRITE,
            self.this_module(),
        ));
        sections.push(Section {
            entry_len: if self.is_64 { 24 } else { 16 },
            ..Section::new(".symtab", SHT_SYMTAB, 0, symtab)
        });
        sections.push(Section::new(".strtab", SHT_STRTAB, 0, strtab));
        sections.retain(|section| !section.data.is_empty());
        let mut file = self.elf(sections);
        if let Some(signature) = &self.signature {
            file.extend(signature);
            file.extend([0, 0, 2, 0, 0, 0, 0, 0]); // id_type PKEY_ID_PKCS7; the container says the rest
            file.extend((signature.len() as u32).to_be_bytes());
            file.extend(SIGNATURE_MAGIC);
        }
        file
    }

    fn crc_of(&self, symbol: &str) -> u32 {
        let other = self.other_crcs.iter().find(|(name, _)| name == symbol);
        other.map_or_else(|| crc(symbol), |(_, crc)| *crc)
    }

    fn undefined(&self) -> impl Iterator<Item = &String> {
        self.imports.iter().chain(&self.weak)
    }

    fn modinfo(&self) -> Vec<u8> {
        let own = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let head = [own("license", "GPL")];
        let tail = [
            own("depends", &self.depends),
            own("name", &self.name),
            own("vermagic", &format!("{} SMP mod_unload modversions ", self.release)),
        ];
        let entries = head.iter().chain(&self.info).chain(&tail);
        entries.flat_map(|(key, value)| format!("{key}={value}\0").into_bytes()).collect()
    }

    /// `struct module`: only the name, where the kernel and kmod look for it.
    fn this_module(&self) -> Vec<u8> {
        let mut data = vec![0; 512];
        let off = if self.is_64 { 24 } else { 12 };
        let len = self.name.len().min(55);
        data[off..off + len].copy_from_slice(&self.name.as_bytes()[..len]);
        data
    }

    /// `struct modversion_info`: a long and a name, 64 bytes.
    fn version(&self, symbol: &str) -> Vec<u8> {
        let mut entry = self.word(u64::from(self.crc_of(symbol)));
        let room = 63 - entry.len();
        entry.extend(symbol.bytes().take(room));
        entry.resize(64, 0);
        entry
    }

    fn symbols(&self) -> (Vec<u8>, Vec<u8>) {
        let mut strtab = vec![0];
        let mut symtab = self.symbol(0, 0, 0, 0);
        let mut add = |name: &str, info: u8, section: u16, value: u32| {
            symtab.extend(self.symbol(strtab.len() as u32, info, section, value));
            strtab.extend(name.bytes().chain([0]));
        };
        for export in &self.exports {
            if self.crc_symbols {
                add(&format!("__crc_{export}"), STB_GLOBAL, SHN_ABS, self.crc_of(export));
            }
            add(export, STB_GLOBAL | STT_FUNC, 1, 0);
        }
        self.imports.iter().for_each(|import| add(import, STB_GLOBAL, 0, 0));
        self.weak.iter().for_each(|import| add(import, STB_WEAK, 0, 0));
        (symtab, strtab)
    }

    fn symbol(&self, name: u32, info: u8, section: u16, value: u32) -> Vec<u8> {
        let (name, section) = (self.u32(name), self.u16(section));
        match self.is_64 {
            true => [name, vec![info, 0], section, self.word(value.into()), self.word(0)].concat(),
            false => [name, self.u32(value), self.u32(0), vec![info, 0], section].concat(),
        }
    }

    fn elf(&self, sections: Vec<Section>) -> Vec<u8> {
        let (header_len, section_header_len) = if self.is_64 { (64, 64) } else { (52, 40) };
        let mut names = vec![0];
        let name_offs: Vec<_> = sections.iter().map(|section| push_str(&mut names, section.name)).collect();
        let shstrtab_name = push_str(&mut names, ".shstrtab");
        let strtab_at = sections.iter().position(|section| section.name == ".strtab").map_or(0, |at| at + 1);
        let sections = sections.into_iter().zip(name_offs);
        let sections: Vec<_> =
            sections.chain([(Section::new(".shstrtab", SHT_STRTAB, 0, names), shstrtab_name)]).collect();

        let mut body = Vec::new();
        let mut headers = vec![0; section_header_len];
        for (section, name) in &sections {
            body.resize(body.len().next_multiple_of(8), 0);
            let off = (header_len as usize + body.len()).next_multiple_of(8);
            body.resize(off - header_len as usize, 0);
            body.extend(&section.data);
            let (link, info) = if section.kind == SHT_SYMTAB { (strtab_at as u32, 1) } else { (0, 0) };
            let words = [section.flags, 0, off as u64, section.data.len() as u64];
            headers.extend([self.u32(*name), self.u32(section.kind)].concat());
            headers.extend(words.into_iter().flat_map(|word| self.word(word)));
            headers.extend([self.u32(link), self.u32(info), self.word(1), self.word(section.entry_len)].concat());
        }
        let headers_off = (header_len as usize + body.len()).next_multiple_of(8);
        body.resize(headers_off - header_len as usize, 0);

        let count = sections.len() as u16;
        let ident = [0x7f, b'E', b'L', b'F', 1 + u8::from(self.is_64), 1 + u8::from(self.big_endian), 1];
        let mut file = ident.to_vec();
        file.resize(16, 0);
        file.extend([self.u16(1), self.u16(self.machine), self.u32(1)].concat());
        file.extend([self.word(0), self.word(0), self.word(headers_off as u64), self.u32(0)].concat());
        let halves = [header_len, 0, 0, section_header_len as u16, count + 1, count];
        file.extend(halves.into_iter().flat_map(|half| self.u16(half)));
        file.extend(body);
        file.extend(headers);
        file
    }

    fn u16(&self, value: u16) -> Vec<u8> {
        if self.big_endian { value.to_be_bytes().into() } else { value.to_le_bytes().into() }
    }

    fn u32(&self, value: u32) -> Vec<u8> {
        if self.big_endian { value.to_be_bytes().into() } else { value.to_le_bytes().into() }
    }

    /// An address-sized field.
    fn word(&self, value: u64) -> Vec<u8> {
        match (self.is_64, self.big_endian) {
            (false, _) => self.u32(value as u32),
            (true, true) => value.to_be_bytes().into(),
            (true, false) => value.to_le_bytes().into(),
        }
    }
}

impl Section {
    fn new(name: &'static str, kind: u32, flags: u64, data: Vec<u8>) -> Self {
        Section { name, kind, flags, data, entry_len: 0 }
    }
}

/// The version that every fixture gives `symbol`: a CRC-32 of its name, so that modules agree on it.
pub fn crc(symbol: &str) -> u32 {
    !symbol.bytes().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

fn strings(list: &[String]) -> Vec<u8> {
    list.iter().flat_map(|text| text.bytes().chain([0])).collect()
}

fn push_str(table: &mut Vec<u8>, text: &str) -> u32 {
    let off = table.len() as u32;
    table.extend(text.bytes().chain([0]));
    off
}

#[test]
fn object_reads_what_is_built() {
    use object::{Object, ObjectSection, ObjectSymbol};
    for ko in [Ko::new("a-b"), Ko::new("a-b").elf32(), Ko::new("a-b").big_endian(), Ko::new("a-b").elf32().big_endian()]
    {
        let ko = ko.export("x").import("y").weak("z").alias("pci:*");
        let file = ko.build();
        let elf = object::File::parse(&*file).unwrap();
        assert!(elf.section_by_name(".modinfo").unwrap().data().unwrap().windows(13).any(|w| w == b"\0alias=pci:*\0"));
        let undefined: Vec<_> =
            elf.symbols().filter(|s| s.is_undefined()).map(|s| (s.name().unwrap(), s.is_weak())).collect();
        assert_eq!(undefined, [("y", false), ("z", true)]);
        let crc_symbol = elf.symbol_by_name("__crc_x").unwrap();
        assert_eq!(crc_symbol.address(), u64::from(crc("x")));
        assert_eq!(elf.section_by_name("__versions").unwrap().size(), 3 * 64);
        let ext = ko.clone().versions(Versions::Extended).signed(b"sig").build();
        assert!(ext.ends_with(SIGNATURE_MAGIC));
        let elf = object::File::parse(&*ext).unwrap();
        assert_eq!(elf.section_by_name("__version_ext_names").unwrap().data().unwrap(), b"module_layout\0y\0z\0");
        assert_eq!(elf.section_by_name("__version_ext_crcs").unwrap().size(), 12);
    }
    assert_eq!(crc("123456789"), 0xcbf4_3926);
}

#[test]
fn what_is_left_out_is_not_there() {
    use object::{Architecture, Object};
    let ko = Ko::new("a").export("x").depends("b,c").machine(183).versions(Versions::None).without_crcs();
    let file = ko.build();
    let elf = object::File::parse(&*file).unwrap();
    assert_eq!(elf.architecture(), Architecture::Aarch64);
    assert!(elf.section_by_name("__versions").is_none() && elf.symbol_by_name("__crc_x").is_none());
    assert!(file.windows(13).any(|window| window == b"\0depends=b,c\0"));
}
