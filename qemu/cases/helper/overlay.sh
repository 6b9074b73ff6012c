#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# An /init in shell that calls the loader as its helper, and a damaged dummy.
. "$(dirname "$0")/../../lab.sh"
mkdir -p "$1/bin" "$1/sbin" "$1/$2/kernel/drivers/net"
cp "$top/target/dist/lib/initmod/aarch64/initmod" "$1/bin/initmod"
cp "$("$lab/busybox" arm64)" "$1/bin/busybox"
for tool in sh mount switch_root; do ln -s busybox "$1/bin/$tool"; done
ln -s /bin/initmod "$1/sbin/modprobe"
echo nonsense >"$1/$2/kernel/drivers/net/dummy.ko.xz"
cat >"$1/init" <<'END'
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
busybox dmesg -n 1
initmod load nosuch stp; echo "lab: load unknown $?"
initmod load --frobnicate stp; echo "lab: load misuse $?"
initmod load dummy; echo "lab: load with a damaged one $?"
initmod wait /dev/nosuch --timeout 300; echo "lab: wait in vain $?"
initmod wait --timeout 5; echo "lab: wait misuse $?"
initmod load ext4; echo "lab: load $?"
initmod coldplug --settle 100; echo "lab: coldplug $?"
root=$(initmod wait UUID=1a0b1a0b-1a0b-4a0b-8a0b-1a0b1a0b1a0b --timeout 60000); echo "lab: wait $? $root"
initmod explain; echo "lab: explain $?"
mount -o ro "$root" /root
for place in dev proc sys run; do mount --move /$place /root/$place; done
exec switch_root /root /sbin/init </dev/console >/dev/console 2>&1
END
chmod 755 "$1/init"
