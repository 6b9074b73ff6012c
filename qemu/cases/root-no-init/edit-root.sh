#!/usr/bin/env bash
# No init, and no shell in its place.
. "$(dirname "$0")/../../lab.sh"
rm "$1/sbin/init" "$1/bin/sh"
