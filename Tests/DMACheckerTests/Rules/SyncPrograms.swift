import DMA
import DMAChecker

extension RuleTests {
  static let syncBreakers: [Program] = [
    Program(.syncOfUnknown, "never mapped") { t in
      try? t.sync(DMAAddress(rawValue: 0x55_0000), 4, .fromDevice, forCPU: true, t.bad())
    },
    Program(.syncOfUnknown, "coherent memory") { t in
      let memory = try t.allocate(64)
      try? t.sync(memory.address, 64, .bidirectional, forCPU: true, t.bad())
    },
    Program(.syncAfterRelease, "single") { t in
      let x = try t.map(t.page(), 64, .fromDevice)
      try t.unmap(x, 64, .fromDevice)
      try? t.sync(x, 64, .fromDevice, forCPU: true, t.bad())
    },
    Program(.syncAfterRelease, "list") { t in
      let list = try t.list(2)
      try t.map(list, .fromDevice)
      try t.unmap(list, .fromDevice)
      try? t.sync(list, .fromDevice, forCPU: true, t.bad())
    },
    Program(.syncOutside, "longer than the mapping") { t in
      let x = try t.map(t.page(), 64, .fromDevice)
      try? t.sync(x, 65, .fromDevice, forCPU: true, t.bad())
    },
    Program(.syncOutside, "over the end, from inside") { t in
      let x = try t.map(t.page(), 1500, .toDevice)
      try? t.sync(x.advanced(by: 1000), 501, .toDevice, forCPU: false, t.bad())
    },
    Program(.syncDirection, "received data synced as sent") { t in
      let x = try t.map(t.page(), 64, .fromDevice)
      try? t.sync(x, 64, .toDevice, forCPU: true, t.bad())
    },
    Program(.syncDirection, "data to send synced as received") { t in
      let x = try t.map(t.page(), 64, .toDevice)
      try? t.sync(x, 64, .fromDevice, forCPU: false, t.bad())
    },
    Program(.syncReadOnly, "as if received") { t in
      let x = try t.map(t.page(), 64, .toDevice)
      try? t.sync(x, 64, .fromDevice, forCPU: true, t.bad())
    },
    Program(.syncReadOnly, "as if both ways, a part") { t in
      let x = try t.map(t.page(), 64, .toDevice)
      try? t.sync(x.advanced(by: 8), 8, .bidirectional, forCPU: true, t.bad())
    },
    Program(.syncWriteOnly, "as if to be sent") { t in
      let x = try t.map(t.page(), 64, .fromDevice)
      try? t.sync(x, 64, .toDevice, forCPU: false, t.bad())
    },
    Program(.syncWriteOnly, "list, as if both ways") { t in
      let list = try t.list(2)
      try t.map(list, .fromDevice)
      try? t.sync(list, .bidirectional, forCPU: false, t.bad())
    },
    Program(.syncEntryCount, "R98 fewer") { t in
      let list = try t.list(3)
      try t.map(list, .fromDevice)
      try? t.sync(list, .fromDevice, forCPU: true, count: 2, t.bad())
    },
    Program(.syncEntryCount, "more") { t in
      let list = try t.list(3)
      try t.map(list, .toDevice)
      try? t.sync(list, .toDevice, forCPU: false, count: 4, t.bad())
    },
    Program(.memoryChanged, "R38 written after the map", hashing: true) { t in
      let p = t.page()
      let x = try t.map(p, 64, .toDevice)
      t.store(p + 63, 1)
      try t.unmap(x, 64, .toDevice, t.bad())
    },
    Program(.memoryChanged, "written before the sync for the CPU", hashing: true) { t in
      let p = t.page()
      let x = try t.map(p, 640, .toDevice)
      t.store(p + 8, 1)
      try t.sync(x, 640, .toDevice, forCPU: true, t.bad())
      try t.sync(x, 640, .toDevice, forCPU: false)
      try t.unmap(x, 640, .toDevice)
    },
    Program(.memoryFreed, "the page of a mapping") { t in
      let p = t.page()
      _ = try t.map(p, 64, .toDevice)
      t.checker.reportFree(cpuAddress: p, byteCount: 4096, line: t.bad().line)
    },
    Program(.memoryFreed, "a range that ends in a mapping") { t in
      let p = t.page(8192)
      _ = try t.map(p + 4096, 64, .fromDevice)
      t.checker.reportFree(cpuAddress: p, byteCount: 4097, line: t.bad().line)
    },
  ]

