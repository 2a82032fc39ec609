import DMA
import DMAMapping
import SimulatedMachine

@inline(never)
func mapAndUnmap(_ buffer: consuming StreamingBuffer, _ device: DMADevice, _ count: Int)
  -> StreamingBuffer
{
  var buffer = buffer
  for _ in 0..<count {
    switch buffer.map(ToDevice.self, for: device) {
    case .mapped(let mapping): buffer = mapping.unmap()
    case .failed(_, let error): fail("not mapped: \(error)")
    }
  }
  return buffer
}

/// A buffer that workloads take and give back; a class because it cannot be copied into closures.
final class Held {
  let machine: SimulatedMachine
  let device: DMADevice
  var buffer: StreamingBuffer?

  init(_ machine: SimulatedMachine, _ device: DMADevice, byteCount: Int) throws {
    self.machine = machine
    self.device = device
    buffer = try StreamingBuffer(byteCount: byteCount, for: device)
  }

  func run(_ count: Int) {
    guard let taken = buffer.take() else { fail("the buffer is gone") }
    buffer = mapAndUnmap(taken, device, count)
  }
}

private func bounce(_ byteCount: Int) -> Workload {
  Workload(name: "bounce-\(byteCount)") {
    let machine = try SimulatedMachine()
    var options = BounceMapping.Options()
    options.isForced = true
    let bounce = try BounceMapping(platform: machine.platform, options: options)
    let device = DMADevice(
      name: "measured", platform: machine.platform, mapping: bounce.mapping)
    return try Held(machine, device, byteCount: byteCount).run
  }
}

private func iommu(_ byteCount: Int, _ invalidation: IOMMUDomain.Invalidation, _ name: String)
  -> Workload
{
  Workload(name: name) {
    let machine = try SimulatedMachine()
    let unit = SilentUnit()
    var options = IOMMUDomain.Options()
    options.invalidation = invalidation
    let domain = try IOMMUDomain(platform: machine.platform, unit: unit.unit, options: options)
    let device = DMADevice(
      name: "measured", platform: machine.platform, mapping: domain.mapping)
    return try Held(machine, device, byteCount: byteCount).run
  }
}

@MainActor let mappingWorkloads: [Workload] = [
  Workload(name: "direct-1500") {
    let machine = try SimulatedMachine()
    return try Held(machine, directDevice(machine), byteCount: 1500).run
  },
  bounce(512), bounce(4096), bounce(65536),
  iommu(4096, .strict, "iommu-strict-1"),
  iommu(4096, .deferred(), "iommu-deferred-1"),
  iommu(1 << 20, .strict, "iommu-strict-256"),
  iommu(1 << 20, .deferred(), "iommu-deferred-256"),
]
