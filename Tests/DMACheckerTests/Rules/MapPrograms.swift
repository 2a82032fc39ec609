import DMA
import DMAChecker

extension RuleTests {
  static let mapBreakers: [Program] =
    [
      (CheckRule.mapOfStack, MemoryKind.stack), (.mapOfKernelImage, .image),
      (.mapOfVmalloc, .vmalloc), (.mapOfInvalidArea, .user), (.mapOfInvalidArea, .mmio),
    ].flatMap { rule, kind in
      [
        Program(rule, "\(kind), to device") { t in
          _ = try? t.map(t.area(kind), 64, .toDevice, t.bad())
        },
        Program(rule, "\(kind), inside, from device") { t in
          _ = try? t.map(t.area(kind) + 100, 64, .fromDevice, t.bad())
        },
      ]
    } + [
      Program(.mapOfInvalidArea, "an address of the host") { t in
        _ = try? t.map(16, 64, .toDevice, t.bad())
      },
      Program(.zeroLengthMap, "single") { t in
        _ = try? t.map(t.page(), 0, .toDevice, t.bad())
      },
      Program(.zeroLengthMap, "less than nothing") { t in
        _ = try? t.map(t.page(), -1, .fromDevice, t.bad())
      },
      Program(.segmentTooLong, "one byte more than 64 KiB") { t in
        let list = try t.list(1, 65537)
        try? t.map(list, .toDevice, t.bad())
      },
      Program(.segmentTooLong, "the second of three, for a device of 512 bytes") { t in
        t.a.constraints = try DMAConstraints(segmentByteCountMax: 512)
        let lengths = [512, 513, 1]
        let list = ScatterList(
          try lengths.map { try t.a.scatterEntry(cpuAddress: t.page(), byteCount: $0) })
        try? t.map(list, .fromDevice, t.bad())
      },
      Program(.segmentAcrossBoundary, "two pages for a device that counts to 4 KiB") { t in
        t.a.constraints = try DMAConstraints(segmentBoundaryMask: 4095)
        let list = try t.list(1, 8192)
        try? t.map(list, .toDevice, t.bad())
      },
      Program(.segmentAcrossBoundary, "one byte across") { t in
        t.a.constraints = try DMAConstraints(segmentBoundaryMask: 1023)
        let list = ScatterList([
          try t.a.scatterEntry(cpuAddress: t.page() + 1000, byteCount: 25)
        ])
        try? t.map(list, .fromDevice, t.bad())
      },
      Program(.overlappingCacheLine, "neighbours in one line") { t in
        let p = t.page()
        _ = try t.map(p, 40, .fromDevice)
        _ = try t.map(p + 40, 40, .fromDevice, t.bad())
      },
      Program(.overlappingCacheLine, "the last line of one, the first of the next") { t in
        let p = t.page()
        _ = try t.map(p, 1500, .fromDevice)
        _ = try t.map(p + 1500, 36, .bidirectional, t.bad())
      },
      Program(.overlappingCacheLine, "the same page twice") { t in
        let p = t.page()
        _ = try t.map(p, 4096, .fromDevice)
        _ = try t.map(p, 4096, .fromDevice, on: t.b, t.bad())
      },
      Program(.refusedMaskUsed, "map") { t in
        try? t.a.setMask(DMAMask(bitCount: 12))
        let p = t.page()
        _ = try t.map(p, 64, .toDevice, t.bad())
      },
      Program(.refusedMaskUsed, "allocation") { t in
        try? t.a.setCoherentMask(DMAMask(bitCount: 4))
        try t.free(t.allocate(64, t.bad()), 64)
      },
      Program(.maskChangedWhileMapped, "narrowed") { t in
        _ = try t.map(t.page(), 64, .toDevice)
        let site = t.bad()
        try t.a.setMask(.bits24, line: site.line)
      },
      Program(.maskChangedWhileMapped, "widened, streaming only") { t in
        _ = try t.map(t.page(), 64, .toDevice)
        let site = t.bad()
        try t.a.setStreamingMask(.bits64, line: site.line)
      },
    ]

  /// Sharing one line eight times breaks two rules, one after the other.
  static func overlap(_ t: Trial, _ count: Int) throws {
    let p = t.page()
    for index in 0..<count { _ = try t.map(p + UInt(index * 4), 4, .fromDevice, t.bad()) }
  }

