# A host without an IOMMU: UIO with locked huge pages, and what the command says of it.
set -u
. /tests/lib.sh
insmod /modules/uio_pci_generic.ko
bind_driver "$EDU" uio_pci_generic
check "UIO" GuestTests noiommu "$EDU"
echo vfio-pci > "/sys/bus/pci/devices/$EDU/driver_override"
check "no group" GuestTests limit "$EDU" nogroup
finish
