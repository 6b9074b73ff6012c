// SPDX-License-Identifier: MIT OR Apache-2.0
//! The output of `modprobe -c`: the directives by kind, then the alias and symbol indexes.
//!
//! The lines are those of kmod, which prints no blank before `post:` either. Source: kmod, tools/modprobe.c,
//! `show_config`, and libkmod-config.c.

use super::cmdline;
use super::config::{Config, Directive, Side, softdep_words};
use super::index::Index;
use super::name::{Alias, normalize};
use super::resolve::{Failure, IndexFile, Indexes};
use crate::bytes::{split, words};

/// Callback that prints a template, in which each `%` stands for the next of the arguments.
pub type Put<'a> = dyn FnMut(&'static str, &[&[u8]]) + 'a;

/// The directives in the order of the output.
const VERBS: [&[u8]; 7] = [b"blacklist", b"install", b"remove", b"alias", b"options", b"softdep", b"weakdep"];

/// Prints the directives of all files, and the blacklists and options of the command line.
pub fn config(config: &Config<'_>, put: &mut Put<'_>) {
    for (at, verb) in VERBS.iter().enumerate() {
        for directive in config.directives() {
            let (kind, name, rest) = match directive {
                Directive::Blacklist(name) => (0, name, &[][..]),
                Directive::Install(name, rest) => (1, name, rest),
                Directive::Remove(name, rest) => (2, name, rest),
                Directive::Alias(name, rest) => (3, name, rest),
                Directive::Options(name, rest) => (4, name, rest),
                Directive::Softdep(name, rest) => (5, name, rest),
                Directive::Weakdep(name, rest) => (6, name, rest),
            };
            if kind != at {
                continue;
            }
            put("% ", &[verb]);
            normal(name, put);
            if kind > 0 {
                put(" ", &[]);
            }
            match directive {
                Directive::Alias(..) => normal(rest, put),
                Directive::Softdep(..) => softdep(rest, put),
                Directive::Options(..) => {
                    rest.iter().for_each(|&byte| put("%", &[&[if byte == b'\t' { b' ' } else { byte }]]));
                }
                Directive::Weakdep(..) => {
                    let mut before: &[u8] = b"";
                    for word in words(rest) {
                        put("%%", &[before, word]);
                        before = b" ";
                    }
                }
                _ => put("%", &[rest]),
            }
            put("\n", &[]);
        }
        match at {
            0 => blacklist(config.cmdline, put),
            4 => options(config.cmdline, put),
            _ => {}
        }
    }
}

fn blacklist(cmdline: &[u8], put: &mut Put<'_>) {
    for param in cmdline::params(cmdline).filter(|param| param.key == BLACKLIST) {
        for name in split(param.value.unwrap_or_default(), b',') {
            put("blacklist %\n", &[name]);
        }
    }
}

fn options(cmdline: &[u8], put: &mut Put<'_>) {
    for (module, param) in cmdline::options(cmdline).filter(|(module, param)| !is_blacklist(module, param)) {
        put("options ", &[]);
        normal(module, put);
        put(" %%%%%", &param.parts());
        put("\n", &[]);
    }
}

fn is_blacklist(module: &[u8], param: &cmdline::Param<'_>) -> bool {
    module == b"modprobe" && param.key == b"blacklist"
}

fn softdep(text: &[u8], put: &mut Put<'_>) {
    for (side, title) in [(Side::Pre, &b"pre:"[..]), (Side::Post, b"post:")] {
        let mut before = title;
        for (_, word) in softdep_words(text).filter(|(on, _)| *on == side) {
            put("% %", &[before, word]);
            before = b"";
        }
    }
}

fn normal(name: &[u8], put: &mut Put<'_>) {
    let mut normal = Alias::new();
    put("%", &[normalize(name, &mut normal).map_or(name, |()| &normal)]);
}

const BLACKLIST: &[u8] = b"modprobe.blacklist";

/// Prints the alias and symbol indexes.
///
/// # Errors
/// [`Failure::Index`] for a damaged index.
pub fn indexes(indexes: &Indexes<'_>, put: &mut Put<'_>) -> Result<(), Failure> {
    let [_, alias, symbols, ..] = &indexes.0;
    let mut dump = |index: &Index<'_>, file| {
        let mut each = |key: &[u8], value: super::index::Value<'_>| put("alias % %\n", &[key, value.text]);
        index.walk(&mut each).map_err(|fault| Failure::Index(file, fault))
    };
    dump(alias, IndexFile::Alias)?;
    dump(symbols, IndexFile::Symbols)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_place_and_names_are_normal() {
        let text =
            b"softdep s-d post: c-d pre: a  b\nweakdep w  x\ty\noptions o-p  a=1\tb\nalias q-[a-b]-c d-e extra\n\
            remove r-m  cmd x\ninstall i-n cmd\nblacklist b-l\nsoftdep x gcm\nbogus\n";
        let config = Config::new(text, b"quiet mod-b.x=\"y z\" mod.f modprobe.blacklist=k-l,m");
        let mut out = Vec::new();
        super::config(&config, &mut |template, args| {
            let mut args = args.iter();
            let parts =
                template.bytes().map(|byte| if byte == b'%' { args.next().unwrap().to_vec() } else { vec![byte] });
            out.extend(parts.flatten());
        });
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "blacklist b_l\nblacklist k-l\nblacklist m\ninstall i_n cmd\nremove r_m  cmd x\nalias q_[a-b]_c d_e\n\
             options o_p  a=1 b\noptions mod_b x=\"y z\"\noptions mod f\nsoftdep s_d pre: a bpost: c-d\nsoftdep x \n\
             weakdep w x y\n"
        );
    }
}
