# The VFIO machine: isolation, agreement with the kernel's trace, interrupts, memory, both drivers.
set -u
. /tests/lib.sh

bind_vfio "$EDU"
insmod /modules/nvme.ko
bind_vfio "$NVME"
dmesg -c > /dev/null

check "isolation" GuestTests isolation "$EDU" /tmp/mappings.txt
sleep 1
dmesg > /tmp/faults.txt
if [ "$GUEST_IOMMU" = intel ]; then
  # The kernel limits such lines: the first of them counts.
  dmatool fault --dmesg /tmp/faults.txt /tmp/mappings.txt > /tmp/explained.txt
  check "the kernel's log has faults" test $? = 1
  cat /tmp/explained.txt
  contains "fault names the device" /tmp/explained.txt "$EDU: write of 0x[0-9a-f]* refused"
  contains "fault names a mapping" /tmp/explained.txt "GuestTests"
fi

check "the kernel's trace agrees" GuestTests agreement "$EDU"
check "interrupts" GuestTests interrupts "$EDU"
check "coherent memory" GuestTests coherent "$EDU"
check "memory" GuestTests memory "$EDU"
check "life" GuestTests life "$EDU"

head -c 10000 /dev/urandom > /tmp/small
check "edu by MSI" sh -c "dmatool edu copy /tmp/small --machine vfio:$EDU --interrupt > /tmp/out 2>&1"
contains "edu by MSI: the bytes" /tmp/out "10000 bytes through the device and back: identical"
check "edu, arena" sh -c "dmatool edu copy /tmp/small --machine vfio:$EDU --mapping arena > /tmp/out 2>&1"
contains "edu, arena: what is exposed" /tmp/out "R4: a device reaches memory after its unmap"

check "the host's disk read" sh -c "dmatool nvme read /tmp/read --machine vfio:$NVME --size 4M > /tmp/out 2>&1"
echo "hash: read $(sha256sum < /tmp/read | cut -d' ' -f1)"
head -c 16777000 /dev/urandom > /tmp/big
for settings in "--mapping percall --interrupt" "--mapping arena" "--mapping percall"; do
  check "nvme copy $settings" sh -c "dmatool nvme copy /tmp/big --machine vfio:$NVME $settings > /tmp/out 2>&1"
  contains "nvme copy $settings: the bytes" /tmp/out "16777000 bytes onto the disk, read back: identical"
done
echo "hash: written 16777000 $(sha256sum < /tmp/big | cut -d' ' -f1)"

check "doctor finds nothing in the way" sh -c "dmatool doctor --strict $EDU $NVME > /tmp/doctor 2>&1"
contains "doctor: the group" /tmp/doctor "ok       $EDU group"
contains "doctor: trace events" /tmp/doctor "ok       trace events"
dmatool devices > /tmp/devices 2>&1
contains "devices: driver and group" /tmp/devices "driver vfio-pci, group $(group "$EDU"), mask"

check "no page is pinned any more" test "$(pinned)" = 0
finish
