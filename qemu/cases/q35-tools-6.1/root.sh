#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Modules in each compression that the loader knows, and each rule of modprobe.d, for the file `steps`.
. "$(dirname "$0")/../../lab.sh"
from=$3/$2 to=$1/$2/kernel
file_of() { find "$from" -name "$1.ko*" | head -n 1; }
plain() {
  local file
  file=$(file_of "$1")
  case $file in *.xz) xz -dc "$file" ;; *) cat "$file" ;; esac
}
mkdir -p "$to"
for module in bridge stp llc minix; do cp "$(file_of "$module")" "$to/"; done
plain loop >"$to/loop.ko"
plain dummy | gzip >"$to/dummy.ko.gz"
plain ifb >"$to/ifb.ko" && zstd -q --rm "$to/ifb.ko" -o "$to/ifb.ko.zst"
plain veth | xz --check=crc64 --lzma2=dict=8MiB >"$to/veth.ko.xz" # more than the kernel's own decoder takes
plain macvlan | xz --check=crc32 --lzma2=dict=1MiB >"$to/macvlan.ko.xz"
cat >"$1/etc/modprobe.d/lab.conf" <<'END'
alias lab-alias macvlan
blacklist macvlan
softdep dummy pre: ifb
install lab-virtual echo "$MODPROBE_MODULE $CMDLINE_OPTS" >/run/said
options loop max_loop=3
END
