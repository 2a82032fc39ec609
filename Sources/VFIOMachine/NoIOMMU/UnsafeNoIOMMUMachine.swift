internal import CVFIO
public import DMA
internal import DMAMapping
internal import Glibc
internal import MachineHost
public import PCI

/// This host's PCI devices without an IOMMU: nothing keeps them from all memory of the host.
///
/// A driver's wrong address, or a device gone wrong, overwrites the kernel. For test machines only;
/// use `VFIOMachine` wherever there is an IOMMU. Needs root, the driver `uio_pci_generic`, and free
/// huge pages: memory is locked huge pages whose physical addresses `/proc/self/pagemap` tells,
/// registers and configuration space are sysfs files, and interrupts come by the device's wire.
public final class UnsafeNoIOMMUMachine {
  /// Memory and time; one piece of memory is at most a huge page, 2 MiB.
  public let platform: Platform
  /// The bus: only this machine's device is on it.
  public let pci: PCIHost
  /// What its device is made with: bus addresses are physical addresses.
  public let mapping: DMAMapping
  let host: NoIOMMUHost

  /// Opens a device.
  ///
  /// - Parameter memoryByteCount: rounded up to 2 MiB.
  /// - Throws: `VFIOError.noDevice`, `.wrongDriver`, `.noPermission`, `.noHugePages`,
  ///   `.memoryLock`, `.system`; nothing is left open.
  public init(unsafe address: PCIAddress, memoryByteCount: UInt64 = 8 << 20) throws(VFIOError) {
    host = try NoIOMMUHost(address, memoryByteCount, SysfsTree())
    let tables = MachineTables(attaching: host)
    platform = tables.makePlatform(
      lowestLimit: host.lastAddress(of: host.pages.regions.first),
      highestAddress: host.lastAddress(of: host.pages.regions.last))
    pci = tables.makePCI(platform)
    mapping = DirectMapping.make(for: platform)
  }

  deinit { close() }

  /// Ends the device: bus mastering off, registers gone.
  ///
  /// Idempotent. Memory stays locked until the last buffer is gone.
  public func close() { host.close() }
}
