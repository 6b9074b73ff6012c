# SPDX-License-Identifier: MIT OR Apache-2.0
# qemu/build.sh: builds the image of a case, and its root where a hook makes one; sourced.
#
# Each part of a build writes to target/qemu/CASE/PART.log. A part that fails ends the case: the verdict names the part, its
# exit status, and the first line of its log that begins with `error`, or else the last line.
# shellcheck shell=bash disable=SC2034,SC2154 # variables of qemu/run and qemu/case.sh

# part NAME COMMAND...
part() {
  log=$work/$1.log
  if [ -n "$show" ]; then
    "${@:2}" 2>&1 | tee "$log"
  else
    "${@:2}" >"$log" 2>&1
  fi || fail "build: $1: exit status $?: $(grep -m 1 '^error' "$log" || tail -n 1 "$log")"
}
hook() { part "$1.sh" "$case_dir/$1.sh" "${@:2}"; }

# Makes what cases share: kernels and roots. Done first, so that no case's seconds include it.
prepare() {
  local from
  for from in "$kernel" ${modules:+"$modules"}; do
    "$lab/kernel" "$from" >/dev/null || die "qemu/cases/$name/case.toml: without the kernel $from"
  done
  if [ ! "$fs_image" -nt "$lab/init" ] || [ ! "$fs_image" -nt "$lab/mkroot" ]; then
    "$lab/mkroot" "$arch" "$fs_image" "$fs"
  fi
  if [ -n "$table" ] && [ ! "$root_image" -nt "$fs_image" ]; then
    "$lab/mkdisk" "$table" "$fs_image" "$root_image"
  fi
}

build_image() {
  local from tree blob what
  from=$("$lab/kernel" "${modules:-$kernel}") tree=lib/modules/$(cat "$from/kver")
  if [ -n "$root_on" ]; then
    blob=$from/dtb/$dtb
    [ -n "$dtb" ] || { machine_dtb && blob=$work/machine.dtb; }
    what=(--dtb "$blob" --root "$root_on" --fs "${fs%-two}")
  elif [ ${#family[@]} != 0 ]; then
    what=("${family[@]/#/--board=$top/config/boards/}") what=("${what[@]/%/.toml}" --dtbs "$from/dtb")
  else
    what=(--board "$board_file" --dtbs "$from/dtb")
  fi
  if [ -n "$loader" ]; then
    loader=$(echo "$top/target/size/$loader/$loader_arch"-*/loader/initmod)
    [ -f "$loader" ] || fail "build: no loader ${loader#"$top/"}: make size builds it"
    what+=(--loader "$loader")
  fi
  if has_hook base; then
    mkdir -p "$work/base"
    hook base "$work/base" "$tree" "$from"
    (cd "$work/base" && find . | LC_ALL=C sort | cpio --quiet -o -H newc | gzip) >"$work/base.img"
    what+=(--append "$work/base.img")
  fi
  initrd=$work/initrd
  part mkinitmod env -C "$case_dir" "$mkinitmod" build "${what[@]}" --modules "$from/$tree" "${image[@]}" -o "$initrd"
  if has_hook overlay; then
    mkdir -p "$work/overlay/$tree"
    hook overlay "$work/overlay" "$tree" "$from"
    # A second archive behind the first: its files take the place of those of the same name. lz4 ends at 4 zeros, and an
    # archive begins at a multiple of 4 bytes.
    truncate -s $((($(stat -c %s "$initrd") + 7) / 4 * 4)) "$initrd"
    (cd "$work/overlay" && find . -mindepth 1 | cpio --quiet -o -H newc) >>"$initrd"
  fi
}

# Leaves the device tree that QEMU makes for the machine in machine.dtb. QEMU ends with the status of a failure either way.
machine_dtb() {
  "${machine[@]}" -machine "dumpdtb=$work/machine.dtb" -display none -nic none >"$work/dtb.log" 2>&1 || true
  [ -s "$work/machine.dtb" ] || { log=$work/dtb.log; fail "build: QEMU has not written the machine's device tree"; }
}

# Makes the root that the case has a hook for.
build_root() {
  local tree kver tool
  kver=$(cat "$kernel_dir/kver") tree=lib/modules/$kver
  if has_hook root; then
    mkdir -p "$work/root/$tree" "$work/root/sbin" "$work/root/etc/modprobe.d"
    install "$top/target/dist/lib/initmod/$loader_arch/initmod" "$work/root/sbin/initmod"
    for tool in modprobe insmod rmmod lsmod modinfo kmod; do ln -s initmod "$work/root/sbin/$tool"; done
    cp "$case_dir/steps" "$work/root/etc/initmod-lab-steps"
    hook root "$work/root" "$tree" "$kernel_dir"
    cp "$kernel_dir/$tree"/modules.{builtin,builtin.modinfo,order} "$work/root/$tree/"
    part depmod "$mkinitmod" depmod -b "$work/root" "$kver"
    root_image=$work/root.img
    part mkroot "$lab/mkroot" "$arch" "$root_image" ext4 "$work/root"
  elif has_hook edit-root; then
    root_image=$work/root.img
    part mkroot env MKE2FS_OPTIONS="${mke2fs_options[*]}" "$lab/mkroot" "$arch" "$root_image" ext4 '' "$case_dir/edit-root.sh"
  fi
}
