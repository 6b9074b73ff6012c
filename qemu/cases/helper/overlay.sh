#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# An /init in shell that calls the loader as its helper, and a damaged dummy.
. "$(dirname "$0")/../../lab.sh"
mkdir -p "$1/$2/kernel/drivers/net"
echo nonsense >"$1/$2/kernel/drivers/net/dummy.ko.xz"
shell_init "$1" <<'END'
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
END
