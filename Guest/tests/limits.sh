# Limits of the host, each provoked: typed errors with have, need and fix.
set -u
. /tests/lib.sh

if [ "$GUEST_IOMMU" = none ]; then
  echo vfio-pci > /sys/bus/pci/devices/$EDU/driver_override
  check "no IOMMU" GuestTests limit "$EDU" nogroup
  finish
fi
check "wrong driver" sh -c "! dmatool edu copy /init --machine vfio:$EDU 2> /tmp/out"
contains "wrong driver: what helps" /tmp/out "fix:  echo vfio-pci > /sys/bus/pci/devices/$EDU/driver_override"
bind_vfio "$EDU"
check "limits" GuestTests limits "$EDU"

insmod /modules/e1000.ko
bind_vfio 0000:00:10.0
check "group not viable" GuestTests limit 0000:00:10.0 group
echo 0000:00:10.1 > /sys/bus/pci/drivers/e1000/unbind
check "group viable again" GuestTests isolation 0000:00:10.0

mv /dev/vfio/vfio /dev/vfio/hidden
check "no /dev/vfio" GuestTests limit "$EDU" novfio
mv /dev/vfio/hidden /dev/vfio/vfio

check "permission" GuestTests limit "$EDU" permission
chown 1000 "/dev/vfio/$(group "$EDU")"
chmod 666 /dev/vfio/vfio
ulimit -l 8192
check "memlock" GuestTests limit "$EDU" memlock
ulimit -l unlimited
check "entries" GuestTests limit "$EDU" entries

if [ "$GUEST_IOMMU" = virtio ]; then
  # The module was told that this is accepted: take it back.
  echo N > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
  check "interrupts are not remapped" GuestTests limit "$EDU" interrupts
  echo Y > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
fi
finish
