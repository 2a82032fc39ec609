import DMA
import DMAChecker

extension RuleTests {
  static let releaseBreakers: [Program] = [
    Program(.releaseOfFailedMapping, "single") { t in
      try? t.unmap(DMAAddress(rawValue: .max), 64, .toDevice, t.bad())
    },
    Program(.releaseOfFailedMapping, "list that failed to map") { t in
      try t.a.setMask(.bits24)
      let list = ScatterList([
        try t.a.scatterEntry(cpuAddress: t.page(high: true), byteCount: 64),
        try t.a.scatterEntry(cpuAddress: t.page(high: true), byteCount: 64),
      ])
      do { try t.map(list, .toDevice) } catch {}
      try? t.unmap(list, .toDevice, t.bad())
    },
    Program(.doubleRelease, "unmap") { t in
      let x = try t.map(t.page(), 64, .toDevice)
      try t.unmap(x, 64, .toDevice)
      try? t.unmap(x, 64, .toDevice, t.bad())
    },
    Program(.doubleRelease, "free") { t in
      let memory = try t.allocate(5000)
      try t.free(memory, 5000)
      try? t.free(memory, 5000, t.bad())
    },
    Program(.releaseOfUnknown, "never mapped") { t in
      try? t.unmap(DMAAddress(rawValue: 0x12_3000), 64, .toDevice, t.bad())
    },
    Program(.releaseOfUnknown, "an address inside of a mapping") { t in
      let x = try t.map(t.page(), 640, .toDevice)
      try? t.unmap(x.advanced(by: 64), 576, .toDevice, t.bad())
    },
    Program(.releaseForWrongDevice, "unmap") { t in
      let x = try t.map(t.page(), 64, .toDevice)
      try? t.unmap(x, 64, .toDevice, on: t.b, t.bad())
    },
    Program(.releaseForWrongDevice, "free") { t in
      let memory = try t.allocate(64)
      try? t.free(memory, 64, on: t.b, t.bad())
    },
    Program(.sizeDiffers, "shorter unmap") { t in
      let x = try t.map(t.page(), 640, .toDevice)
      try? t.unmap(x, 64, .toDevice, t.bad())
    },
    Program(.sizeDiffers, "free rounded up to the page") { t in
      let memory = try t.allocate(100)
      try? t.free(memory, 4096, t.bad())
    },
    Program(.wrongFunction, "coherent memory unmapped") { t in
      let memory = try t.allocate(64)
      try? t.unmap(memory.address, 64, .bidirectional, t.bad())
    },
    Program(.wrongFunction, "R30 streaming memory freed as coherent") { t in
      let p = t.page()
      let x = try t.map(p, 64, .bidirectional)
      try? unsafe t.a.freeConsistent(
        byteCount: 64, cpuAddress: UnsafeMutableRawPointer(bitPattern: p), address: x,
        site: t.bad())
    },
    Program(.cpuAddressDiffers, "one byte on") { t in
      let memory = try t.allocate(64)
      try? t.free(memory, 64, offset: 1, t.bad())
    },
    Program(.cpuAddressDiffers, "a page on") { t in
      let memory = try t.allocate(8192)
      try? t.free(memory, 8192, offset: 4096, t.bad())
    },
    Program(.entryCountDiffers, "R93 fewer than mapped") { t in
      let list = try t.list(4)
      try t.map(list, .fromDevice)
      try? t.unmap(list, .fromDevice, count: 2, t.bad())
    },
    Program(.entryCountDiffers, "more than mapped") { t in
      let list = try t.list(3)
      try t.map(list, .toDevice)
      try? t.unmap(list, .toDevice, count: 4, t.bad())
    },
    Program(.directionDiffers, "R81 receive unmapped as transmit") { t in
      let x = try t.map(t.page(), 64, .fromDevice)
      try? t.unmap(x, 64, .toDevice, t.bad())
    },
    Program(.directionDiffers, "list mapped both ways") { t in
      let list = try t.list(2)
      try t.map(list, .bidirectional)
      try? t.unmap(list, .fromDevice, t.bad())
    },
    Program(.errorNotChecked, "unmapped without a look") { t in
      let x = try t.map(t.page(), 64, .toDevice, checked: false)
      try t.unmap(x, 64, .toDevice, t.bad())
    },
    Program(.errorNotChecked, "another mapping was looked at") { t in
      let x = try t.map(t.page(), 64, .toDevice, checked: false)
      let y = try t.map(t.page(), 64, .toDevice, checked: false)
      t.a.noteErrorCheck(y, site: CallSite(#fileID, #line))
      try t.unmap(y, 64, .toDevice)
      try t.unmap(x, 64, .toDevice, t.bad())
    },
  ]

  static let releaseMisses: [Program] = [
    Program(.releaseOfFailedMapping, "a failed map is let go") { t in
      try t.a.setMask(.bits24)
      _ = try? t.map(t.page(high: true), 64, .toDevice)
    },
    Program(.releaseOfFailedMapping, "the next map works") { t in
      let p = t.page(high: true)
      _ = try? t.map(p, 64, .toDevice)
      let x = try t.map(t.page(), 64, .toDevice)
      try t.unmap(x, 64, .toDevice)
    },
    Program(.doubleRelease, "the same page mapped again in between") { t in
      let p = t.page()
      for _ in 0..<3 {
        let x = try t.map(p, 64, .toDevice)
        try t.unmap(x, 64, .toDevice)
      }
    },
    Program(.doubleRelease, "mapped twice, unmapped twice") { t in
      let p = t.page()
      let x = try t.map(p, 64, .toDevice)
      let y = try t.map(p, 64, .toDevice)
      try t.unmap(x, 64, .toDevice)
      try t.unmap(y, 64, .toDevice)
    },
    Program(.releaseOfUnknown, "any order") { t in
      let all = try (0..<20).map { _ in try t.map(t.page(), 64, .fromDevice) }
      for x in all.reversed() { try t.unmap(x, 64, .fromDevice) }
    },
    Program(.releaseOfUnknown, "two parts of one page") { t in
      let p = t.page()
      let x = try t.map(p, 64, .toDevice)
      let y = try t.map(p + 64, 64, .toDevice)
      try t.unmap(y, 64, .toDevice)
      try t.unmap(x, 64, .toDevice)
    },
    Program(.releaseForWrongDevice, "one page for two devices") { t in
      let p = t.page()
      let x = try t.map(p, 64, .toDevice)
      let y = try t.map(p, 64, .toDevice, on: t.b)
      try t.unmap(x, 64, .toDevice)
      try t.unmap(y, 64, .toDevice, on: t.b)
    },
    Program(.releaseForWrongDevice, "memory passed on") { t in
      let p = t.page()
      let x = try t.map(p, 64, .toDevice)
      try t.unmap(x, 64, .toDevice)
      let y = try t.map(p, 64, .toDevice, on: t.b)
      try t.unmap(y, 64, .toDevice, on: t.b)
    },
    Program(.sizeDiffers, "one start, two sizes") { t in
      let p = t.page()
      let x = try t.map(p, 64, .toDevice)
      let y = try t.map(p, 640, .toDevice)
      try t.unmap(x, 64, .toDevice)
      try t.unmap(y, 640, .toDevice)
    },
    Program(.sizeDiffers, "odd sizes as they are") { t in
      let memory = try t.allocate(4097)
      try t.free(memory, 4097)
    },
    Program(.wrongFunction, "both families at once") { t in
      let memory = try t.allocate(64)
      let x = try t.map(t.page(), 64, .bidirectional)
      try t.free(memory, 64)
      try t.unmap(x, 64, .bidirectional)
    },
    Program(.wrongFunction, "a list and its first page alone") { t in
      let p = t.page()
      let list = ScatterList([try t.a.scatterEntry(cpuAddress: p, byteCount: 64)])
      try t.map(list, .toDevice)
      let x = try t.map(p, 64, .toDevice)
      try t.unmap(x, 64, .toDevice)
      try t.unmap(list, .toDevice)
    },
    Program(.cpuAddressDiffers, "as returned") { t in
      let memory = try t.allocate(64)
      try t.free(memory, 64)
    },
    Program(.cpuAddressDiffers, "memory that came back") { t in
      for _ in 0..<3 { try t.free(t.allocate(8192), 8192) }
    },
    Program(.entryCountDiffers, "all entries") { t in
      let list = try t.list(4)
      try t.map(list, .fromDevice)
      try t.unmap(list, .fromDevice, count: 4)
    },
    Program(.entryCountDiffers, "one entry") { t in
      let list = try t.list(1)
      try t.map(list, .toDevice)
      try t.unmap(list, .toDevice)
    },
    Program(.directionDiffers, "each as mapped") { t in
      for direction in [DMADirection.toDevice, .fromDevice, .bidirectional] {
        let x = try t.map(t.page(), 64, direction)
        try t.unmap(x, 64, direction)
      }
    },
    Program(.directionDiffers, "one page both ways, one mapping each") { t in
      let p = t.page()
      let x = try t.map(p, 64, .toDevice)
      let y = try t.map(p, 64, .fromDevice)
      try t.unmap(y, 64, .fromDevice)
      try t.unmap(x, 64, .toDevice)
    },
    Program(.errorNotChecked, "looked at") { t in
      let x = try t.map(t.page(), 64, .toDevice, checked: true)
      try t.unmap(x, 64, .toDevice)
    },
    Program(.errorNotChecked, "a call that throws needs no look") { t in
      let x = try t.map(t.page(), 64, .toDevice)
      try t.unmap(x, 64, .toDevice)
    },
  ]
}
