import DMA
import DMAChecker
import DMAMapping
import SimulatedMachine

// What one operation costs while many things are live: names are KIND-live-COUNT, the operation ends a
// random one of COUNT and makes it again.

/// The operation: place `index` is given back and taken again.
private func replacing(_ name: String, _ liveCount: Int, _ replace: @escaping (Int) -> Void)
  -> (Int) -> Void
{
  let order = shuffled(liveCount, seed: 99)
  var at = 0
  return { count in
    for _ in 0..<count {
      replace(Int(order[at]))
      at += 1
      if at == liveCount { at = 0 }
    }
  }
}

/// Live mappings, each of a page of its own.
private final class LiveBuffers {
  let mappings: UnsafeMutablePointer<StreamingMapping<ToDevice>>
  let devices: [DMADevice]
  let owner: AnyObject

  init(_ liveCount: Int, _ devices: [DMADevice], owner: AnyObject) throws {
    mappings = .allocate(capacity: liveCount)
    self.devices = devices
    self.owner = owner
    for index in 0..<liveCount {
      let device = devices[index % devices.count]
      let buffer = try StreamingBuffer(byteCount: 256, for: device)
      guard case .mapped(let mapping) = buffer.map(ToDevice.self, for: device) else {
        fail("not mapped")
      }
      (mappings + index).initialize(to: mapping)
    }
  }

  @inline(never)
  func replace(_ index: Int) {
    let place = mappings + index
    let buffer = place.move().unmap()
    guard case .mapped(let mapping) = buffer.map(ToDevice.self, for: devices[index % devices.count])
    else { fail("not mapped") }
    place.initialize(to: mapping)
  }
}

private func live(_ kind: String, _ count: Int) -> Workload {
  Workload(name: "\(kind)-live-\(count)") {
    switch kind {
    case "pool":
      let host = HostPlatform()
      let pool = try DMAPool(name: "measured", blockSize: 64, alignment: 64, for: host.device())
      let blocks = UnsafeMutablePointer<DMAPoolBlock>.allocate(capacity: count)
      for index in 0..<count { (blocks + index).initialize(to: try pool.allocate()) }
      return replacing(kind, count) { index in
        (blocks + index).move().free()
        guard let block = try? pool.allocate() else { fail("the pool is empty") }
        (blocks + index).initialize(to: block)
      }
    case "iova":
      let space = Space()
      let held = UnsafeMutablePointer<UInt64>.allocate(capacity: count)
      for index in 0..<count {
        guard let address = space.addresses.allocate(pageCount: 1) else { fail("none left") }
        held[index] = address
      }
      return replacing(kind, count) { index in
        space.addresses.free(held[index], pageCount: 1)
        guard let address = space.addresses.allocate(pageCount: 1) else { fail("none left") }
        held[index] = address
      }
    case "iommu":
      let host = HostPlatform(untouched: UntouchedMemory(byteCount: 16 << 30))
      let domain = try IOMMUDomain(platform: host.platform, unit: SilentUnit().unit)
      let device = DMADevice(name: "measured", platform: host.platform, mapping: domain.mapping)
      try device.setMask(.bits64)
      return replacing(kind, count, try LiveBuffers(count, [device], owner: host).replace)
    case "checker", "direct":
      let host = HostPlatform(untouched: UntouchedMemory(byteCount: 16 << 30))
      let device = try host.device()
      if kind == "checker" {
        let checker = DMAChecker { if $0.rule != .leak { fail("a finding: \($0.rule)") } }
        checker.attach(to: device)
      }
      return replacing(kind, count, try LiveBuffers(count, [device], owner: host).replace)
    default: fail("no kind \(kind)")
    }
  }
}

/// As many devices on one machine, 10,000 live mappings among them.
private func devices(_ count: Int) -> Workload {
  Workload(name: "direct-devices-\(count)") {
    let host = HostPlatform()
    var devices: [DMADevice] = []
    for _ in 0..<count { devices.append(try host.device()) }
    return replacing("devices", 10_000, try LiveBuffers(10_000, devices, owner: host).replace)
  }
}

/// Allocating and freeing a page, and mapping it, on a machine of some memory.
private func machine(_ gibibytes: Int) -> Workload {
  Workload(name: "machine-gib-\(gibibytes)") {
    var configuration = SimulatedMachine.Configuration()
    configuration.memoryByteCount = UInt64(gibibytes) << 30
    let machine = try SimulatedMachine(configuration)
    let device = directDevice(machine)
    try device.setMask(.bits64)
    return { count in
      for _ in 0..<count {
        guard let buffer = try? StreamingBuffer(byteCount: 4096, for: device),
          case .mapped(let mapping) = buffer.map(ToDevice.self, for: device)
        else { fail("not mapped") }
        _ = mapping.unmap()
      }
    }
  }
}

@MainActor let growthWorkloads: [Workload] =
  ["pool", "iova", "iommu", "direct", "checker"].flatMap { kind in
    [1, 100, 10_000, 100_000, 1_000_000].map { live(kind, $0) }
  } + [1, 10, 1000].map(devices) + [1, 4, 16, 64, 256, 512].map(machine)
