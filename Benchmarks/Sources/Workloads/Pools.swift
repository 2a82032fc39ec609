import CTiming
import DMA

#if canImport(Glibc)
  import Glibc
#endif

/// How many blocks "deep" workloads hold at once, as Linux's own pool test does.
let poolDepth = 8192

/// A pool that has all its pages, and room to hold its blocks.
struct HeldPool {
  let host = HostPlatform()
  let pool: DMAPool
  let blocks = UnsafeMutablePointer<DMAPoolBlock>.allocate(capacity: poolDepth)
  let order = shuffled(poolDepth, seed: 12345)

  init(blockSize: Int) throws {
    let isOdd = blockSize == 68
    pool = try DMAPool(
      name: "measured", blockSize: blockSize, alignment: isOdd ? 32 : blockSize,
      boundary: isOdd ? 4096 : 0, for: host.device())
    allocateAll(self)
    freeAll(self)
  }
}

@inline(never)
func allocateAll(_ held: HeldPool) {
  for index in 0..<poolDepth {
    do throws(DMAError) {
      (held.blocks + index).initialize(to: try held.pool.allocate())
    } catch { fail("the pool is empty: \(error)") }
  }
}

@inline(never)
func freeAll(_ held: HeldPool) {
  for index in 0..<poolDepth { (held.blocks + index).move().free() }
}

@inline(never)
func freeAllInRandomOrder(_ held: HeldPool) {
  for index in 0..<poolDepth { (held.blocks + Int(held.order[index])).move().free() }
}

/// Writes the first 64 bytes of each block, as a driver that fills in a descriptor does.
@inline(never)
func allocateAndWriteAll(_ held: HeldPool) {
  for index in 0..<poolDepth {
    do throws(DMAError) {
      var block = try held.pool.allocate()
      var bytes = block.mutableBytes
      bytes.withUnsafeMutableBytes { bytes in
        guard let start = bytes.baseAddress else { return }
        memset(start, 1, 64)
      }
      (held.blocks + index).initialize(to: block)
    } catch { fail("the pool is empty: \(error)") }
  }
}

@inline(never)
func allocateAndFree(_ pool: DMAPool, _ count: Int) {
  for _ in 0..<count {
    do throws(DMAError) {
      let block = try pool.allocate()
      timing_keep(UnsafeRawPointer(bitPattern: UInt(block.address.rawValue)))
      block.free()
    } catch { fail("the pool is empty: \(error)") }
  }
}

/// 32 at a time, as network drivers do.
@inline(never)
func allocateAndFreeInBulk(_ pool: DMAPool, _ count: Int) {
  var batch = DMAPoolBatch(of: pool, capacity: 32)
  for _ in 0..<(count / 32) {
    do throws(DMAError) {
      try batch.allocate(count: 32)
    } catch { fail("the pool is empty: \(error)") }
    batch.free(count: 32)
  }
}

private func deep(
  _ name: String, _ blockSize: Int, allocate: @escaping (HeldPool) -> Void = allocateAll,
  free: @escaping (HeldPool) -> Void = freeAll
) -> Workload {
  Workload(name: "pool-\(name)-\(blockSize)", unit: poolDepth) {
    let held = try HeldPool(blockSize: blockSize)
    return { count in
      for _ in 0..<(count / poolDepth) {
        allocate(held)
        free(held)
      }
    }
  }
}

@MainActor let poolWorkloads: [Workload] =
  [
    Workload(name: "pool-ping-pong-64") {
      let held = try HeldPool(blockSize: 64)
      return { allocateAndFree(held.pool, $0) }
    },
    Workload(name: "pool-bulk-32", unit: 32) {
      let held = try HeldPool(blockSize: 64)
      return { allocateAndFreeInBulk(held.pool, $0) }
    },
  ]
  + [16, 64, 256, 1024, 4096, 68].map { deep("deep", $0) }
  + [64, 256, 1024, 4096].map { deep("touched", $0, allocate: allocateAndWriteAll) }
  + [
    deep("random", 4096, free: freeAllInRandomOrder),
    deep("touched-random", 4096, allocate: allocateAndWriteAll, free: freeAllInRandomOrder),
  ]

@MainActor let threadedPoolWorkloads = [
  ThreadedWorkload(name: "pool-two-threads-64") {
    let held = try HeldPool(blockSize: 64)
    return { _, count in allocateAndFree(held.pool, count) }
  }
]
