#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# An initramfs as Debian lays it out: /usr merged, busybox as every tool, a hard link of it as modprobe, an /init in shell.
. "$(dirname "$0")/../../lab.sh"
mkdir -p "$1"/usr/{bin,sbin,lib} "$1"/{dev,proc,sys,root}
ln -s usr/bin "$1/bin"; ln -s usr/sbin "$1/sbin"; ln -s usr/lib "$1/lib"
cp "$("$lab/busybox" amd64)" "$1/usr/bin/busybox"
for tool in sh mount cat readlink switch_root; do ln -s busybox "$1/usr/bin/$tool"; done
ln "$1/usr/bin/busybox" "$1/usr/sbin/modprobe" # another name of the same file: nothing may be written through it
cat >"$1/init" <<'END'
#!/bin/sh
export PATH=/usr/sbin:/usr/bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
busybox dmesg -n 1
echo "base: modprobe is $(readlink /sbin/modprobe)"
busybox true && echo "base: busybox is whole"
modprobe -a $(cat /etc/modules-load.d/initmod.conf)
mount -t ext4 -o ro "$(initmod wait /dev/vda --timeout 20000)" /root
for dir in dev proc sys; do mount --move /$dir /root/$dir; done
exec switch_root /root /sbin/init </root/dev/console >/root/dev/console 2>&1
END
chmod 755 "$1/init"
