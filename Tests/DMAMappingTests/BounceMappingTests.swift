import DMA
import DMAMapping
import SimulatedMachine
import TestSupport
import Testing

struct BounceMappingTests {
  @Test
  func `A pool gives its memory back when it ends`() throws {
    let machine = try SimulatedMachine()
    let before = machine.freeByteCount
    do {
      var options = BounceMapping.Options()
      options.slotCount = 4096
      let bounce = try BounceMapping(platform: machine.platform, options: options)
      #expect(machine.freeByteCount == before - 8 << 20)
      #expect(bounce.statistics.totalSlots == 4096)
    }
    #expect(machine.freeByteCount == before)
  }
}
