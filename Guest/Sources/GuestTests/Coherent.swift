import DMA
import Drivers
import PCI
import VFIOMachine

/// Coherent memory in ordinary code and with a lock held.
enum Coherent {
  static func run(_ address: PCIAddress, _ checks: Checks) {
    let machine = GuestTests.open(address)
    let edu = GuestTests.edu(machine, address)
    let device = edu.device.dma
    let before = (machine.entryCount, machine.entriesAvailable)
    let lock = DMASpinLock()
    do {
      let held = try lock.withLock { () throws(DMAError) in
        try CoherentBuffer<UInt32>(count: 2048, for: device)
      }
      checks.expect(
        "atomic allocation makes no mapping",
        machine.entryCount == before.0 && machine.entriesAvailable == before.1)
      checks.expect(
        "it is aligned to its size", held.address.rawValue & 8191 == 0, "\(held.address)")
      // The device really reaches it.
      let source = try Isolation.canvas(0x5a, machine).map(ToDevice.self, for: device).get()
      try edu.write(from: source.address, byteCount: 2048)
      _ = source.unmap()
      try edu.read(to: held.address, byteCount: 2048)
      checks.expect(
        "the device writes memory of the reserve",
        held[0] == 0x5a5a_5a5a && held[511] == 0x5a5a_5a5a && held[512] == 0)
      let usual = try CoherentBuffer<UInt32>(count: 1024, for: device)
      checks.expect("ordinary allocation makes one", machine.entryCount == before.0 + 1)
      _ = consume usual
      checks.expect("and free takes it away", machine.entryCount == before.0)
      exhaust(machine, device, lock, checks)
    } catch {
      abandon("coherent: \(error)")
    }
  }

  private static func exhaust(
    _ machine: VFIOMachine, _ device: DMADevice, _ lock: borrowing DMASpinLock, _ checks: Checks
  ) {
    // More than the whole reserve in one piece.
    do throws(DMAError) {
      _ = try lock.withLock { () throws(DMAError) in
        try CoherentBuffer<UInt8>(count: 512 << 10, for: device)
      }
      checks.expect("an empty reserve is an error", false)
    } catch {
      checks.expect("an empty reserve is an error that passes: \(error)", error.isTransient)
    }
  }
}
