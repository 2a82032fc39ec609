public import PCI

extension HostCheckup {
  /// What stands between this process and one device.
  public func checks(of address: PCIAddress) -> [HostCheck] {
    guard let record = facts.functions.first(where: { $0.address == address }) else {
      return [
        HostCheck(
          "\(address)", .blocked, "no such PCI function", "one of this host", "dmatool devices")
      ]
    }
    return [driver(record), group(record), permission(record), masks(record)]
  }

  private func driver(_ record: PCIFunctionRecord) -> HostCheck {
    let topic = "\(record.address) driver"
    guard record.driver != "vfio-pci" else { return HostCheck(topic, ok: "vfio-pci") }
    return HostCheck(
      topic, .blocked, record.driver ?? "none", "vfio-pci",
      VFIOError.bindCommand(record.address, record.driver, "vfio-pci"))
  }

  /// Which functions of a group keep it from being used.
  func blockers(of group: Int) -> [PCIFunctionRecord] {
    facts.functions.filter { record in
      record.group == group && !record.isBridge
        && record.driver.map { !["vfio-pci", "pci-stub"].contains($0) } ?? false
    }
  }

  private func group(_ record: PCIFunctionRecord) -> HostCheck {
    let topic = "\(record.address) group"
    guard let group = record.group else {
      return HostCheck(
        topic, facts.iommuNames.isEmpty || record.driver != nil ? .blocked : .unknown, "none",
        "an IOMMU group", "see IOMMU above")
    }
    let others = facts.functions.filter { $0.group == group && $0.address != record.address }
    let blockers = self.blockers(of: group).filter { $0.address != record.address }
    guard blockers.isEmpty else {
      let names = blockers.map { "\($0.address) (\($0.driver ?? ""))" }
      return HostCheck(
        topic, .blocked, "group \(group), blocked by " + names.joined(separator: ", "),
        "all of the group with vfio-pci or without a driver",
        blockers.map { "echo \($0.address) > /sys/bus/pci/devices/\($0.address)/driver/unbind" }
          .joined(separator: "; "))
    }
    return HostCheck(
      topic,
      ok: "group \(group)" + (others.isEmpty ? ", alone" : ", with \(others.count) others"))
  }

  private func permission(_ record: PCIFunctionRecord) -> HostCheck {
    let topic = "\(record.address) permission"
    guard let group = record.group, record.driver == "vfio-pci" else {
      return HostCheck(
        topic, .unknown, "no group file yet", "driver vfio-pci and an IOMMU group",
        "see driver and group above")
    }
    guard facts.usableGroups.contains(group) else {
      return HostCheck(
        topic, .blocked, "/dev/vfio/\(group) is not for this user", "reading and writing it",
        "sudo chown $USER /dev/vfio/\(group)")
    }
    return HostCheck(topic, ok: "/dev/vfio/\(group) is usable")
  }

  private func masks(_ record: PCIFunctionRecord) -> HostCheck {
    let topic = "\(record.address) masks"
    guard let bits = record.maskBitCount, let coherent = record.consistentMaskBitCount else {
      return HostCheck(topic, .unknown, "not told", "Linux 5.3 or newer", "use a newer kernel")
    }
    // The kernel's default until a driver asks for more (R15).
    return HostCheck(
      topic, ok: "\(bits) bits, consistent \(coherent) bits, as last set by a kernel driver")
  }
}
