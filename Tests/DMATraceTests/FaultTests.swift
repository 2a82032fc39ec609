import DMA
import Testing

@testable import DMATrace

struct FaultTests {
  @Test(
    .enabled(if: SharedTraces.isPresent, "../shared/traces is absent"),
    arguments: ["stock", "dmadebug"])
  func `a device that writes after the unmap is tied to the mapping released last`(
    _ kernel: String
  ) throws {
    let root = try #require(SharedTraces.root) + "/bugs/dev_after_unmap/vtd.\(kernel)"
    let log = try SharedTraces.text(root + ".dmesg")
    let (reports, context) = try FaultExplanation.explain(log: log, trace: root + ".txt")
    let report = try #require(reports.first)
    #expect(reports.count == 1)
    #expect(report.fault.device == "0000:00:01.0")
    #expect(report.fault.isWrite == true)
    #expect(report.live == nil)
    let released = try #require(report.released)
    // The misuse maps 1024 bytes from the device; the background work reuses the address later.
    #expect(released.mapping.byteCount == 1024)
    #expect(released.mapping.direction == 2)
    #expect(released.mapping.dmaAddress == report.fault.address)
    let text = FaultExplanation.text(reports, context: context, redact: false)
    #expect(text.contains("1024 bytes FROM_DEVICE"))
  }

  @Test func `AMD-Vi lines of old and new kernels are read`() {
    let faults = FaultLine.all(
      in: """
        [    5.100000] AMD-Vi: Event logged [IO_PAGE_FAULT device=01:00.0 domain=0x000e \
        address=0x00000000fffc1000 flags=0x0020]
        [    6.200000] nvme 0000:02:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0011 \
        address=0xfee00000 flags=0x0050]
        """)
    #expect(faults.map(\.device) == ["0000:01:00.0", "0000:02:00.0"])
    #expect(faults.map(\.address) == [0xfffc_1000, 0xfee0_0000])
    #expect(faults.map(\.isWrite) == [true, false])
    #expect(faults[0].time == 5_100_000_000)
    #expect(faults[1].reason.contains("permission missing"))
  }

  @Test func `SMMU lines are read`() {
    let faults = FaultLine.all(
      in: """
        arm-smmu 5000000.iommu: Unhandled context fault: fsr=0x402, iova=0x7fff5000, fsynr=0x11, \
        cbfrsynra=0x404, cb=3
        arm-smmu-v3 9050000.smmuv3: event: F_TRANSLATION client: 0000:00:02.0 sid: 0x10 ssid: 0x0 \
        iova: 0xffffe000 ipa: 0x0
        """)
    #expect(faults.map(\.address) == [0x7fff_5000, 0xffff_e000])
    #expect(faults[0].device == "stream 0x404")
    #expect(faults[0].isWrite == true)
    #expect(faults[1].device == "0000:00:02.0")
  }
}
