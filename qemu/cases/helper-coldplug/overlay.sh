#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# An /init in shell whose first step is coldplug.
. "$(dirname "$0")/../../lab.sh"
shell_init "$1" <<'END'
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
END
