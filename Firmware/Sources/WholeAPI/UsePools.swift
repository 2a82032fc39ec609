import DMA

func usePools(_ seen: inout Expectations, _ machine: SmallMachine) {
  let device = makeDevice(machine)
  do throws(DMAError) {
    let pool = try DMAPool(
      name: "descriptors", blockSize: 64, alignment: 64, boundary: 4096, for: device,
      options: [.zeroed])
    seen.expect(isText(pool.name, "descriptors") && pool.device === device && pool.id > 0)
    seen.expect(pool.blockSize == 64)
    let block: DMAPoolBlock = try pool.allocate()
    seen.expect(block.byteCount == 64 && block.address.rawValue % 64 == 0)
    block[.byteCount] = 7
    block[16, as: UInt64.self] = 9
    seen.expect(block[.byteCount] == 7 && block[16, as: UInt64.self] == 9)
    let filled = try pool.allocate { bytes in
      bytes.storeBytes(of: 0x55, toByteOffset: 3, as: UInt8.self)
    }
    seen.expect(byte(filled, 3) == 0x55 && byte(filled, 4) == 0)
    let zeroed = try pool.allocateZeroed()
    let waited = try pool.allocate(deadlineNanoseconds: machine.platform.nanoseconds + 1_000_000)
    let statistics: DMAPoolStatistics = pool.statistics
    seen.expect(statistics.activeCount == 4 && statistics.totalCount == 64)
    seen.expect(statistics.blockSize == 64 && statistics.pageCount == 1)
    seen.expect(statistics.emptyPageCount == 0 && statistics.corruptionCount == 0)
    seen.expect(statistics.cachedCount >= 0)
    seen.expect((device.poolInfo?.utf8.count ?? 0) > 0)
    do throws(DMAError) {
      try pool.destroy()
      seen.expect(false)
    } catch { seen.expect(error == .poolBusy(blockCount: 4)) }
    do {
      var batch = DMAPoolBatch(of: pool, capacity: 4)
      try batch.allocate(count: 3)
      seen.expect(batch.pool === pool && batch.capacity == 4 && batch.count == 3)
      let last = batch.address(of: 2)
      seen.expect(batch.withBlock(2) { $0.address == last })
      batch.append(batch.removeLast())
      batch.free(count: 2)
    }
    filled.free()
    zeroed.free()
    waited.free()
    block.free()
    try pool.destroy()
  } catch { seen.expect(false) }
  useCorruption(&seen, device)
}

/// A block that is written while it is free.
private func useCorruption(_ seen: inout Expectations, _ device: DMADevice) {
  let found = Found()
  do throws(DMAError) {
    let pool = try DMAPool(
      name: "poisoned", blockSize: 64, for: device, options: [.poisoned],
      onCorruption: { (corruption: DMAPoolCorruption) in found.take(corruption) })
    seen.expect(DMAPoolOptions.poisoned.union(.zeroed) == DMAPoolOptions(rawValue: 3))
    let block = try pool.allocate()
    let place = address(block)
    block.free()
    UInt8.volatileStore(1, at: place + 5)
    let again = try pool.allocate()
    seen.expect(again.byteCount == 64)
  } catch { seen.expect(false) }
  seen.expect(found.count == 1 && found.isRight)
}

/// What the pool told; one thread, so nothing guards it.
private final class Found: @unchecked Sendable {
  var count = 0
  var isRight = false

  func take(_ corruption: DMAPoolCorruption) {
    count += 1
    isRight =
      corruption.changed == 5..<6 && corruption.bytes.count == 64 && corruption.pool > 0
      && isText(corruption.poolName, "poisoned") && corruption.address.rawValue != 0
      && corruption.description.utf8.count > 0
  }
}

private func byte(_ block: borrowing DMAPoolBlock, _ offset: Int) -> UInt8 {
  let bytes = block.bytes
  // SAFETY: the callers' offsets lie in a block of 64 bytes.
  return unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
}

/// Where the CPU sees a block: what a device's stray write would have.
private func address(_ block: borrowing DMAPoolBlock) -> UInt {
  unsafe block.bytes.withUnsafeBytes { bytes in UInt(bitPattern: bytes.baseAddress) }
}

/// How those who write mappings merge scatter lists.
func useScatterMerging(_ seen: inout Expectations) {
  let rule: ScatterMerging.Rule = .wholeGranules
  let merging = ScatterMerging(granule: 4096, constraints: .pci, rule: rule)
  seen.expect(merging.granule == 4096 && merging.rule == rule)
  seen.expect(merging != ScatterMerging(granule: 4096, constraints: .pci, rule: .adjacentMemory))
  seen.expect(merging.segmentByteCountMax == 65536)
  seen.expect(merging.segmentBoundaryMask == 0xffff_ffff)
  let list = UnsafeMutableBufferPointer<ScatterEntry>.allocate(capacity: 2)
  unsafe list.initialize(
    repeating: ScatterEntry(cpuAddress: 0x5000, physicalAddress: 0x5000, byteCount: 4096))
  unsafe seen.expect(merging.granules(of: list[0]).byteCount == 4096)
  unsafe seen.expect(merging.granules(of: list[0]).physicalAddress == 0x5000)
  unsafe seen.expect(merging.layOut(list) == 8192)
  unsafe seen.expect(merging.finish(list, base: 0x10_0000) == 1)
  unsafe seen.expect(list[0].dmaAddress == 0x10_0000 && list[0].dmaByteCount == 8192)
  unsafe merging.forget(list)
  unsafe seen.expect(list[0].dmaAddress == .max)
  unsafe list.deallocate()
}
