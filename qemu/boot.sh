# qemu/boot.sh: boots a case in QEMU, reads the console and judges what it shows; sourced.
# shellcheck shell=bash disable=SC2034,SC2154 # variables of qemu/run and qemu/case.sh

# Whether this QEMU has the case's machine: the word behind -M.
has_machine() {
  local word last=''
  for word in "${machine[@]}"; do
    [ "$last" != -M ] || break
    last=$word
  done
  "${machine[0]}" -M help | grep "^$word " >/dev/null
}

# Adds the root's disk to the command line of QEMU and sets device, the name that the kernel gives it.
root_disk() {
  local drive=format=raw,file=$root_image,snapshot=on
  case $disk in
    nfs) serve_root; qemu+=(-nic "user,model=virtio-net-pci") device=/dev/nfs ;;
    sd) qemu+=(-drive "if=sd,$drive") device=/dev/mmcblk0 ;;
    sd-bus1) qemu+=(-drive "if=sd,bus=1,$drive") device=/dev/mmcblk1 ;;
    sd-index2) qemu+=(-drive "if=sd,index=2,$drive") device=/dev/mmcblk0 ;;
    sd-last) qemu+=(-drive "if=none,id=root,$drive" -device "sd-card,drive=root") device=/dev/mmcblk1 ;;
    virtio-mmio) qemu+=(-drive "if=none,id=root,$drive" -device "virtio-blk-device,drive=root") device=/dev/vda ;;
    virtio-pci) qemu+=(-drive "if=none,id=root,$drive" -device "virtio-blk-pci,drive=root") device=/dev/vda ;;
    nvme) qemu+=(-drive "if=none,id=root,$drive" -device "nvme,drive=root,serial=lab") device=/dev/nvme0n1 ;;
    sata) qemu+=(-drive "if=none,id=root,$drive" -device "ide-hd,drive=root") device=/dev/sda ;;
    usb) qemu+=(-drive "if=none,id=root,$drive" -device "qemu-xhci,id=usb" -device "usb-hub,bus=usb.0,port=1"
      -device "usb-storage,bus=usb.0,port=1.2,drive=root") device=/dev/sda ;;
    *) fail "no such disk: $disk" ;;
  esac
}

# Lays the root out in a directory, serves it, and adds nfsroot= to the kernel command line.
serve_root() {
  local port served=$work/root${nfs_dir:-$nfs_path}
  mkdir -p "$(dirname "$served")"
  "$lab/mkroot" "$arch" "${served%/}" nfs
  exec 4< <(exec "$lab/nfsd" "$work/root")
  nfsd_pid=$!
  read -r port <&4
  append+=("nfsroot=${nfs_server:+$nfs_server:}$nfs_path,port=$port,mountport=$port")
}

# Sets qemu to the command that boots $initrd.
command_line() {
  local device='' expected
  qemu=("${machine[@]}" -display none -monitor none -serial stdio -no-reboot "${options[@]}")
  [ "$disk" = nfs ] || qemu+=(-nic none)
  root_disk
  [ -z "$dtb" ] || qemu+=(-dtb "$kernel_dir/dtb/$dtb")
  printf -v expected '%s,' "${expect[@]}"
  qemu+=(-kernel "$kernel_dir/vmlinuz" -initrd "$initrd"
    -append "console=$console panic=-1 root=${root:-$device} ${lab_root:+lab.root=$lab_root }lab.expect=${expected%,} ${append[*]}")
}

# Boots and reads the console until the real root's init has ended, a panic has been told, or time is up.
boot() {
  local line last='' panic='' deadline=$((SECONDS + timeout)) left
  log=$work/console.log
  exec 3< <(exec "${qemu[@]}" </dev/null 2>&1)
  qemu_pid=$!
  while left=$((deadline - SECONDS)); [ "$left" -gt 0 ] && IFS= read -r -t "$left" line <&3; do
    line=${line%$'\r'}
    echo "$line" >>"$log"
    [ -z "$show" ] || echo "$line"
    [[ -z $until || ! $line =~ $until ]] || return 0
    case $line in
      *'initmod-lab: end') [ -z "$until" ] || fail "the real root was reached, and was not to be"; return ;;
      *'Kernel panic'*) panic=${panic:-Kernel panic${line#*Kernel panic}} deadline=$((SECONDS + 2)) ;;
    esac
    [ -z "${line// /}" ] || last=$line
  done
  [ -z "$panic" ] || fail "$panic"
  [ "$left" -gt 0 ] || fail "not at the end after $timeout s; last line: $last"
  fail "QEMU ended early; last line: $last"
}

# Checks that each line that the case wants is on the console, and no check of qemu/init failed.
judge() {
  local line from_loader='initmod: '
  # An /init that is not ours calls modprobe, which prints nothing where all is well.
  ! has_hook base || from_loader='initmod-lab: '
  line=$(grep -o 'initmod-lab: check .* FAIL.*' "$log" | head -n 1) || true
  [ -z "$line" ] || fail "${line#initmod-lab: }"
  for line in "$from_loader" "${want[@]}"; do
    grep -qE -- "$line" "$log" || fail "no line on the console matches: $line"
  done
}

# Prints what --show adds, by the kernel's own stamps: from when it started /init until the real root's init began.
summary() {
  echo
  echo "image    $(stat -L -c %s "$initrd") bytes"
  sed -n 's/^.*initmod-lab: modules:/loaded  /p' "$log"
  awk -F '[][ ]+' '/Run \/init as init/ { start = $2 } /initmod-lab: init begins/ { end = $2 }
    END { if (start && end) printf "root     reached %.3f s after /init began\n", end - start }' "$log"
  sed -n 's/^\(\[[ 0-9.]*\] \)\{0,1\}\(initmod: \)/loader   \2/p' "$log"
  echo
}
