# `dmatool record` on the stock kernel, with two of its drivers: complete traces, and nothing of the
# tracing settings changed, also when it is killed half way.
set -u
. /tests/lib.sh
T=/sys/kernel/tracing

settings() {
  for file in tracing_on current_tracer trace_clock buffer_size_kb set_event set_ftrace_pid \
    events/enable events/dma/enable events/dma/filter events/iommu/enable \
    events/swiotlb/swiotlb_bounced/filter options/stacktrace; do
    echo "$file $(cat $T/$file 2>&1 | tr '\n' ' ')"
  done
  ls $T/instances
}

# complete NAME: the trace of a whole life, without findings.
complete() {
  dmatool check --complete --limits "/tmp/$1/facts.txt" "/tmp/$1/trace.txt" > /tmp/out 2>&1
  status=$?
  check "$1: check calls it clean" test $status = 0
  [ $status = 0 ] || head -n 40 /tmp/out
  check "$1: nothing was lost" sh -c "! grep -q LOST /tmp/$1/trace.txt"
  check "$1: it has the driver's maps" sh -c \
    "grep -q ': dma_map_' /tmp/$1/trace.txt && grep -q ': dma_unmap_' /tmp/$1/trace.txt"
  # Drivers also free what they never had, which the kernel notes with a size of 0.
  check "$1: all that is allocated is freed" sh -c \
    "test \$(grep -c ': dma_alloc: ' /tmp/$1/trace.txt) = \$(grep ': dma_free: ' /tmp/$1/trace.txt | grep -vc ' size=0 ')"
  check "$1: all that is mapped is unmapped" sh -c \
    "test \$(grep -c ': dma_map_' /tmp/$1/trace.txt) = \$(grep -c ': dma_unmap_' /tmp/$1/trace.txt)"
  echo "count: $1: $(grep -c ': dma_' "/tmp/$1/trace.txt") events"
}

insmod /modules/nvme.ko
insmod /modules/e1000.ko
sleep 1
settings > /tmp/before

check "record nvme" dmatool record --driver nvme --rebind -o /tmp/nvme -- sh -c '
  n=0; while [ ! -e /dev/nvme0n1 ] && [ $n -lt 100 ]; do usleep 20000; n=$((n + 1)); done
  dd if=/dev/nvme0n1 of=/dev/null bs=64k count=50 2> /dev/null &&
    dd if=/dev/urandom of=/dev/nvme0n1 bs=4k count=20 conv=fsync 2> /dev/null'
complete nvme
settings > /tmp/after
check "nvme: settings as before" cmp /tmp/before /tmp/after

check "record e1000" dmatool record --device "$NIC" --rebind -o /tmp/e1000 -- sh -c "
  sleep 0.3
  name=\$(ls /sys/bus/pci/devices/$NIC/net)
  ip addr add 10.0.2.15/24 dev \$name && ip link set \$name up
  sleep 2.5
  ping -c 5 -i 0.1 -W 1 10.0.2.2 > /tmp/ping; ip link set \$name down"
complete e1000
settings > /tmp/after
check "e1000: settings as before" cmp /tmp/before /tmp/after

# Not INT: a shell that is no terminal's starts what it puts into the background with it ignored.
for signal in TERM HUP KILL; do
  dmatool record --driver nvme --rebind -o /tmp/killed -- sleep 20 > /tmp/out 2>&1 &
  program=$!
  sleep 1
  kill -$signal $program
  tries=0
  while kill -0 $program 2>/dev/null && [ $tries -lt 100 ]; do usleep 100000; tries=$((tries + 1)); done
  check "$signal: it ends" test $tries -lt 100
  wait $program 2>/dev/null
  # What SIGKILL left is tidied up by a process of its own.
  tries=0
  while [ -n "$(ls $T/instances)" ] && [ $tries -lt 50 ]; do usleep 100000; tries=$((tries + 1)); done
  settings > /tmp/after
  check "$signal: settings as before" cmp /tmp/before /tmp/after
  check "$signal: the driver has its disk" test -e "/sys/bus/pci/devices/$NVME/driver"
done

# Where tracefs was not mounted: it is taken down again, also when the whole group is killed, and
# at the next recording when what tidies up was killed too.
umount $T
start_unmounted() {
  setsid dmatool record --driver nvme -o /tmp/killed -- sleep 20 > /tmp/out 2>&1 &
  tries=0
  while [ -z "$(ls $T/instances 2>/dev/null)" ] && [ $tries -lt 50 ]; do usleep 100000; tries=$((tries + 1)); done
  sleep 1
  left=$(ls $T/instances)
  program=${left#dmatool.}
  program=${program%.mounted}
}
start_unmounted
kill -9 -"$program"
tries=0
while [ -d $T/instances ] && [ $tries -lt 80 ]; do usleep 100000; tries=$((tries + 1)); done
check "group killed: tracefs is unmounted" test ! -d $T/instances
start_unmounted
watch=$(grep -l dmatool-watch /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3)
check "there is one that tidies up" test -n "$watch"
kill -9 $watch
kill -9 -"$program"
sleep 1
check "both killed: something is left" test -d "$T/instances/$left"
check "the next recording" sh -c "dmatool record -o /tmp/next -- true 2> /tmp/out"
contains "says what it removed" /tmp/out "removed what recording $program left"
check "and takes down tracefs too" test ! -d $T/instances
finish
