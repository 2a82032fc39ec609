import DMA
import DMAChecker

extension RuleTests {
  static let deviceBreakers: [Program] = [
    Program(.leak, "R94 streaming") { t in
      for _ in 0..<3 { _ = try t.map(t.page(), 64, .toDevice, t.bad()) }
      t.a.remove()
    },
    Program(.leak, "E9 coherent memory, at the end") { t in
      _ = try t.allocate(64, t.bad())
      t.checker.finish()
    },
    Program(.mappingDropped, "value dropped") { t in
      let buffer = try StreamingBuffer(byteCount: 64, for: t.a)
      let site = t.bad()
      _ = try buffer.map(FromDevice.self, for: t.a, line: site.line).get()
    },
    Program(.mappingDropped, "one of two") { t in
      let kept = try StreamingBuffer(byteCount: 64, for: t.a).map(ToDevice.self, for: t.a).get()
      let buffer = try StreamingBuffer(byteCount: 64, for: t.a)
      let site = t.bad()
      _ = try buffer.map(ToDevice.self, for: t.a, line: site.line).get()
      _ = kept.unmap()
      t.a.remove()
    },
    Program(.deviceUseAfterUnmap, "write") { t in
      let x = try t.map(t.page(), 64, .fromDevice, t.bad())
      try t.unmap(x, 64, .fromDevice)
      _ = t.probeA.write(x.rawValue + 8, [1])
    },
    Program(.deviceUseAfterUnmap, "read of freed coherent memory") { t in
      let memory = try t.allocate(64, t.bad())
      try t.free(memory, 64)
      _ = t.probeA.read(memory.address.rawValue, byteCount: 4)
    },
    Program(.deviceOutside, "one byte more") { t in
      let x = try t.map(t.page(), 64, .fromDevice, t.bad())
      _ = t.probeA.write(x.rawValue, [UInt8](repeating: 1, count: 65))
    },
    Program(.deviceOutside, "read over the end") { t in
      let x = try t.map(t.page(), 64, .toDevice, t.bad())
      _ = t.probeA.read(x.rawValue + 60, byteCount: 8)
    },
    Program(.deviceWroteReadOnly, "R77 single") { t in
      let x = try t.map(t.page(), 64, .toDevice, t.bad())
      _ = t.probeA.write(x.rawValue, [1])
    },
    Program(.deviceWroteReadOnly, "second segment of a list", hashing: true) { t in
      let list = try t.list(2)
      try t.map(list, .toDevice, t.bad())
      _ = unsafe t.probeA.write(list.entries[1].dmaAddress + 5, [1])
    },
    Program(.deviceReadWriteOnly, "single") { t in
      let x = try t.map(t.page(), 64, .fromDevice, t.bad())
      _ = t.probeA.read(x.rawValue, byteCount: 4)
    },
    Program(.deviceReadWriteOnly, "list") { t in
      let list = try t.list(3)
      try t.map(list, .fromDevice, t.bad())
      _ = unsafe t.probeA.read(list.entries[2].dmaAddress, byteCount: 4)
    },
    Program(.deviceUsedOthers, "read") { t in
      let x = try t.map(t.page(), 64, .toDevice, t.bad())
      _ = t.probeB.read(x.rawValue, byteCount: 4)
    },
    Program(.deviceUsedOthers, "write into its ring") { t in
      let memory = try t.allocate(4096, t.bad())
      _ = t.probeB.write(memory.address.rawValue + 100, [1])
    },
    Program(.deviceUsedUnmapped, "just before a mapping") { t in
      let x = try t.map(t.page() + 64, 64, .fromDevice, t.bad())
      _ = t.probeA.write(x.rawValue - 1, [1])
    },
    Program(.deviceUsedUnmapped, "far away") { t in
      _ = try t.map(t.page(), 64, .fromDevice, t.bad())
      _ = t.probeA.read(0x20_0000, byteCount: 4)
    },
    Program(.deviceUsedCPUOwned, "read while the CPU changes it") { t in
      let x = try t.map(t.page(), 64, .toDevice, t.bad())
      try t.sync(x, 64, .toDevice, forCPU: true)
      _ = t.probeA.read(x.rawValue, byteCount: 4)
    },
    Program(.deviceUsedCPUOwned, "write into memory for both") { t in
      let x = try t.map(t.page(), 64, .bidirectional, t.bad())
      try t.sync(x, 64, .bidirectional, forCPU: true)
      _ = t.probeA.write(x.rawValue, [1])
    },
    Program(.deviceNotMaster, "write") { t in
      let x = try t.map(t.page(), 64, .fromDevice)
      t.stopMastering()
      _ = t.probeA.write(x.rawValue, [1])
    },
    Program(.deviceNotMaster, "read of nothing") { t in
      t.stopMastering()
      _ = t.probeA.read(0x20_0000, byteCount: 4)
    },
    Program(.deviceFault, "write that fits, refused by a unit") { t in
      let x = try t.map(t.page(), 64, .fromDevice, t.bad())
      t.checker.reportFault(t.a, address: x, isWrite: true, reason: .notMapped)
    },
    Program(.deviceFault, "read that fits") { t in
      let x = try t.map(t.page(), 64, .toDevice, t.bad())
      t.checker.reportFault(
        t.a, address: x.advanced(by: 60), byteCount: 4, isWrite: false, reason: .permission)
    },
  ]

