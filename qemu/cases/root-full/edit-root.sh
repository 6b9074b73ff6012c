#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# No /run, and files until the file system has no inode left.
. "$(dirname "$0")/../../lab.sh"
rmdir "$1/run"
# Ten inodes are the file system's own, one is lost+found.
for ((count = $(find "$1" -mindepth 1 | wc -l) + 11; count < 64; count++)); do : >"$1/filler-$count"; done
