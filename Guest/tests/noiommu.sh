# A host without an IOMMU: UIO with locked huge pages, and what the command says of it.
set -u
. /tests/lib.sh
insmod /modules/uio_pci_generic.ko
bind_driver "$EDU" uio_pci_generic
check "UIO" GuestTests noiommu "$EDU"
echo vfio-pci > "/sys/bus/pci/devices/$EDU/driver_override"
check "no group" GuestTests limit "$EDU" nogroup

# The command as root and as an ordinary user.
mkdir -p /etc
echo 'root:x:0:0::/root:/bin/sh' > /etc/passwd
echo 'user:x:1000:1000::/tmp:/bin/sh' >> /etc/passwd
for user in root user; do
  su "$user" -c "dmatool doctor $EDU" > /tmp/doctor 2>&1
  check "doctor as $user ends with 0" test $? = 0
  contains "doctor as $user: the IOMMU" /tmp/doctor "blocked  IOMMU"
  contains "doctor as $user: what helps" /tmp/doctor "fix:  turn VT-d or AMD-Vi on"
  contains "doctor as $user: the device" /tmp/doctor "blocked  $EDU driver"
  su "$user" -c "dmatool doctor --strict" > /dev/null 2>&1
  check "doctor --strict as $user ends with 1" test $? = 1
  su "$user" -c "dmatool devices" > /tmp/devices 2>&1
  check "devices as $user ends with 0" test $? = 0
  contains "devices as $user: class" /tmp/devices "$NVME  1b36:0010  NVMe controller"
  contains "devices as $user: driver and group" /tmp/devices "driver uio_pci_generic, no IOMMU group, mask"
  contains "devices as $user: BARs" /tmp/devices "BAR 0  1M memory"
done
cat /tmp/doctor
finish
