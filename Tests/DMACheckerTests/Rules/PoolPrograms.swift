import DMA
import DMAChecker

extension RuleTests {
  static let poolBreakers: [Program] = [
    Program(.deviceUseAfterUnmap, "write to a block that was freed") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      t.kept.append(pool)
      let kept = try pool.allocateRaw(CallSite(#fileID, #line))
      let block = try pool.allocateRaw(t.bad())
      try unsafe pool.freeRaw(
        cpuAddress: block.cpuAddress, address: block.address, CallSite(#fileID, #line))
      _ = t.probeA.write(kept.address.rawValue, [1])
      _ = t.probeA.write(block.address.rawValue + 8, [1])
    },
    Program(.deviceOutside, "from a block of a pool into a free one") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      t.kept.append(pool)
      let block = try pool.allocateRaw(t.bad())
      _ = t.probeA.write(block.address.rawValue + 60, [UInt8](repeating: 1, count: 8))
    },
    Program(.poolBusy, "R71 destroyed") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      t.kept.append(pool)
      let block = try pool.allocate()
      let site = t.bad()
      try? pool.destroy(line: site.line)
      block.free()
    },
    Program(.poolBusy, "a raw block out") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      t.kept.append(pool)
      _ = try pool.allocateRaw(CallSite(#fileID, #line))
      let site = t.bad()
      try? pool.destroy(line: site.line)
    },
    Program(.poolDoubleFree, "at once") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      t.kept.append(pool)
      let block = try pool.allocateRaw(CallSite(#fileID, #line))
      try unsafe pool.freeRaw(
        cpuAddress: block.cpuAddress, address: block.address, CallSite(#fileID, #line))
      try? unsafe pool.freeRaw(cpuAddress: block.cpuAddress, address: block.address, t.bad())
    },
    Program(.poolDoubleFree, "with others in between") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      t.kept.append(pool)
      let blocks = try (0..<5).map { _ in try pool.allocateRaw(CallSite(#fileID, #line)) }
      for block in blocks {
        try unsafe pool.freeRaw(
          cpuAddress: block.cpuAddress, address: block.address, CallSite(#fileID, #line))
      }
      try? unsafe pool.freeRaw(
        cpuAddress: blocks[2].cpuAddress, address: blocks[2].address, t.bad())
    },
    Program(.poolFreeOfUnknown, "an address inside of a block") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      t.kept.append(pool)
      let block = try pool.allocateRaw(CallSite(#fileID, #line))
      try? unsafe pool.freeRaw(
        cpuAddress: block.cpuAddress + 8, address: block.address.advanced(by: 8), t.bad())
    },
    Program(.poolFreeOfUnknown, "R69 addresses of two blocks") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      t.kept.append(pool)
      let blocks = try (0..<2).map { _ in try pool.allocateRaw(CallSite(#fileID, #line)) }
      try? unsafe pool.freeRaw(
        cpuAddress: blocks[0].cpuAddress, address: blocks[1].address, t.bad())
    },
    Program(.poolFreeToWrongPool, "of the same size") { t in
      let one = try DMAPool(name: "one", blockSize: 64, for: t.a)
      t.kept.append(one)
      let other = try DMAPool(name: "other", blockSize: 64, for: t.a)
      t.kept.append(other)
      let block = try one.allocateRaw(CallSite(#fileID, #line))
      try? unsafe other.freeRaw(cpuAddress: block.cpuAddress, address: block.address, t.bad())
    },
    Program(.poolFreeToWrongPool, "of another size") { t in
      let one = try DMAPool(name: "one", blockSize: 64, for: t.a)
      t.kept.append(one)
      let other = try DMAPool(name: "other", blockSize: 512, for: t.a)
      t.kept.append(other)
      _ = try other.allocateRaw(CallSite(#fileID, #line))
      let block = try one.allocateRaw(CallSite(#fileID, #line))
      try? unsafe other.freeRaw(cpuAddress: block.cpuAddress, address: block.address, t.bad())
    },
    Program(.poolBlockWritten, "R63 by the CPU that kept the pointer") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a, options: .poisoned)
      t.kept.append(pool)
      let block = try pool.allocateRaw(CallSite(#fileID, #line))
      try unsafe pool.freeRaw(
        cpuAddress: block.cpuAddress, address: block.address, CallSite(#fileID, #line))
      unsafe block.cpuAddress.storeBytes(of: 7, toByteOffset: 20, as: UInt8.self)
      _ = try pool.allocateRaw(t.bad())
    },
    Program(.poolBlockWritten, "first byte") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a, options: .poisoned)
      t.kept.append(pool)
      let block = try pool.allocateRaw(CallSite(#fileID, #line))
      try unsafe pool.freeRaw(
        cpuAddress: block.cpuAddress, address: block.address, CallSite(#fileID, #line))
      unsafe block.cpuAddress.storeBytes(of: 7, as: UInt8.self)
      _ = try pool.allocateRaw(t.bad())
    },
  ]

  static let poolMisses: [Program] = [
    Program(.leak, "a pool with its pages ends first") { t in
      do {
        let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
        let block = try pool.allocate()
        block.free()
      }
      t.a.remove()
    },
    Program(.deviceUseAfterUnmap, "a block that was freed and taken again") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      t.kept.append(pool)
      for _ in 0..<3 {
        let block = try pool.allocateRaw(CallSite(#fileID, #line))
        _ = t.probeA.write(block.address.rawValue + 63, [1])
        try unsafe pool.freeRaw(
          cpuAddress: block.cpuAddress, address: block.address, CallSite(#fileID, #line))
      }
    },
    Program(.deviceOutside, "across two blocks of a pool, both in use") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      t.kept.append(pool)
      let blocks = try (0..<4).map { _ in try pool.allocateRaw(CallSite(#fileID, #line)) }
      let start = blocks.map(\.address.rawValue).min() ?? 0
      _ = t.probeA.write(start + 10, [UInt8](repeating: 1, count: 200))
    },
    Program(.deviceUsedUnmapped, "a block of a pool") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      let block = try pool.allocate()
      _ = t.probeA.write(block.address.rawValue, [1, 2, 3])
      block.free()
    },
    Program(.poolBusy, "all blocks back") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      for _ in 0..<100 { try pool.allocate().free() }
      try pool.destroy()
    },
    Program(.poolBusy, "never used") { t in
      try DMAPool(name: "heads", blockSize: 64, for: t.a).destroy()
    },
    Program(.poolDoubleFree, "the same block again and again") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      for _ in 0..<10 {
        let block = try pool.allocateRaw(CallSite(#fileID, #line))
        try unsafe pool.freeRaw(
          cpuAddress: block.cpuAddress, address: block.address, CallSite(#fileID, #line))
      }
    },
    Program(.poolDoubleFree, "neighbours") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      let blocks = try (0..<64).map { _ in try pool.allocateRaw(CallSite(#fileID, #line)) }
      for block in blocks {
        try unsafe pool.freeRaw(
          cpuAddress: block.cpuAddress, address: block.address, CallSite(#fileID, #line))
      }
    },
    Program(.poolFreeOfUnknown, "a block that is a value") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      _ = try pool.allocate()
    },
    Program(.poolFreeOfUnknown, "blocks of many pages") { t in
      let pool = try DMAPool(name: "heads", blockSize: 1024, for: t.a)
      let blocks = try (0..<20).map { _ in try pool.allocateRaw(CallSite(#fileID, #line)) }
      for block in blocks.reversed() {
        try unsafe pool.freeRaw(
          cpuAddress: block.cpuAddress, address: block.address, CallSite(#fileID, #line))
      }
    },
    Program(.poolFreeToWrongPool, "two pools, each its own") { t in
      let one = try DMAPool(name: "one", blockSize: 64, for: t.a)
      let other = try DMAPool(name: "other", blockSize: 64, for: t.a)
      let first = try one.allocate()
      let second = try other.allocate()
      second.free()
      first.free()
    },
    Program(.poolFreeToWrongPool, "one after the other ended") { t in
      for _ in 0..<3 {
        let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
        try pool.allocate().free()
        try pool.destroy()
      }
    },
    Program(.poolBlockWritten, "written while in use") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a, options: .poisoned)
      for value in 1..<4 as Range<UInt8> {
        let block = try pool.allocateRaw(CallSite(#fileID, #line))
        unsafe block.cpuAddress.storeBytes(of: value, as: UInt8.self)
        try unsafe pool.freeRaw(
          cpuAddress: block.cpuAddress, address: block.address, CallSite(#fileID, #line))
      }
    },
    Program(.poolBlockWritten, "a pool that is not poisoned") { t in
      let pool = try DMAPool(name: "heads", blockSize: 64, for: t.a)
      _ = try pool.allocate()
      _ = try pool.allocate()
    },
  ]
}
