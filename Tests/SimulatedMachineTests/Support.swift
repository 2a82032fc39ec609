import DMA
import DMAMapping
import Glibc
import PCI
import SimulatedMachine

/// The seed of this run: from SWIFT_DMA_SEED, or a fresh one.
let runSeed: UInt64 = {
  if let text = unsafe getenv("SWIFT_DMA_SEED"), let seed = UInt64(unsafe String(cString: text)) {
    return seed
  }
  return UInt64.random(in: 0...UInt64.max)
}()

/// A generator for tests: prints its seed once a test uses it.
struct TestRandom: RandomNumberGenerator {
  private var state: UInt64

  init(_ test: StaticString) {
    state = runSeed
    print("\(test): SWIFT_DMA_SEED=\(runSeed)")
  }

  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (state >> 32 | state << 32) ^ state >> 29
  }
}

/// A machine with an `edu`, as a driver finds it.
struct EduMachine {
  let machine: SimulatedMachine
  let device: PCIDevice
  let registers: RegisterWindow

  init(
    _ configuration: SimulatedMachine.Configuration = .init(), _ edu: Edu.Configuration = .init()
  ) throws {
    machine = try SimulatedMachine(configuration)
    try machine.attach(Edu(edu))
    guard let address = machine.pci.find(vendorID: 0x1234, deviceID: 0x11e8) else {
      throw PCIError.noDevice(PCIAddress(bus: 0, device: 0))
    }
    device = try PCIDevice(
      host: machine.pci, address: address, mapping: DirectMapping.make(for: machine.platform))
    registers = try device.mapBAR(0)
  }

  /// Starts a transfer and waits for it; `toMemory` as seen from the device.
  func transfer(from: UInt64, to: UInt64, byteCount: Int, toMemory: Bool) throws {
    registers.write(from, at: 0x80)
    registers.write(to, at: 0x88)
    registers.write(UInt64(byteCount), at: 0x90)
    registers.write((toMemory ? 3 : 1) as UInt64, at: 0x98)
    try machine.platform.wait(nanoseconds: 1_000_000_000) {
      registers.read(UInt64.self, at: 0x98) & 1 == 0
    }
  }
}
