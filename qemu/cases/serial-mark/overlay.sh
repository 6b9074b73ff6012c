#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A file that marks two modules as serial.
. "$(dirname "$0")/../../lab.sh"
mkdir -p "$1/etc/initmod"
printf '%s\n' '# of the lab' jbd2 virtio-blk >"$1/etc/initmod/serial.conf"
