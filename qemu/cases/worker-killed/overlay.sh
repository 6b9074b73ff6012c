#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A command in the place of dummy that kills the process that loads it.
. "$(dirname "$0")/../../lab.sh"
mkdir -p "$1/bin" "$1/etc/modprobe.d"
cp "$("$lab/busybox" arm64)" "$1/bin/busybox"
ln -s busybox "$1/bin/sh"
cat >"$1/etc/modprobe.d/kill.conf" <<'END'
install dummy kill -9 $PPID
END
