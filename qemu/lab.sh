# SPDX-License-Identifier: MIT OR Apache-2.0
# qemu/lab.sh: what the lab's scripts share; sourced, with the working directory anywhere.
#
#   $lab     the directory of the lab     $top    the repository
#   $cache   what is fetched once and kept between clones: kernels, busybox, kmod
#   $mkinitmod   the mkinitmod to build with
# shellcheck shell=bash disable=SC2034
set -euo pipefail
lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(dirname "$lab")
cache=${INITMOD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/initmod}
mkinitmod=${MKINITMOD:-$top/target/dist/bin/mkinitmod}
[[ $cache == /* ]] || cache=$PWD/$cache
[[ $mkinitmod == /* ]] || mkinitmod=$PWD/$mkinitmod
PATH=$PATH:/usr/sbin:/sbin

die() { echo "qemu/${0##*/}: $*" >&2; exit 1; }

# Prints the comment at the head of the script that runs, and exits as for a wrong call.
usage() { sed -n '3,/^[^#]/{/^# shellcheck/!s/^# \{0,1\}//p}' "$0" >&2; exit 2; }

# once DIR COMMAND... makes sure that DIR exists: COMMAND is given a new directory to fill, which becomes DIR when it
# succeeds. Half a DIR is never seen, and of two that want it at once one waits for the other.
once() {
  local dir=$1 new=$1.new; shift
  [ ! -d "$dir" ] || return 0
  mkdir -p "${dir%/*}"
  exec 9>"$dir.lock"
  flock 9
  if [ ! -d "$dir" ]; then
    rm -rf "$new"; mkdir "$new"
    "$@" "$new"
    mv "$new" "$dir"
  fi
  exec 9>&-
}
