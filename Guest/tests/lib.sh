# What test scripts share; they run in busybox's shell.
EDU=0000:00:08.0
NVME=0000:00:09.0
NIC=0000:00:0a.0
failures=0
checks=0

# check WORDS COMMAND...: the command must succeed.
check() {
  what=$1
  shift
  checks=$((checks + 1))
  if "$@"; then
    echo "ok: $what"
  else
    echo "FAIL: $what: $*"
    failures=$((failures + 1))
  fi
}

# contains WORDS FILE TEXT: the file has the text.
contains() {
  checks=$((checks + 1))
  if grep -q -- "$3" "$2"; then
    echo "ok: $1"
  else
    echo "FAIL: $1: no '$3' in:"
    head -n 40 "$2"
    failures=$((failures + 1))
  fi
}

# bind_vfio ADDRESS: gives a function to vfio-pci.
bind_vfio() { bind_driver "$1" vfio-pci; }

bind_driver() {
  device=/sys/bus/pci/devices/$1
  [ -e "$device/driver" ] && echo "$1" > "$device/driver/unbind"
  echo "$2" > "$device/driver_override"
  echo "$1" > /sys/bus/pci/drivers_probe
  [ "$(basename "$(readlink "$device/driver")")" = "$2" ]
}

group() { basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")"; }

# pinned: pages that devices hold in all.
pinned() { awk '$1=="nr_foll_pin_acquired"{a=$2} $1=="nr_foll_pin_released"{r=$2} END{print a-r}' /proc/vmstat; }

# faults: lines of the kernel's log about refused DMA.
faults() { dmesg | grep -cE 'DMAR: .*fault|AMD-Vi: .*IO_PAGE_FAULT|virtio.iommu.*fault'; }

finish() {
  echo "count: $checks checks, $failures failed"
  [ "$failures" = 0 ] && [ "$checks" -gt 0 ]
  exit $?
}
