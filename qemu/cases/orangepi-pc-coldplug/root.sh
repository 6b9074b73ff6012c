#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Two lists for the file `steps`: /etc/named has the modules of the whole-board set from the device tree; /etc/listed has what
# orangepi-pc-whole.toml adds.
. "$(dirname "$0")/../../lab.sh"
select=("$mkinitmod" select --json --modules "$3/$2" --dtbs "$3/dtb" --scope board)
names() { sed -n 's/^ *"module": "\(.*\)",$/\1/p'; }
"${select[@]}" --root mmc --fs ext4 --dtb "$3/dtb/sun8i-h3-orangepi-pc.dtb" | names >"$1/etc/named"
"${select[@]}" --board "$top/config/boards/orangepi-pc-whole.toml" | names | grep -vxFf "$1/etc/named" >"$1/etc/listed"
