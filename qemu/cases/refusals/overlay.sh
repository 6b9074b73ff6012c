#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# dummy of another kernel.
. "$(dirname "$0")/../../lab.sh"
from=$("$lab/kernel" bookworm-arm64)
mkdir -p "$1/$2/kernel/drivers/net"
xz --check=crc32 --lzma2=dict=1MiB -c "$(find "$from/lib" -name dummy.ko)" >"$1/$2/kernel/drivers/net/dummy.ko.xz"
