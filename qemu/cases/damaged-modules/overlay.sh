#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# dummy cut short, ifb with a byte changed, llc a dangling link; all are named for loading, and a name that no module has.
. "$(dirname "$0")/../../lab.sh"
from=$3/$2/kernel
mkdir -p "$1/$2/kernel/drivers/net" "$1/$2/kernel/net/llc" "$1/etc/modules-load.d"
head -c 2000 "$from/drivers/net/dummy.ko.xz" >"$1/$2/kernel/drivers/net/dummy.ko.xz"
{ head -c 3000 "$from/drivers/net/ifb.ko.xz"; printf '\001'; tail -c +3002 "$from/drivers/net/ifb.ko.xz"; } \
  >"$1/$2/kernel/drivers/net/ifb.ko.xz"
ln -s nowhere "$1/$2/kernel/net/llc/llc.ko.xz"
printf '%s\n' dummy ifb stp nosuch >"$1/etc/modules-load.d/damaged.conf"
