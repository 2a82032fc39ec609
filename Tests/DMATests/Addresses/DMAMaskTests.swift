import DMA
import Testing

@Suite struct DMAMaskTests {
  @Test func `R17 a mask is the low address bits of the device`() {
    #expect(DMAMask(bitCount: 24).rawValue == 0x00ff_ffff)
    #expect(DMAMask(bitCount: 28).rawValue == 0x0fff_ffff)
    #expect(DMAMask(bitCount: 30).rawValue == 0x3fff_ffff)
    #expect(DMAMask(bitCount: 31).rawValue == 0x7fff_ffff)
    #expect(DMAMask(bitCount: 32).rawValue == 0xffff_ffff)
    #expect(DMAMask(bitCount: 64).rawValue == .max)
    #expect(DMAMask(bitCount: 1).rawValue == 1)
  }

  @Test(arguments: 1...64) func `a mask gives its bit count back`(bitCount: Int) {
    #expect(DMAMask(bitCount: bitCount).bitCount == bitCount)
    #expect(DMAMask(rawValue: DMAMask(bitCount: bitCount).rawValue)?.bitCount == bitCount)
  }

  @Test func `zero and numbers with holes are not masks`() {
    #expect(DMAMask(rawValue: 0) == nil)
    #expect(DMAMask(rawValue: 0xff00_ffff) == nil)
    #expect(DMAMask(rawValue: 0xffff_fffe) == nil)
    #expect(DMAMask(rawValue: 2) == nil)
  }

  @Test func `a mask of no bits or more than 64 traps`() async {
    await #expect(processExitsWith: .failure) { _ = DMAMask(bitCount: 0) }
    await #expect(processExitsWith: .failure) { _ = DMAMask(bitCount: 65) }
  }
}

@Suite struct DMADirectionTests {
  @Test func `R72 the raw values are those of the document`() {
    #expect(DMADirection.bidirectional.rawValue == 0)
    #expect(DMADirection.toDevice.rawValue == 1)
    #expect(DMADirection.fromDevice.rawValue == 2)
  }

  @Test func `R74 directions are seen from main memory`() {
    #expect(DMADirection.toDevice.deviceReads && !DMADirection.toDevice.deviceWrites)
    #expect(!DMADirection.fromDevice.deviceReads && DMADirection.fromDevice.deviceWrites)
    #expect(ToDevice.value == .toDevice && FromDevice.value == .fromDevice)
  }

  @Test func `R75 bidirectional lets the device do both`() {
    #expect(DMADirection.bidirectional.deviceReads && DMADirection.bidirectional.deviceWrites)
    #expect(Bidirectional.value == .bidirectional)
  }

  @Test func `R80 the SCSI data direction converts for all four inputs`() {
    #expect(DMADirection(scsiDataDirection: 0) == .bidirectional)
    #expect(DMADirection(scsiDataDirection: 1) == .toDevice)
    #expect(DMADirection(scsiDataDirection: 2) == .fromDevice)
    #expect(DMADirection(scsiDataDirection: 3) == nil)
    #expect(DMADirection(scsiDataDirection: -1) == nil)
    #expect(DMADirection(scsiDataDirection: 4) == nil)
  }
}

@Suite struct DMAAddressTests {
  @Test func `an address advances and never wraps`() async {
    #expect(DMAAddress(rawValue: 0x1000).advanced(by: 0x234).rawValue == 0x1234)
    await #expect(processExitsWith: .failure) { _ = DMAAddress(rawValue: .max).advanced(by: 1) }
    await #expect(processExitsWith: .failure) { _ = DMAAddress(rawValue: 16).advanced(by: -1) }
  }

  @Test func `addresses print as Linux prints them`() {
    #expect(DMAAddress(rawValue: 0xffff_a000).description == "0xffffa000")
    #expect(PhysicalAddress(rawValue: 0x1000).description == "phys 0x1000")
  }
}
