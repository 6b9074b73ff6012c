#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# No /run.
. "$(dirname "$0")/../../lab.sh"
rmdir "$1/run"
