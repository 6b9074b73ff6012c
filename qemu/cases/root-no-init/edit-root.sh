#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# No init, and no shell in its place.
. "$(dirname "$0")/../../lab.sh"
rm "$1/sbin/init" "$1/bin/sh"
