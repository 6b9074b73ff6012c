#!/usr/bin/env bash
# No /run.
. "$(dirname "$0")/../../lab.sh"
rmdir "$1/run"
