#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A damaged dummy, and a command in the place of stp that lists the modules' files left.
. "$(dirname "$0")/../../lab.sh"
mkdir -p "$1/bin" "$1/etc/modprobe.d" "$1/$2/kernel/drivers/net"
cp "$("$lab/busybox" arm64)" "$1/bin/busybox"
ln -s busybox "$1/bin/sh"
echo nonsense >"$1/$2/kernel/drivers/net/dummy.ko.gz"
cat >"$1/etc/modprobe.d/left.conf" <<'END'
install stp echo lab: left $(busybox find /lib/modules -name '*.ko*' | while read -r file; do echo "${file##*/}"; done | busybox sort) >/dev/kmsg; busybox sleep 0.2
END