  static let deviceMisses: [Program] = [
    Program(.leak, "all released before removal") { t in
      let memory = try t.allocate(64)
      let x = try t.map(t.page(), 64, .toDevice)
      try t.unmap(x, 64, .toDevice)
      try t.free(memory, 64)
      t.a.remove()
      t.checker.finish()
    },
    Program(.leak, "another device's mapping lives on") { t in
      let x = try t.map(t.page(), 64, .toDevice, on: t.b)
      t.a.remove()
      try t.unmap(x, 64, .toDevice, on: t.b)
      t.checker.finish()
    },
    Program(.mappingDropped, "unmapped") { t in
      let buffer = try StreamingBuffer(byteCount: 64, for: t.a)
      _ = try buffer.map(FromDevice.self, for: t.a).get().unmap()
    },
    Program(.mappingDropped, "a loan ends by itself") { t in
      var buffer = try StreamingBuffer(byteCount: 64, for: t.a)
      let loan = try MappedBytes(&buffer, ToDevice.self, for: t.a)
      _ = loan.address
    },
    Program(.deviceUseAfterUnmap, "mapped again") { t in
      let p = t.page()
      let x = try t.map(p, 64, .fromDevice)
      try t.unmap(x, 64, .fromDevice)
      let y = try t.map(p, 64, .fromDevice)
      _ = t.probeA.write(y.rawValue, [1])
      try t.unmap(y, 64, .fromDevice)
    },
    Program(.deviceUseAfterUnmap, "the last byte in time") { t in
      let x = try t.map(t.page(), 64, .fromDevice)
      _ = t.probeA.write(x.rawValue + 63, [1])
      try t.unmap(x, 64, .fromDevice)
    },
    Program(.deviceOutside, "all of it") { t in
      let x = try t.map(t.page(), 64, .fromDevice)
      _ = t.probeA.write(x.rawValue, [UInt8](repeating: 1, count: 64))
      try t.unmap(x, 64, .fromDevice)
    },
    Program(.deviceOutside, "across two neighbouring mappings") { t in
      let p = t.page()
      let x = try t.map(p, 64, .fromDevice)
      let y = try t.map(p + 64, 64, .fromDevice)
      _ = t.probeA.write(x.rawValue + 32, [UInt8](repeating: 1, count: 64))
      try t.unmap(x, 64, .fromDevice)
      try t.unmap(y, 64, .fromDevice)
    },
    Program(.deviceWroteReadOnly, "R79 coherent memory, either way") { t in
      let memory = try t.allocate(64)
      _ = t.probeA.write(memory.address.rawValue, [1])
      _ = t.probeA.read(memory.address.rawValue, byteCount: 1)
      try t.free(memory, 64)
    },
    Program(.deviceWroteReadOnly, "one page mapped each way") { t in
      let p = t.page()
      let x = try t.map(p, 64, .toDevice)
      let y = try t.map(p, 64, .fromDevice)
      _ = t.probeA.write(x.rawValue, [1])
      try t.unmap(x, 64, .toDevice)
      try t.unmap(y, 64, .fromDevice)
    },
    Program(.deviceReadWriteOnly, "read of what it may read") { t in
      let x = try t.map(t.page(), 64, .toDevice)
      _ = t.probeA.read(x.rawValue, byteCount: 64)
      try t.unmap(x, 64, .toDevice)
    },
    Program(.deviceReadWriteOnly, "both ways") { t in
      let x = try t.map(t.page(), 64, .bidirectional)
      _ = t.probeA.read(x.rawValue, byteCount: 64)
      _ = t.probeA.write(x.rawValue, [1])
      try t.unmap(x, 64, .bidirectional)
    },
    Program(.deviceUsedOthers, "memory mapped for both devices") { t in
      let p = t.page()
      let x = try t.map(p, 64, .toDevice)
      let y = try t.map(p, 64, .toDevice, on: t.b)
      _ = t.probeB.read(x.rawValue, byteCount: 4)
      try t.unmap(x, 64, .toDevice)
      try t.unmap(y, 64, .toDevice, on: t.b)
    },
    Program(.deviceUsedOthers, "each its own") { t in
      let x = try t.map(t.page(), 64, .toDevice)
      let y = try t.map(t.page(), 64, .toDevice, on: t.b)
      _ = t.probeA.read(x.rawValue, byteCount: 4)
      _ = t.probeB.read(y.rawValue, byteCount: 4)
      try t.unmap(x, 64, .toDevice)
      try t.unmap(y, 64, .toDevice, on: t.b)
    },
    Program(.deviceUsedUnmapped, "a ring in coherent memory") { t in
      let memory = try t.allocate(8192)
      _ = t.probeA.read(memory.address.rawValue + 8000, byteCount: 192)
      try t.free(memory, 8192)
    },
    Program(.deviceUsedCPUOwned, "after the sync back") { t in
      let x = try t.map(t.page(), 64, .toDevice)
      try t.sync(x, 64, .toDevice, forCPU: true)
      try t.sync(x, 64, .toDevice, forCPU: false)
      _ = t.probeA.read(x.rawValue, byteCount: 4)
      try t.unmap(x, 64, .toDevice)
    },
    Program(.deviceUsedCPUOwned, "another mapping is the CPU's") { t in
      let x = try t.map(t.page(), 64, .toDevice)
      let y = try t.map(t.page(), 64, .toDevice)
      try t.sync(x, 64, .toDevice, forCPU: true)
      _ = t.probeA.read(y.rawValue, byteCount: 4)
      try t.unmap(x, 64, .toDevice)
      try t.unmap(y, 64, .toDevice)
    },
    Program(.deviceNotMaster, "before it stops") { t in
      let x = try t.map(t.page(), 64, .fromDevice)
      _ = t.probeA.write(x.rawValue, [1])
      t.stopMastering()
      try t.unmap(x, 64, .fromDevice)
    },
    Program(.deviceNotMaster, "another device goes on") { t in
      t.stopMastering()
      let x = try t.map(t.page(), 64, .fromDevice, on: t.b)
      _ = t.probeB.write(x.rawValue, [1])
      try t.unmap(x, 64, .fromDevice, on: t.b)
    },
    Program(.deviceFault, "accesses that nobody refuses") { t in
      let x = try t.map(t.page(), 64, .bidirectional)
      _ = t.probeA.write(x.rawValue, [1])
      t.checker.reportAccess(t.a, address: x, byteCount: 4, isWrite: false)
      try t.unmap(x, 64, .bidirectional)
    },
    Program(.deviceFault, "no access at all") { t in
      let x = try t.map(t.page(), 64, .bidirectional)
      try t.unmap(x, 64, .bidirectional)
    },
  ]
}