  static let mapMisses: [Program] =
    [CheckRule.mapOfStack, .mapOfKernelImage, .mapOfVmalloc, .mapOfInvalidArea].flatMap { rule in
      [
        Program(rule, "a page beside such memory") { t in
          _ = t.area(.stack)
          let x = try t.map(t.page(), 4096, .fromDevice)
          try t.unmap(x, 4096, .fromDevice)
        },
        Program(rule, "R9 any part of a page") { t in
          let p = t.page()
          for offset in [0, 1, 63, 4095] {
            let x = try t.map(p + UInt(offset), 1, .toDevice)
            try t.unmap(x, 1, .toDevice)
          }
        },
      ]
    } + [
      Program(.zeroLengthMap, "one byte") { t in
        let x = try t.map(t.page(), 1, .toDevice)
        try t.unmap(x, 1, .toDevice)
      },
      Program(.zeroLengthMap, "Swift refuses an empty range before it is a call") { t in
        let buffer = try StreamingBuffer(byteCount: 64, for: t.a)
        switch buffer.map(ToDevice.self, bytes: 3..<3, for: t.a) {
        case .mapped(let mapping): _ = mapping.unmap()
        case .failed: break
        }
      },
      Program(.segmentTooLong, "64 KiB") { t in
        let list = try t.list(2, 65536)
        try t.map(list, .toDevice)
        try t.unmap(list, .toDevice)
      },
      Program(.segmentTooLong, "a single region is no segment") { t in
        let p = t.page(1 << 20)
        let x = try t.map(p, 1 << 20, .toDevice)
        try t.unmap(x, 1 << 20, .toDevice)
      },
      Program(.segmentAcrossBoundary, "up to the boundary") { t in
        t.a.constraints = try DMAConstraints(segmentBoundaryMask: 1023)
        let list = ScatterList([
          try t.a.scatterEntry(cpuAddress: t.page() + 1000, byteCount: 24)
        ])
        try t.map(list, .fromDevice)
        try t.unmap(list, .fromDevice)
      },
      Program(.segmentAcrossBoundary, "from the boundary on") { t in
        t.a.constraints = try DMAConstraints(segmentBoundaryMask: 1023)
        let list = ScatterList([
          try t.a.scatterEntry(cpuAddress: t.page() + 1024, byteCount: 1024)
        ])
        try t.map(list, .fromDevice)
        try t.unmap(list, .fromDevice)
      },
      Program(.overlappingCacheLine, "each on lines of its own") { t in
        let p = t.page()
        _ = try t.map(p, 64, .fromDevice)
        _ = try t.map(p + 64, 64, .fromDevice)
        _ = try t.map(p + 128, 100, .fromDevice)
        _ = try t.map(p + 256, 100, .fromDevice)
      },
      Program(.overlappingCacheLine, "what devices only read") { t in
        let p = t.page()
        for index in 0..<10 { _ = try t.map(p + UInt(index), 1, .toDevice) }
      },
      Program(.overlappingCacheLine, "one after the other") { t in
        let p = t.page()
        for _ in 0..<10 {
          let x = try t.map(p + 8, 30, .fromDevice)
          try t.unmap(x, 30, .fromDevice)
        }
      },
      Program(.refusedMaskUsed, "a wider mask was accepted") { t in
        try? t.a.setMask(DMAMask(bitCount: 12))
        try t.a.setMask(.bits32)
        let x = try t.map(t.page(), 64, .toDevice)
        try t.unmap(x, 64, .toDevice)
      },
      Program(.refusedMaskUsed, "R16 only asked") { t in
        _ = t.a.supports(DMAMask(bitCount: 12))
        let x = try t.map(t.page(), 64, .toDevice)
        try t.unmap(x, 64, .toDevice)
      },
      Program(.maskChangedWhileMapped, "the same mask again") { t in
        let x = try t.map(t.page(), 64, .toDevice)
        try t.a.setMask(.bits32)
        try t.unmap(x, 64, .toDevice)
      },
      Program(.maskChangedWhileMapped, "between mappings, coherent memory live") { t in
        let memory = try t.allocate(64)
        let x = try t.map(t.page(), 64, .toDevice)
        try t.unmap(x, 64, .toDevice)
        try t.a.setMask(.bits64)
        try t.free(memory, 64)
      },
    ]
}
