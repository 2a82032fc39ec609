internal import CVFIO
internal import Glibc
internal import PCI

/// An IOMMU group: the smallest set of functions that can be kept apart from others.
@safe
final class VFIOGroup: Sendable {
  let number: Int
  let descriptor: Int32

  /// Opens a group and puts it into a container.
  ///
  /// - Throws: `VFIOError.noPermission`, `.deviceInUse`, `.groupNotViable`, `.system`.
  init(
    _ number: Int, for address: PCIAddress, into container: VFIOContainer, _ tree: SysfsTree
  ) throws(VFIOError) {
    let path = "/dev/vfio/\(number)"
    let opened = unsafe vfio_host_group_open(path)
    switch -opened {
    case _ where opened >= 0: break
    case EACCES, EPERM: throw .noPermission(path: path)
    case EBUSY: throw .deviceInUse(address, group: number)
    case ENOENT:
      throw .wrongDriver(
        address, driver: tree.link("/sys/bus/pci/devices/\(address)/driver"), needed: "vfio-pci")
    default: throw .system(call: "open \(path)", code: Int(-opened))
    }
    do throws(VFIOError) {
      let flags = vfio_host_group_flags(opened)
      guard flags >= 0 else {
        throw .system(call: "VFIO_GROUP_GET_STATUS", code: Int(-flags))
      }
      guard flags & 1 != 0 else {
        throw .groupNotViable(group: number, blockers: Self.blockers(number, tree))
      }
      let joined = vfio_host_group_join(opened, container.descriptor)
      guard joined >= 0 else {
        throw -joined == EBUSY
          ? .deviceInUse(address, group: number)
          : .system(call: "VFIO_GROUP_SET_CONTAINER", code: Int(-joined))
      }
    } catch {
      close(opened)
      throw error
    }
    self.number = number
    descriptor = opened
  }

  deinit { close(descriptor) }

  /// Gives the group back; the descriptor stays, so that a late call meets nothing.
  func retire() { vfio_host_retire(descriptor) }

  /// Functions of a group that keep it from being used: address and driver.
  static func blockers(_ number: Int, _ tree: SysfsTree) -> [String] {
    tree.names("/sys/kernel/iommu_groups/\(number)/devices").compactMap { name in
      guard let driver = tree.link("/sys/bus/pci/devices/\(name)/driver"),
        // What the kernel itself lets pass (drivers/vfio/vfio_main.c, vfio_dev_driver_allowed).
        !["vfio-pci", "pci-stub", "pcieport", "shpchp"].contains(driver)
      else { return nil }
      return "\(name) (\(driver))"
    }
  }
}