  static let syncMisses: [Program] = [
    Program(.syncOfUnknown, "a part of a mapping") { t in
      let x = try t.map(t.page(65536), 65536, .fromDevice)
      try t.sync(x.advanced(by: 60000), 5536, .fromDevice, forCPU: true)
      try t.unmap(x, 65536, .fromDevice)
    },
    Program(.syncOfUnknown, "of two mappings, the second") { t in
      let p = t.page()
      let x = try t.map(p, 64, .fromDevice)
      let y = try t.map(p + 64, 64, .fromDevice)
      try t.sync(y, 64, .fromDevice, forCPU: true)
      try t.unmap(x, 64, .fromDevice)
      try t.unmap(y, 64, .fromDevice)
    },
    Program(.syncAfterRelease, "mapped again") { t in
      let p = t.page()
      let x = try t.map(p, 64, .fromDevice)
      try t.unmap(x, 64, .fromDevice)
      let y = try t.map(p, 64, .fromDevice)
      try t.sync(y, 64, .fromDevice, forCPU: true)
      try t.unmap(y, 64, .fromDevice)
    },
    Program(.syncAfterRelease, "list, then its end") { t in
      let list = try t.list(2)
      try t.map(list, .fromDevice)
      try t.sync(list, .fromDevice, forCPU: true)
      try t.sync(list, .fromDevice, forCPU: false)
      try t.unmap(list, .fromDevice)
    },
    Program(.syncOutside, "up to the end") { t in
      let x = try t.map(t.page(), 1500, .toDevice)
      try t.sync(x.advanced(by: 1000), 500, .toDevice, forCPU: false)
      try t.unmap(x, 1500, .toDevice)
    },
    Program(.syncOutside, "the last byte") { t in
      let x = try t.map(t.page(), 64, .fromDevice)
      try t.sync(x.advanced(by: 63), 1, .fromDevice, forCPU: true)
      try t.unmap(x, 64, .fromDevice)
    },
    Program(.syncDirection, "R75 both ways, synced either way") { t in
      let x = try t.map(t.page(), 64, .bidirectional)
      try t.sync(x, 64, .fromDevice, forCPU: true)
      try t.sync(x, 64, .toDevice, forCPU: false)
      try t.unmap(x, 64, .bidirectional)
    },
    Program(.syncDirection, "one page mapped each way, each sync its own") { t in
      let p = t.page()
      let x = try t.map(p, 64, .toDevice)
      let y = try t.map(p, 64, .fromDevice)
      try t.sync(y, 64, .fromDevice, forCPU: true)
      try t.sync(x, 64, .toDevice, forCPU: false)
      try t.unmap(x, 64, .toDevice)
      try t.unmap(y, 64, .fromDevice)
    },
    Program(.syncReadOnly, "taken back to be changed") { t in
      let x = try t.map(t.page(), 64, .toDevice)
      try t.sync(x, 64, .toDevice, forCPU: true)
      try t.sync(x, 64, .toDevice, forCPU: false)
      try t.unmap(x, 64, .toDevice)
    },
    Program(.syncReadOnly, "both ways") { t in
      let x = try t.map(t.page(), 64, .bidirectional)
      try t.sync(x, 64, .bidirectional, forCPU: true)
      try t.unmap(x, 64, .bidirectional)
    },
    Program(.syncWriteOnly, "R101 handed back") { t in
      let x = try t.map(t.page(), 64, .fromDevice)
      try t.sync(x, 64, .fromDevice, forCPU: true)
      try t.sync(x, 64, .fromDevice, forCPU: false)
      try t.unmap(x, 64, .fromDevice)
    },
    Program(.syncWriteOnly, "R101 handed back without a word") { t in
      let x = try t.map(t.page(), 64, .fromDevice)
      for _ in 0..<3 {
        try t.sync(x, 14, .fromDevice, forCPU: true)
        _ = t.probeA.write(x.rawValue, [1, 2, 3])
      }
      try t.unmap(x, 64, .fromDevice)
    },
    Program(.syncEntryCount, "all entries") { t in
      let list = try t.list(3)
      try t.map(list, .bidirectional)
      try t.sync(list, .bidirectional, forCPU: true, count: 3)
      try t.unmap(list, .bidirectional)
    },
    Program(.syncEntryCount, "twice") { t in
      let list = try t.list(1)
      try t.map(list, .toDevice)
      for _ in 0..<2 { try t.sync(list, .toDevice, forCPU: false) }
      try t.unmap(list, .toDevice)
    },
    Program(.memoryChanged, "written between the syncs", hashing: true) { t in
      let p = t.page()
      let x = try t.map(p, 64, .toDevice)
      try t.sync(x, 64, .toDevice, forCPU: true)
      t.store(p + 3, 9)
      try t.sync(x, 64, .toDevice, forCPU: false)
      try t.unmap(x, 64, .toDevice)
    },
    Program(.memoryChanged, "written beside the mapping", hashing: true) { t in
      let p = t.page()
      let x = try t.map(p + 64, 64, .toDevice)
      t.store(p + 63, 9)
      t.store(p + 128, 9)
      try t.unmap(x, 64, .toDevice)
    },
    Program(.memoryFreed, "after the unmap") { t in
      let p = t.page()
      let x = try t.map(p, 64, .toDevice)
      try t.unmap(x, 64, .toDevice)
      t.checker.reportFree(cpuAddress: p, byteCount: 4096)
    },
    Program(.memoryFreed, "the page beside") { t in
      let p = t.page(8192)
      let x = try t.map(p + 4096, 64, .toDevice)
      t.checker.reportFree(cpuAddress: p, byteCount: 4096)
      try t.unmap(x, 64, .toDevice)
    },
  ]
}
