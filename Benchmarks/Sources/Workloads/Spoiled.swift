import CTiming
import DMA
import DMAMapping
import SimulatedMachine

// The loops of some workloads with something in each round that no hot path may have: what
// check-instructions must notice. Their names end in "+retain" and "+allocation".

private protocol Spoiling {
  static var name: String { get }
  static func spoil()
}

private final class Something {}
nonisolated(unsafe) private let something = Something()

private enum Retain: Spoiling {
  static let name = "+retain"

  @inline(never)
  static func spoil() {
    let object = Unmanaged.passUnretained(something).retain()
    timing_keep(object.toOpaque())
    object.release()
  }
}

private enum Allocation: Spoiling {
  static let name = "+allocation"

  @inline(never)
  static func spoil() {
    let object = Something()
    timing_keep(Unmanaged.passUnretained(object).toOpaque())
  }
}

@MainActor private func spoiled<S: Spoiling>(_ spoiling: S.Type) -> [Workload] {
  [
    Workload(name: "pool-ping-pong-64" + S.name) {
      let held = try HeldPool(blockSize: 64)
      return { count in
        for _ in 0..<count {
          guard let block = try? held.pool.allocate() else { fail("the pool is empty") }
          S.spoil()
          block.free()
        }
      }
    },
    Workload(name: "iova-ping-pong-1" + S.name) {
      let space = Space()
      return { count in
        for _ in 0..<count {
          guard let address = space.addresses.allocate(pageCount: 1) else {
            fail("no addresses left")
          }
          S.spoil()
          space.addresses.free(address, pageCount: 1)
        }
      }
    },
    spoiledMapping("direct-1500" + S.name, byteCount: 1500, S.self) { directDevice($0) },
    spoiledMapping("iommu-strict-1" + S.name, byteCount: 4096, S.self) {
      try DMADevice(
        name: "measured", platform: $0.platform,
        mapping: IOMMUDomain(platform: $0.platform, unit: SilentUnit().unit).mapping)
    },
  ]
}

private func spoiledMapping<S: Spoiling>(
  _ name: String, byteCount: Int, _ spoiling: S.Type,
  _ device: @escaping (SimulatedMachine) throws -> DMADevice
) -> Workload {
  Workload(name: name) {
    let machine = try SimulatedMachine()
    let device = try device(machine)
    let held = try Held(machine, device, byteCount: byteCount)
    return { count in
      guard var buffer = held.buffer.take() else { fail("the buffer is gone") }
      for _ in 0..<count {
        switch buffer.map(ToDevice.self, for: device) {
        case .mapped(let mapping):
          S.spoil()
          buffer = mapping.unmap()
        case .failed(_, let error): fail("not mapped: \(error)")
        }
      }
      held.buffer = consume buffer
    }
  }
}

@MainActor let spoiledWorkloads = spoiled(Retain.self) + spoiled(Allocation.self)
