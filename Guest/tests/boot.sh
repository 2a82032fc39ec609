# Whether the guest has what the other tests need.
set -u
. /tests/lib.sh
check "the kernel has VFIO" test -e /dev/vfio/vfio
if [ "$GUEST_IOMMU" = none ]; then
  check "no IOMMU groups" [ ! -e /sys/bus/pci/devices/$EDU/iommu_group ]
else
  check "edu has an IOMMU group" test -e /sys/bus/pci/devices/$EDU/iommu_group
  bind_vfio "$EDU"
  check "edu has a group file" test -e "/dev/vfio/$(group "$EDU")"
fi
finish
