#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A /bin/sh that reports the mounted root and the loader's peak of memory, and ends.
. "$(dirname "$0")/../../lab.sh"
mkdir -p "$1/bin"
cp "$("$lab/busybox" arm64)" "$1/bin/busybox"
cat >"$1/bin/sh" <<'END'
#!/bin/busybox sh
busybox dmesg -n 1
echo lab: the root has $(busybox ls -d /root/sbin)
echo lab: at most $(busybox grep VmHWM /proc/1/status)
END
chmod 755 "$1/bin/sh"
