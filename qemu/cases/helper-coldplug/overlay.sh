#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# An /init in shell whose first step is coldplug.
. "$(dirname "$0")/../../lab.sh"
mkdir -p "$1/bin" "$1/sbin"
cp "$top/target/dist/lib/initmod/aarch64/initmod" "$1/bin/initmod"
cp "$("$lab/busybox" arm64)" "$1/bin/busybox"
for tool in sh mount switch_root; do ln -s busybox "$1/bin/$tool"; done
ln -s /bin/initmod "$1/sbin/modprobe"
cat >"$1/init" <<'END_OF_INIT'
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
busybox dmesg -n 1
initmod coldplug; echo "base: coldplug $?"
[ ! -b /dev/vda ] || echo "base: /dev/vda is there"
missing=0
for name in virtio_pci virtio_blk virtio_rng; do
  [ -d "/sys/module/$name" ] || missing=$((missing + 1))
done
echo "base: $missing modules of devices are missing"
initmod load ext4
initmod explain
mount -o ro /dev/vda /root
for place in dev proc sys run; do mount --move /$place /root/$place; done
exec switch_root /root /sbin/init </dev/console >/dev/console 2>&1
END_OF_INIT
chmod 755 "$1/init"
