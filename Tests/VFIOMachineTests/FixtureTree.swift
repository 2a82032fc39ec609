import Glibc
@testable import VFIOMachine

/// A copy of some of a host's files in a folder of its own, removed at the end.
final class FixtureTree {
  let path: String
  var tree: SysfsTree { SysfsTree(root: path) }

  init() {
    var template = Array("/tmp/vfio-tree.XXXXXX".utf8CString)
    path = unsafe template.withUnsafeMutableBufferPointer { buffer in
      guard let start = buffer.baseAddress, unsafe mkdtemp(start) != nil else { return "" }
      return unsafe String(cString: start)
    }
    precondition(!path.isEmpty, "a temporary folder can be made")
  }

  deinit { Self.remove(path) }

  /// Only ever called with folders that this class made.
  private static func remove(_ path: String) {
    for name in SysfsTree(root: path).names("/") {
      let child = path + "/" + name
      var information = stat()
      unsafe lstat(child, &information)
      if information.st_mode & S_IFMT == S_IFDIR {
        remove(child)
      } else {
        unsafe unlink(child)
      }
    }
    unsafe rmdir(path)
  }

  private func makeFolder(of file: String) {
    var folder = path
    for part in file.split(separator: "/").dropLast() {
      folder += "/" + part
      unsafe mkdir(folder, 0o755)
    }
  }

  func write(_ file: String, _ text: String) {
    makeFolder(of: file)
    let descriptor = unsafe open(path + file, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    precondition(descriptor >= 0, "a file can be made in the temporary folder")
    var text = text + "\n"
    text.withUTF8 { bytes in _ = unsafe Glibc.write(descriptor, bytes.baseAddress, bytes.count) }
    close(descriptor)
  }

  func link(_ file: String, to target: String) {
    makeFolder(of: file)
    unsafe symlink(target, path + file)
  }

  /// A PCI function as sysfs shows it.
  func addFunction(
    _ address: String, vendor: String, device: String, classCode: String, driver: String? = nil,
    group: Int? = nil, mask: Int = 32, resource: String = ""
  ) {
    let folder = "/sys/bus/pci/devices/" + address
    write(folder + "/vendor", vendor)
    write(folder + "/device", device)
    write(folder + "/class", classCode)
    write(folder + "/dma_mask_bits", "\(mask)")
    write(folder + "/consistent_dma_mask_bits", "\(mask)")
    write(folder + "/resource", resource)
    if let driver {
      write("/sys/bus/pci/drivers/\(driver)/new_id", "")
      link(folder + "/driver", to: "../../../bus/pci/drivers/" + driver)
    }
    if let group {
      link(folder + "/iommu_group", to: "../../../kernel/iommu_groups/\(group)")
      link(
        "/sys/kernel/iommu_groups/\(group)/devices/\(address)",
        to: "../../../../devices/x/\(address)")
    }
  }

  /// A host on which everything is ready, with an NVMe disk in group 7.
  static func ready() -> FixtureTree {
    let tree = FixtureTree()
    tree.write("/proc/sys/kernel/osrelease", "6.12.117+deb12-amd64")
    tree.write("/proc/cmdline", "quiet intel_iommu=on")
    tree.write("/sys/class/iommu/dmar0/address", "0")
    tree.write("/dev/vfio/vfio", "")
    tree.write("/dev/vfio/7", "")
    tree.write("/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "65535")
    tree.write("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N")
    tree.write("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "64")
    tree.write("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "64")
    tree.write(
      "/boot/config-6.12.117+deb12-amd64",
      "# a comment\nCONFIG_VFIO_PCI=m\nCONFIG_VFIO_IOMMU_TYPE1=m\nCONFIG_VFIO_GROUP=y")
    tree.write("/sys/kernel/tracing/events/dma/enable", "0")
    tree.addFunction(
      "0000:00:09.0", vendor: "0x1b36", device: "0x0010", classCode: "0x010802",
      driver: "vfio-pci", group: 7, mask: 64,
      resource: """
        0x00000000febf0000 0x00000000febf3fff 0x0000000000140204
        0x0000000000000000 0x0000000000000000 0x0000000000000000
        0x000000000000c000 0x000000000000c03f 0x0000000000040101
        """)
    return tree
  }
}
