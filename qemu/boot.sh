# SPDX-License-Identifier: MIT OR Apache-2.0
# qemu/boot.sh: boots a case in QEMU, reads the console and judges what it shows; sourced.
#
# Two limits end a boot that does not reach its end. Neither counts the time in which QEMU waits for a CPU: on a busy machine a
# limit of wall time would fail good cases.
#
#   cpu_limit_s   CPU time of QEMU, all threads: ends a guest that is busy for ever. Several times what the slowest case takes, as
#                 a CPU that others share counts more time for the same work
#   idle_limit_s  time in which QEMU wants no CPU, in all: ends a guest that waits for ever. Guests wait by the wall clock, as
#                 with rootwait=15; no case waits for as long as 30 s.
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
  [ "$fs" != btrfs-two ] ||
    qemu+=(-drive "if=none,id=second,format=raw,file=$fs_image.2,snapshot=on" -device "virtio-blk-pci,drive=second")
}

# Lays the root out in a directory, serves it, and adds nfsroot= to the kernel command line.
serve_root() {
  local port served=$work/root${nfs_dir:-$nfs_path}
  mkdir -p "$(dirname "$served")"
  part mkroot "$lab/mkroot" "$arch" "${served%/}" nfs
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
    -append "console=$console panic=-1 root=${root:-$device} ${lab_root:+lab.root=$lab_root }lab.expect=${expected%,}${cpus:+ maxcpus=$cpus} ${append[*]}")
}

idle_limit_s=120
ticks_per_s=$(getconf CLK_TCK)

# Brings cpu_ms and idle_ms up to now. Idle time is wall time less three: QEMU's CPU time, the time that its threads waited for
# a CPU (schedstat), and the time that a hypervisor took from the CPUs of this machine (steal).
measure() {
  local stat steal task wait_ns now_ms cpu_now_ms waited_now_ms=0 waited idle
  { read -r stat <"/proc/$qemu_pid/stat"; } 2>/dev/null || return 0
  read -ra stat <<<"${stat##*) }" # from the third field on: behind the name, which may hold blanks
  cpu_now_ms=$(((stat[11] + stat[12]) * 1000 / ticks_per_s))
  for task in "/proc/$qemu_pid/task"/*/schedstat; do
    { read -r _ wait_ns _ <"$task"; } 2>/dev/null || continue
    waited_now_ms=$((waited_now_ms + wait_ns / 1000000))
  done
  read -r _ _ _ _ _ _ _ _ steal _ </proc/stat
  waited_now_ms=$((waited_now_ms + steal * 1000 / ticks_per_s))
  now_ms=$((${EPOCHREALTIME/[.,]/} / 1000))
  waited=$((waited_now_ms > waited_ms ? waited_now_ms - waited_ms : 0)) # less than before where a thread has ended
  idle=$((now_ms - measured_ms - (cpu_now_ms - cpu_ms) - waited))
  [ "$idle" -le 0 ] || idle_ms=$((idle_ms + idle))
  measured_ms=$now_ms cpu_ms=$cpu_now_ms waited_ms=$waited_now_ms
}

# Boots, and reads the console until the real root's init has ended, the kernel panics, QEMU ends, or a limit is reached.
boot() {
  local line='' part status last='' panic='' panic_end=0 measured_s=$SECONDS
  log=$work/console.log
  exec 3< <(exec "${qemu[@]}" </dev/null 2>&1)
  qemu_pid=$!
  measured_ms=$((${EPOCHREALTIME/[.,]/} / 1000)) cpu_ms=0 waited_ms=0 idle_ms=0
  measure # sets the baseline: steal until now does not count
  while :; do
    status=0
    IFS= read -r -t 1 part <&3 || status=$?
    line+=$part # a second may end in the middle of a line
    if [ "$status" = 0 ] || [[ $status = 1 && -n $line ]]; then
      line=${line%$'\r'}
      echo "$line" >>"$log"
      [ -z "$show" ] || echo "$line"
      [[ -z $until || ! $line =~ $until ]] || return 0
      case $line in
        *'initmod-lab: end') [ -z "$until" ] || fail "the real root was reached, and was not to be"; return ;;
        # The kernel writes more behind it.
        *'Kernel panic'*) panic=${panic:-Kernel panic${line#*Kernel panic}} panic_end=$((SECONDS + 2)) ;;
      esac
      [ -z "${line// /}" ] || last=$line
      line=''
    fi
    [ "$status" != 1 ] || break
    [ -z "$panic" ] || [ "$SECONDS" -lt "$panic_end" ] || break
    [ "$SECONDS" != "$measured_s" ] || continue
    measured_s=$SECONDS
    measure
    [ "$cpu_ms" -lt $((cpu_limit_s * 1000)) ] ||
      fail "used $cpu_limit_s s of CPU without reaching the end; last line: ${last:-none}"
    [ "$idle_ms" -lt $((idle_limit_s * 1000)) ] ||
      fail "idle for $idle_limit_s s in all without reaching the end; last line: ${last:-none}"
  done
  [ -z "$panic" ] || fail "$panic"
  status=0
  wait "$qemu_pid" || status=$?
  qemu_pid=''
  [ "$status" -le 128 ] || status+=" (SIG$(kill -l "$status"))"
  fail "QEMU ended with status $status; last line: ${last:-none}"
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
