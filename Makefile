# SPDX-License-Identifier: MIT OR Apache-2.0
# make             builds mkinitmod and the loader for every architecture into target/dist
# make install     installs it in PREFIX (/usr/local) under DESTDIR; LINKS="modprobe depmod" adds those commands
# make uninstall   removes what make install installed
# make dist        packs all of it, with licences and bill of materials, into target/initmod-VERSION.tar.gz
# make builds      builds and runs both programs as other build systems do: RUSTFLAGS, --release, gcc, static
# make run         installs what is missing, builds an image and boots it on an emulated Orange Pi PC to its real root
# make test        installs what is missing and runs all tests
# make check       quick checks before a commit: format, clippy, layers, documentation, loader sizes
# make bless       rewrites the expected results under tests/trees from kmod 34
# make oracle      compares with kmod 34 on stock module trees; builds every board file; selects for every device tree
# make size        prints the loader's size per architecture and feature set, beside its limit
# make reproduce   builds mkinitmod and the loaders in two directories and compares their bytes
# make bench       measures speed against kmod 34 on this machine
# make bench-boot  measures the boot against a bare loop of finit_module, kmod and busybox, in QEMU
# make soak        boots one case SOAK_COUNT (100) times on two CPUs
# make fuzz        runs each fuzz target for FUZZ_SECONDS (60)
# make miri        runs the core's tests under Miri, which finds undefined behaviour
# make doc         builds the man pages into target/dist/share/man
# make clean       deletes target/ and the fuzzers' build; downloads stay in the cache
# make help        prints this list
#
# SETUP=no: installs and downloads nothing, for packages. What is missing then fails. config/builds shows other builds.

CARGO  ?= cargo
DIST   ?= target/dist
ARCHES := x86_64 aarch64 armv7
CODECS := gz,xz,zst
FEATURES := boot,nfs,tools,modinfo
export CARGO PREFIX DESTDIR LINKS LINKS_ARCH DIST
ifeq ($(SETUP),no)
export CARGO_NET_OFFLINE := true
endif
FUZZ_SECONDS ?= 60
# Paths of this machine in messages of panics, replaced: config/loader tells why.
REMAP = [$(foreach flag,$(shell config/loader --remap),"$(flag)",)]
HOST_TRIPLE = $(shell rustc -vV | sed -n 's/^host: //p')

.DEFAULT_GOAL := all
SOAK_COUNT ?= 100

.PHONY: help doc clean install uninstall miri soak bench-boot all mkinitmod loaders run test check bless oracle size reproduce bench fuzz setup-build setup-doc setup-bench setup-qemu builds dist
.DELETE_ON_ERROR:

all: mkinitmod loaders

help:
	@sed -n 's/^# \(make.*\)/\1/p' $(firstword $(MAKEFILE_LIST))

clean:
	$(CARGO) clean
	rm -rf tests/fuzz/target

mkinitmod: setup-build
	@$(CARGO) fetch --locked --quiet
	@echo "cargo build --release --bin mkinitmod, with paths replaced (config/loader --remap)"
	@$(CARGO) build --release --bin mkinitmod --config 'target.$(HOST_TRIPLE).rustflags=$(REMAP)'
	@install -D target/release/mkinitmod $(DIST)/bin/mkinitmod
	@config/completions/install $(DIST)

loaders: $(ARCHES:%=loader-%)

# Features `host` and `device` can't be built together, so each has its own call of cargo.
loader-%: setup-build
	@$(CARGO) fetch --locked --quiet
	file=$$(config/loader $* $(CODECS),$(FEATURES)) && install -D "$$file" $(DIST)/lib/initmod/$*/initmod

doc: setup-doc
	config/man $(DIST)/share/man

setup-build:
	@[ "$(SETUP)" = no ] || config/setup build rust

setup-doc:
	@[ "$(SETUP)" = no ] || config/setup doc

setup-bench:
	@[ "$(SETUP)" = no ] || config/setup bench

setup-qemu:
	@[ "$(SETUP)" = no ] || config/setup build rust qemu

install:
	@config/install

uninstall:
	@config/install --remove

dist: all doc
	config/dist

builds: setup-build
	config/builds

run: setup-qemu all
	qemu/run --show orangepi-pc

test: setup-qemu all
	@config/part --begin
	@INITMOD_ORACLE="$$(qemu/oracle)" config/part 'unit and integration tests' $(CARGO) test --no-fail-fast
	@config/part 'unit tests of the loader' \
	  $(CARGO) test --lib --no-default-features --features device,$(CODECS),$(FEATURES) device::
	@INITMOD_UNMKINITRAMFS="$$(qemu/unmkinitramfs)" config/part 'images, read by unmkinitramfs' \
	  $(CARGO) test --test it readers -- --include-ignored
	@config/part 'loader sizes' config/size --enforce
	@for set in none tools $(CODECS),tools,modinfo; do \
	  INITMOD_LOADER=target/size/$$set/$$(config/loader --triple $(shell uname -m))/loader/initmod \
	    config/part "fixtures, loader with $$set" $(CARGO) test --test cases modprobe:: || exit 1; \
	done
	@config/part 'emulated boards' qemu/run -j 2 --all
	@config/part --end

check: setup-build
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	config/lint
	$(CARGO) test --quiet --test it layers::
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --quiet
	config/size --enforce

bless: setup-build all
	INITMOD_BLESS=1 INITMOD_ORACLE="$$(qemu/oracle)" $(CARGO) test --test cases

oracle: setup-build all
	INITMOD_ORACLE="$$(qemu/oracle)" $(CARGO) test --release --test it --test cases -- --include-ignored oracle

size: setup-build
	config/size

reproduce: setup-build
	config/reproduce

bench: setup-qemu setup-bench mkinitmod loader-x86_64
	$(CARGO) build --release --example own-time
	tests/bench/run
	$(CARGO) bench --bench parts

fuzz: setup-build
	@$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-fuzz
	for target in $$(ls tests/fuzz/fuzz_targets | sed 's/\.rs$$//'); do \
	  mkdir -p tests/fuzz/corpus/$$target; \
	  $(CARGO) +nightly fuzz run --fuzz-dir tests/fuzz $$target tests/fuzz/corpus/$$target \
	    $$(ls -d tests/fuzz/regress/$$target 2>/dev/null) -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 || exit 1; \
	done

# Miri interprets Rust alone, a hundred times slower: it leaves out the host, and what others pack for tests of zstd.
miri:
	@rustup component list --toolchain nightly 2>/dev/null | grep -q '^miri.*(installed)' || \
	  rustup component add miri rust-src --toolchain nightly || \
	  { echo "make miri: this nightly has no Miri; \`rustup toolchain install nightly -c miri -c rust-src\` finds one that has" >&2; exit 1; }
	$(CARGO) +nightly miri test --lib -- --skip host:: --skip zstd::tests::by_zstd --skip ruzstd

soak: setup-qemu all
	qemu/soak root-uuid $(SOAK_COUNT)

bench-boot: setup-qemu all
	$(CARGO) rustc --release --example loop -- -C target-feature=+crt-static
	qemu/bench-boot
