import DMA
import PCI
import Testing
@testable import VFIOMachine

/// Limits that need no kernel: places for memory, and the words of errors.
@Suite struct LimitTests {
  /// What Intel's, AMD's and virtio's IOMMUs report under QEMU.
  static let plans = [
    AddressPlan(ranges: [0...0xfedf_ffff, 0xfef0_0000...1 << 39 - 1]),
    AddressPlan(ranges: [
      0...0xfedf_ffff, 0xfef0_0000...0xfc_ffff_ffff, 0x100_0000_0000...UInt64.max,
    ]),
    AddressPlan(ranges: [0...0xfedf_ffff, 0xfef0_0000...UInt64.max]),
  ]

  @Test(arguments: plans.indices)
  func `memory goes to the lowest place that is wholly usable`(index: Int) throws {
    let plan = Self.plans[index]
    #expect(try plan.place(byteCount: 4096, alignment: 4096, limit: .max) == 4096)
    #expect(try plan.place(byteCount: 64 << 20, alignment: 64 << 20, limit: .max) == 64 << 20)
    // Too long for what lies below the window of message interrupts.
    #expect(try plan.place(byteCount: 4 << 30, alignment: 1 << 30, limit: .max) == 4 << 30)
  }

  @Test func `an aperture that is too short is an error with both sizes`() {
    let error = #expect(throws: VFIOError.self) {
      try Self.plans[0].place(byteCount: 1 << 40, alignment: 1 << 30, limit: .max)
    }
    #expect(error == .aperture(have: (1 << 39) - 0xfef0_0000, need: 1 << 40))
  }

  @Test func `a mask that ends before the memory would is an error with both addresses`() {
    let error = #expect(throws: VFIOError.self) {
      try Self.plans[0].place(byteCount: 64 << 20, alignment: 64 << 20, limit: 0xff_ffff)
    }
    #expect(error == .mask(have: 0xff_ffff, need: 0x7ff_ffff))
  }

  @Test(arguments: [0xfee0_0000...0xfee0_0fff, 0xfedf_f000...0xfee0_0fff, 0...UInt64.max])
  func `addresses that the IOMMU keeps are an error that names the usable ones`(
    asked: ClosedRange<UInt64>
  ) throws {
    for plan in Self.plans {
      #expect(throws: VFIOError.reserved(asked: asked, usable: plan.ranges)) {
        try plan.require(asked)
      }
    }
    try Self.plans[2].require(0xfef0_0000...UInt64.max)
  }

  @Test func `what lies between ranges is never used`() {
    // Spelled with their type: two lists of different integers can be compared, and never are equal.
    let window: ClosedRange<UInt64> = 0xfee0_0000...0xfeef_ffff
    let above39: ClosedRange<UInt64> = 1 << 39...1 << 48 - 1
    let hole: ClosedRange<UInt64> = 0xfd_0000_0000...0xff_ffff_ffff
    #expect(Self.plans[0].gaps(last: 1 << 48 - 1) == [window, above39])
    #expect(Self.plans[1].gaps(last: 1 << 48 - 1) == [window, hole])
    #expect(Self.plans[2].gaps(last: 0xffff_ffff) == [window])
  }

  @Test func `every error says what there is, what is needed and what helps`() {
    let address = PCIAddress(bus: 0, device: 2)
    let errors: [VFIOError] = [
      .noVFIO(path: "/dev/vfio/vfio"), .noPermission(path: "/dev/vfio/7"), .noDevice(address),
      .noGroup(address), .wrongDriver(address, driver: "nvme", needed: "vfio-pci"),
      .groupNotViable(group: 7, blockers: ["0000:00:02.1 (e1000)"]),
      .deviceInUse(address, group: 7), .unsafeInterrupts, .memoryLock(have: 8, need: 9),
      .mappingEntries(have: 0, need: 1), .aperture(have: 1, need: 2), .mask(have: 1, need: 2),
      .reserved(asked: 0...1, usable: [2...3]), .noHugePages(have: 0, need: 32), .forked,
      .invalidConfiguration("no devices"), .system(call: "open", code: 5), .dma(.timedOut),
    ]
    for error in errors {
      let limit = error.limit
      #expect(!limit.have.isEmpty && !limit.need.isEmpty && !limit.fix.isEmpty, "\(error)")
      #expect(error.description.contains(limit.have) && error.description.contains(limit.fix))
    }
    #expect(
      errors[5].limit.fix == "echo 0000:00:02.1 > /sys/bus/pci/devices/0000:00:02.1/driver/unbind")
  }

  @Test func `configurations that cannot be are refused before anything is opened`() {
    var configuration = VFIOMachine.Configuration()
    let address = PCIAddress(bus: 0, device: 2)
    #expect(throws: VFIOError.self) { try configuration.validate([]) }
    #expect(throws: VFIOError.self) { try configuration.validate([address, address]) }
    configuration.memoryByteCount = 0
    #expect(throws: VFIOError.self) { try configuration.validate([address]) }
    configuration.memoryByteCount = 1
    #expect(throws: Never.self) { try configuration.validate([address]) }
    #expect(configuration.roundedByteCount == 2 << 20)
  }
}
