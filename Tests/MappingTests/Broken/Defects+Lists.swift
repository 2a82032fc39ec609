@testable import DMA

// SAFETY (all closures here): as in Defects.swift.

/// Lists.
extension Defect {
  /// A segment one byte shorter than its memory.
  static let shortensSegment = Defect(mapping: { table in
    unsafe table.mapScatter = { core, entries, count, traits, numbers in
      let status = unsafe real(core).mapScatter(core, entries, count, traits, numbers)
      if status == DMAStatus.success.rawValue {
        unsafe list(entries)[0].dmaByteCount = max(1, list(entries)[0].dmaByteCount - 1)
      }
      return status
    }
  })

  /// The first two segments change places.
  static let swapsSegments = Defect(mapping: { table in
    unsafe table.mapScatter = { core, entries, count, traits, numbers in
      let status = unsafe real(core).mapScatter(core, entries, count, traits, numbers)
      if unsafe status == DMAStatus.success.rawValue && numbers[0] > 1 {
        let first = unsafe list(entries)[0]
        unsafe list(entries)[0].dmaAddress = list(entries)[1].dmaAddress
        unsafe list(entries)[0].dmaByteCount = list(entries)[1].dmaByteCount
        unsafe list(entries)[1].dmaAddress = first.dmaAddress
        unsafe list(entries)[1].dmaByteCount = first.dmaByteCount
      }
      return status
    }
  })

  /// Joins the first two segments whenever they touch, across whatever boundary.
  static let mergesAcrossBoundary = Defect(mapping: { table in
    unsafe table.mapScatter = { core, entries, count, traits, numbers in
      let status = unsafe real(core).mapScatter(core, entries, count, traits, numbers)
      guard unsafe status == DMAStatus.success.rawValue && numbers[0] == 2 else { return status }
      let first = unsafe list(entries)[0]
      let second = unsafe list(entries)[1]
      if first.dmaAddress + UInt64(first.dmaByteCount) == second.dmaAddress {
        unsafe list(entries)[0].dmaByteCount += second.dmaByteCount
        unsafe list(entries)[1].dmaAddress = .max
        unsafe list(entries)[1].dmaByteCount = 0
        unsafe numbers[0] = 1
      }
      return status
    }
  })

  /// Leaves the first entry of a list mapped that it refuses.
  static let leavesPartOfList = Defect(mapping: { table in
    unsafe table.mapScatter = { core, entries, count, traits, numbers in
      let status = unsafe real(core).mapScatter(core, entries, count, traits, numbers)
      if status != DMAStatus.success.rawValue, count > 1 {
        _ = unsafe real(core).mapScatter(core, entries, 1, traits, numbers)
      }
      return status
    }
  })

  /// Tells the device of one segment more than there are bytes for, or of one less where each
  /// entry is one.
  static let miscountsSegments = Defect(mapping: { table in
    unsafe table.mapScatter = { core, entries, count, traits, numbers in
      let status = unsafe real(core).mapScatter(core, entries, count, traits, numbers)
      if status == DMAStatus.success.rawValue, count > 1 {
        let segments = unsafe Int(numbers[0])
        if segments < count {
          unsafe list(entries)[segments] = list(entries)[segments - 1]
        }
        unsafe numbers[0] = UInt64(segments < count ? segments + 1 : segments - 1)
      }
      return status
    }
  })

  /// Ends no list.
  static let forgetsUnmapOfLists = Defect(mapping: { table in
    unsafe table.unmapScatter = { _, _, _, _, _ in DMAStatus.success.rawValue }
  })

  /// Never joins what can be joined: refuses what only joining would fit.
  static let neverMerges = Defect(mapping: { table in
    unsafe table.mapScatter = { core, entries, count, traits, numbers in
      let device = unsafe core.assumingMemoryBound(to: DMADeviceCore.self)
      let limit = unsafe device.pointee.constraints.segmentCountMax
      guard count <= limit else {
        unsafe (numbers[0], numbers[1]) = (UInt64(count), UInt64(limit))
        return DMAStatus.tooManySegments.rawValue
      }
      return unsafe real(core).mapScatter(core, entries, count, traits, numbers)
    }
  })

  /// Ends only the first entry's mapping, as an unmap with the wrong count would (R93).
  static let unmapsOneEntry = Defect(mapping: { table in
    unsafe table.unmapScatter = { core, entries, _, traits, numbers in
      unsafe real(core).unmapScatter(core, entries, 1, traits, numbers)
    }
  })

  /// Changes the list's own fields.
  static let changesList = Defect(mapping: { table in
    unsafe table.unmapScatter = { core, entries, count, traits, numbers in
      let status = unsafe real(core).unmapScatter(core, entries, count, traits, numbers)
      let first = unsafe list(entries)[0]
      unsafe list(entries)[0] = ScatterEntry(
        cpuAddress: first.cpuAddress, physicalAddress: first.physicalAddress,
        byteCount: max(1, first.byteCount - 1))
      return status
    }
  })
}

private func list(_ entries: UnsafeMutableRawPointer) -> UnsafeMutablePointer<ScatterEntry> {
  // SAFETY: what the table's scatter functions are called with.
  unsafe entries.assumingMemoryBound(to: ScatterEntry.self)
}
