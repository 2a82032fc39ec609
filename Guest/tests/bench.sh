# Random reads of 4 KiB, 32 at once: the kernel's driver and ours, in turns, on the same disk.
# Settings: ROUNDS (default 9), COUNT reads of each (perCall: a tenth)
set -u
. /tests/lib.sh
ROUNDS=${ROUNDS:-9}
COUNT=${COUNT:-50000}
insmod /modules/nvme.ko
modes="kernel arena percall"
for mode in $modes; do : > /tmp/$mode; done

# ours MODE COUNT: what it says, when it ends well.
ours() {
  dmatool nvme bench --machine "vfio:$NVME" --mapping "$1" --count "$2" --format json \
    > /tmp/out 2>&1 && sed -E 's/.*"iops":([0-9]+).*/\1/' /tmp/out >> "/tmp/$1" || cat /tmp/out
}
round=0
while [ $round -lt "$ROUNDS" ]; do
  bind_driver "$NVME" nvme
  tries=0
  while [ ! -e /dev/nvme0n1 ] && [ $tries -lt 200 ]; do usleep 20000; tries=$((tries + 1)); done
  [ $round -gt 0 ] || echo "info: the kernel's driver: domain $(cat /sys/bus/pci/devices/$NVME/iommu_group/type)"
  aio-read /dev/nvme0n1 "$COUNT" 32 4096 >> /tmp/kernel
  bind_vfio "$NVME"
  ours arena "$COUNT"
  ours percall $((COUNT / 10))
  round=$((round + 1))
done
median() { sort -n "/tmp/$1" | sed -n "$(((ROUNDS + 1) / 2))p"; }
best() { sort -n "/tmp/$1" | tail -n 1; }
for mode in $modes; do
  echo "count: $mode: median $(median $mode), best $(best $mode) reads a second; $(tr '\n' ' ' < /tmp/$mode)"
done
check "$ROUNDS figures each" sh -c "test \$(cat /tmp/kernel /tmp/arena /tmp/percall | grep -cE '^[0-9]+$') = $((ROUNDS * 3))"
echo "count: arena is $(($(median arena) * 100 / $(median kernel)))% of the kernel's driver"
check "arena is at least 3 times the kernel's driver" test "$(median arena)" -ge "$((3 * $(median kernel)))"
finish
