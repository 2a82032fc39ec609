import CTiming
import DMA
import DMAMapping
import SimulatedMachine

/// Makes a device that sees memory as it is.
func directDevice(_ machine: SimulatedMachine) -> DMADevice {
  DMADevice(
    name: "measured", platform: machine.platform,
    mapping: DirectMapping.make(for: machine.platform))
}

/// The numbers below `count`, shuffled as every peer shuffles them.
func shuffled(_ count: Int, seed: UInt64) -> UnsafeMutablePointer<UInt32> {
  let order = UnsafeMutablePointer<UInt32>.allocate(capacity: count)
  timing_shuffle(order, count, seed)
  return order
}
