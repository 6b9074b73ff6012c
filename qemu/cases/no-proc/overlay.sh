#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# A file in the place of the mount point. The kernel removes the empty directory for it.
echo "no directory" >"$1/proc"
