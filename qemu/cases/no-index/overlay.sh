#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A file that is not an index, in the place of modules.dep.bin.
. "$(dirname "$0")/../../lab.sh"
echo nonsense >"$1/$2/modules.dep.bin"
