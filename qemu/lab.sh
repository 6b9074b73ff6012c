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

# shell_init DIR: lays into DIR the loader, a busybox, and an /init in shell: it mounts the kernel's file systems, does what
# stands on stdin, which has to mount the root on /root, and starts the root's init. For arm64.
shell_init() {
  local tool
  mkdir -p "$1/bin" "$1/sbin"
  cp "$top/target/dist/lib/initmod/aarch64/initmod" "$1/bin/initmod"
  cp "$("$lab/busybox" arm64)" "$1/bin/busybox"
  for tool in sh mount switch_root; do ln -s busybox "$1/bin/$tool"; done
  ln -s /bin/initmod "$1/sbin/modprobe"
  {
    cat <<'END'
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
busybox dmesg -n 1
END
    cat
    cat <<'END'
for place in dev proc sys run; do mount --move /$place /root/$place; done
exec switch_root /root /sbin/init </dev/console >/dev/console 2>&1
END
  } >"$1/init"
  chmod 755 "$1/init"
}
