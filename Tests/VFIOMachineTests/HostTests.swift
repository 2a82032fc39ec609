import PCI
import Testing
@testable import VFIOMachine

/// What the host says of itself, read from copies of its files.
@Suite struct HostTests {
  private let disk = PCIAddress(bus: 0, device: 9)

  @Test func `a function's record has ids, class, driver, group, masks and BARs`() throws {
    let fixture = FixtureTree.ready()
    let record = try #require(PCIFunctionRecord(disk, in: fixture.tree))
    #expect(record.vendorID == 0x1b36 && record.deviceID == 0x10)
    #expect(record.classCode == 0x01_0802 && record.className == "NVMe controller")
    #expect(record.driver == "vfio-pci" && record.group == 7)
    #expect(record.maskBitCount == 64 && record.consistentMaskBitCount == 64)
    try #require(record.bars.count == 2)
    #expect(record.bars[0].byteCount == 16384 && record.bars[0].isMemory)
    #expect(record.bars[1].index == 2 && record.bars[1].byteCount == 64 && !record.bars[1].isMemory)
    #expect(PCIFunctionRecord.all(in: fixture.tree).count == 1)
    #expect(PCIFunctionRecord(PCIAddress(bus: 0, device: 8), in: fixture.tree) == nil)
  }

  @Test(
    arguments: [
      ("0000:00:02.0", 0x10), ("00:1f.7", 0xff), ("0001:ab:00.1", 0x1ab01), ("00:20.0", nil),
      ("00:00.8", nil), ("00:00", nil), ("zz:00.0", nil), ("0:0:0:0.0", nil), ("", nil),
    ] as [(String, UInt32?)])
  func `addresses are read as Linux writes them`(text: String, packed: UInt32?) {
    #expect(PCIAddress(text)?.packed == packed)
    if let address = PCIAddress(text) { #expect(PCIAddress(address.description) == address) }
  }

  private func blocked(_ fixture: FixtureTree, _ devices: [PCIAddress] = []) -> [String] {
    HostCheckup(HostFacts(fixture.tree)).checks(devices: devices).filter {
      $0.state == .blocked
    }.map(\.topic)
  }

  @Test func `nothing stands in the way where everything is ready`() {
    let fixture = FixtureTree.ready()
    let checks = HostCheckup(HostFacts(fixture.tree)).checks(devices: [disk])
    #expect(blocked(fixture, [disk]).isEmpty)
    #expect(checks.first?.have == "dmar0, 1 groups")
    #expect(checks.contains { $0.topic == "mapping entries" && $0.have == "65535 at once" })
    #expect(checks.contains { $0.have == "/dev/vfio/7 is usable" })
  }

  @Test func `a host without anything is told what it lacks`() {
    let fixture = FixtureTree()
    #expect(blocked(fixture, [disk]) == ["IOMMU", "VFIO driver", "/dev/vfio/vfio", "0000:00:09.0"])
    for check in HostCheckup(HostFacts(fixture.tree)).checks(devices: [disk])
    where check.state != .ok {
      #expect(!check.have.isEmpty && !check.need.isEmpty && !check.fix.isEmpty, "\(check)")
    }
  }

  @Test func `a group is blocked by the sibling that a driver has, which is named`() throws {
    let fixture = FixtureTree.ready()
    fixture.addFunction(
      "0000:00:09.1", vendor: "0x8086", device: "0x100e", classCode: "0x020000", driver: "e1000",
      group: 7)
    fixture.addFunction(
      "0000:00:09.2", vendor: "0x8086", device: "0x1234", classCode: "0x060400",
      driver: "pcieport", group: 7)
    let check = try #require(
      HostCheckup(HostFacts(fixture.tree)).checks(of: disk).first { $0.state == .blocked })
    #expect(check.have == "group 7, blocked by 0000:00:09.1 (e1000)")
    #expect(check.fix == "echo 0000:00:09.1 > /sys/bus/pci/devices/0000:00:09.1/driver/unbind")
    #expect(VFIOGroup.blockers(7, fixture.tree) == ["0000:00:09.1 (e1000)"])
  }

  @Test func `a device of another driver is told how it changes hands`() throws {
    let fixture = FixtureTree.ready()
    fixture.addFunction(
      "0000:00:03.0", vendor: "0x8086", device: "0x100e", classCode: "0x020000", driver: "e1000")
    let checks = HostCheckup(HostFacts(fixture.tree)).checks(of: PCIAddress(bus: 0, device: 3))
    #expect(checks[0].state == .blocked && checks[0].have == "e1000")
    #expect(
      checks[0].fix == "echo 0000:00:03.0 > /sys/bus/pci/devices/0000:00:03.0/driver/unbind; "
        + "echo vfio-pci > /sys/bus/pci/devices/0000:00:03.0/driver_override; "
        + "echo 0000:00:03.0 > /sys/bus/pci/drivers_probe")
    #expect(checks[1].have == "none")
  }

  @Test func `an IOMMU that makes groups late is on, and the driver is what a device lacks`() throws
  {
    let fixture = FixtureTree()
    fixture.write("/sys/class/iommu/virtio0/address", "0")
    let card = PCIAddress(bus: 0, device: 3)
    fixture.addFunction(
      "0000:00:03.0", vendor: "0x8086", device: "0x100e", classCode: "0x020000")
    let checkup = HostCheckup(HostFacts(fixture.tree))
    #expect(checkup.iommu.state == .limited && checkup.iommu.have == "virtio0, 0 groups")
    #expect(checkup.checks(of: card).map(\.state) == [.blocked, .unknown, .unknown, .ok])
    #expect(throws: VFIOError.wrongDriver(card, driver: nil, needed: "vfio-pci")) {
      _ = try VFIOHost([card], .init(), fixture.tree)
    }
    // With a driver it would have its group, were it behind the IOMMU.
    fixture.addFunction(
      "0000:00:04.0", vendor: "0x8086", device: "0x100e", classCode: "0x020000", driver: "e1000")
    let outside = PCIAddress(bus: 0, device: 4)
    #expect(throws: VFIOError.noGroup(outside)) {
      _ = try VFIOHost([outside], .init(), fixture.tree)
    }
  }

  @Test func `limits below the usual ones are pointed out`() {
    let fixture = FixtureTree.ready()
    fixture.write("/sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "100")
    fixture.write("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y")
    fixture.write("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "3")
    fixture.write("/sys/kernel/security/lockdown", "none [integrity] confidentiality")
    fixture.write("/boot/config-6.12.117+deb12-amd64", "CONFIG_VFIO_IOMMU_TYPE1=m")
    var facts = HostFacts(fixture.tree)
    facts.isRoot = false
    facts.memoryLockLimit = 8 << 20
    let limited = HostCheckup(facts).checks().filter { $0.state == .limited }
    #expect(
      limited.map(\.topic)
        == ["interrupts", "mapping entries", "locked memory", "huge pages", "trace events"])
    #expect(limited[2].fix.hasPrefix("ulimit -l 65536"))
    #expect(HostCheckup(facts).kernelOptions.have == "no CONFIG_VFIO_PCI")
    facts.lockdown = nil
    facts.hasDMAEvents = false
    #expect(HostCheckup(facts).traceEvents.state == .blocked)
    facts.hasDMAEvents = nil
    #expect(HostCheckup(facts).traceEvents.fix == "sudo dmatool doctor")
  }
}
