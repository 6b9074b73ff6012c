# SPDX-License-Identifier: MIT OR Apache-2.0
# qemu/case.sh: describes the files and keys of a case, and loads it; sourced.
#
# A case is a directory qemu/cases/NAME. Its file case.toml holds the keys below, of which kernel and board are needed; the
# machine it boots on is a file in qemu/machines. qemu/toml.sh reads both and refuses what is not listed here. Beside them:
#
#   board.toml     the board file for mkinitmod; where it is missing, qemu/boards/BOARD.toml or config/boards/BOARD.toml
#   base.sh        hook: lays files into an initramfs with an /init of its own, which mkinitmod appends its image to
#   overlay.sh     hook: lays files that the kernel unpacks over the image's
#   root.sh        hook: lays files into a root of the case's own, which has the loader as its module tools
#   edit-root.sh   hook: changes the files of the shared root, for a root of the case's own
#   steps          shell commands that qemu/init runs in the root that root.sh is for
#
# A machine with -icount has a clock that counts instructions: no load of the host makes a module slow there. It wants one CPU.
#
# A hook is a program: HOOK DIR TREE KERNEL. It works on the files in DIR; TREE is the path of the module tree in there,
# lib/modules/KVER; KERNEL is the directory of the kernel (see qemu/kernel) that the tree is of. edit-root.sh gets DIR alone.
# shellcheck shell=bash disable=SC2034,SC2154 # variables of read_toml and qemu/run

# Key, type, meaning.
case_keys='
kernel          string   the kernel that boots, a name of qemu/kernel
board           string   the machine in qemu/machines, and where the board file is sought
modules         string   the kernel whose module tree the image is built from, where it is not the one that boots
image           strings  more arguments of mkinitmod build, which runs in the directory of the case
loader          string   the loader with this set of features, of config/size.budget, in the place of the full one
family          strings  boards of config/boards that one image is built for, in the place of a board file
root_on         string   no board file: the image is built from the device tree, for a root on this
fs              string   file system of the root, of those of qemu/mkroot (default ext4); for an image of root_on also --fs
on              string   another disk than the machine has: see root_disk in qemu/boot.sh
table           string   the root is the first partition of a disk with this table: mbr or gpt (see qemu/mkdisk)
mke2fs_options  strings  more arguments of mke2fs, for the root of edit-root.sh
nfs_server      string   the server in nfsroot=, for a guest that uses no DHCP
nfs_path        string   the path in nfsroot= (default /)
nfs_dir         string   the directory that nfs_path leads to, where that has another name
root            string   root= of the kernel command line (default: the name of the disk)
lab_root        string   /dev/NAME that / has to be mounted from, where root= is not a name
append          strings  more words of the kernel command line
options         strings  more arguments of QEMU
expect          strings  modules that have to be loaded in the end
want            strings  regular expressions: each has to match a line on the console
until           string   regular expression: the case ends well at the line that matches, short of the real root
tags            strings  names that qemu/run --tag selects by
cpu_limit_s     integer  seconds of CPU time that QEMU may use (default 400: see qemu/boot.sh)
'
machine_keys='
arch            string   architecture: amd64, arm64 or armhf
machine         strings  QEMU and the arguments that make the machine
dtb             string   the device tree, of the kernel package; a machine without makes its own
console         string   console= of the kernel command line
cpus            integer  CPUs that the kernel uses, of those that the machine has (default: all)
disk            string   the disk that the root is on, as for the key on
'

load_case() {
  local key file
  case_dir=$lab/cases/$1
  [ -f "$case_dir/case.toml" ] || die "no case $1 (see qemu/run --list)"
  read_toml "$case_dir/case.toml" "$case_keys"
  for key in kernel board; do [ -n "${!key:-}" ] || die "qemu/cases/$1/case.toml: no $key"; done
  [ -f "$lab/machines/$board.toml" ] || die "qemu/cases/$1/case.toml: board: no qemu/machines/$board.toml"
  read_toml "$lab/machines/$board.toml" "$machine_keys"
  for key in arch machine console disk; do [ -n "${!key:-}" ] || die "qemu/machines/$board.toml: no $key"; done
  for file in "$case_dir"/*.sh; do
    case ${file##*/} in
      '*.sh' | base.sh | overlay.sh | root.sh | edit-root.sh) ;;
      *) die "qemu/cases/$1/${file##*/}: not a hook (base.sh, overlay.sh, root.sh, edit-root.sh)" ;;
    esac
  done
  for board_file in "$case_dir/board.toml" "$lab/boards/$board.toml" "$top/config/boards/$board.toml"; do
    [ ! -f "$board_file" ] || break
  done
  case $arch in
    amd64) loader_arch=x86_64 ;;
    arm64) loader_arch=aarch64 ;;
    armhf) loader_arch=armv7 ;;
    *) die "qemu/machines/$board.toml: arch: not one of amd64, arm64, armhf: $arch" ;;
  esac
  fs=${fs:-ext4} disk=${on:-$disk} nfs_path=${nfs_path:-/} cpu_limit_s=${cpu_limit_s:-400}
  fs_image=$out/root-$arch-$fs.img root_image=$out/root-$arch-$fs${table:+-$table}.img
}

has_hook() { [ -f "$case_dir/$1.sh" ]; }
