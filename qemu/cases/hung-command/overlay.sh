#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A command in the place of a module that does not end.
. "$(dirname "$0")/../../lab.sh"
mkdir -p "$1/bin" "$1/etc/modprobe.d"
cp "$("$lab/busybox" arm64)" "$1/bin/busybox"
ln -s busybox "$1/bin/sh"
echo 'install failover while :; do busybox sleep 1; done' >"$1/etc/modprobe.d/hung.conf"
