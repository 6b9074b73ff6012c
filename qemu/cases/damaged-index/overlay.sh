#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# The first bytes of an alias index.
. "$(dirname "$0")/../../lab.sh"
printf '\260\007\364\127\000\002\000\001\040\000\000\014\000\177' >"$1/$2/modules.alias.bin"
