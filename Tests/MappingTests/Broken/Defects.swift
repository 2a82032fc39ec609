import DMA
import DMAMapping

// SAFETY (all closures here): each passes on what it was called with, so what holds for the
// function it replaces holds for the real one.

/// Streaming: one region.
extension Defect {
  /// Lets the device read and write whatever the direction says.
  static let ignoresDirection = Defect(mapping: { table in
    unsafe table.map = { core, cpuAddress, physicalAddress, byteCount, _, numbers in
      unsafe real(core).map(
        core, cpuAddress, physicalAddress, byteCount, MappingTraits(.bidirectional).rawValue,
        numbers)
    }
  })

  /// Ends every mapping as if the device had only read.
  static let ignoresDirectionAtUnmap = Defect(mapping: { table in
    unsafe table.unmap = { core, address, cpuAddress, byteCount, _, numbers in
      unsafe real(core).unmap(
        core, address, cpuAddress, byteCount, MappingTraits(.toDevice).rawValue, numbers)
    }
  })

  /// Copies something else than the driver's bytes for the device to read.
  static let forgetsCopyIn = Defect(mapping: { table in
    unsafe table.map = { core, _, physicalAddress, byteCount, traits, numbers in
      unsafe real(core).map(
        core, UInt(bitPattern: zeroes), physicalAddress, min(byteCount, zeroCount), traits,
        numbers)
    }
  })

  /// Gives slots back without looking at what the device wrote: DMA_ATTR_SKIP_CPU_SYNC unasked.
  static let forgetsCopyOut = Defect(mapping: { table in
    unsafe table.unmap = { core, address, cpuAddress, byteCount, traits, numbers in
      unsafe real(core).unmap(
        core, address, cpuAddress, byteCount, traits | 1 << 13, numbers)
    }
  })

  /// Leaves the CPU's stores in its cache.
  static let forgetsCleaning = Defect(mapping: { table in
    unsafe table.map = { _, _, physicalAddress, _, _, numbers in
      unsafe numbers[0] = physicalAddress
      return DMAStatus.success.rawValue
    }
  })

  /// Does nothing at the end of a mapping: leaves stale lines, slots and bus addresses behind.
  static let forgetsUnmap = Defect(mapping: { table in
    unsafe table.unmap = { _, _, _, _, _, _ in DMAStatus.success.rawValue }
  })

  /// Syncs nothing.
  static let forgetsSync = Defect(mapping: { table in
    unsafe table.sync = { _, _, _, _, _, _ in DMAStatus.success.rawValue }
    unsafe table.syncScatter = { _, _, _, _, _ in DMAStatus.success.rawValue }
  })

  /// Syncs in the wrong sense: for the device when the CPU is to look, and the other way round.
  static let syncsTheWrongWay = Defect(mapping: { table in
    unsafe table.sync = { core, address, cpuAddress, byteCount, traits, numbers in
      unsafe real(core).sync(core, address, cpuAddress, byteCount, traits ^ 4, numbers)
    }
  })

  /// Gives out bus addresses that a 32-bit device cannot drive.
  static let exceedsMask = Defect(mapping: { table in
    unsafe table.map = { core, cpuAddress, physicalAddress, byteCount, traits, numbers in
      let status = unsafe real(core).map(
        core, cpuAddress, physicalAddress, byteCount, traits, numbers)
      unsafe numbers[0] |= 1 << 40
      return status
    }
    unsafe table.unmap = { core, address, cpuAddress, byteCount, traits, numbers in
      unsafe real(core).unmap(
        core, address & ~(1 << 40), cpuAddress, byteCount, traits, numbers)
    }
  })

  /// Keeps bus addresses in 32 bits (T24, most ports of Linux 2.4.4).
  static let cutsAddresses = Defect(mapping: { table in
    unsafe table.map = { core, cpuAddress, physicalAddress, byteCount, traits, numbers in
      let status = unsafe real(core).map(
        core, cpuAddress, physicalAddress, byteCount, traits, numbers)
      unsafe numbers[0] &= 0xffff_ffff
      return status
    }
  })

  /// Drops the low bits of the address, as a mapping of whole pages might.
  static let roundsToPages = Defect(mapping: { table in
    unsafe table.map = { core, cpuAddress, physicalAddress, byteCount, traits, numbers in
      let status = unsafe real(core).map(
        core, cpuAddress, physicalAddress, byteCount, traits, numbers)
      unsafe numbers[0] &= ~4095
      return status
    }
  })

  /// Clears its tables, but lets the unit keep what it remembers of them.
  static let forgetsInvalidation = Defect(unit: { table in
    unsafe table.invalidateRange = { _, _, _, _, _ in DMAStatus.success.rawValue }
    unsafe table.invalidateDomain = { _, _ in DMAStatus.success.rawValue }
  })
}

private let zeroCount = 1 << 17

// Made once and never freed nor written to, except by mappings that are broken.
nonisolated(unsafe) private let zeroes: UnsafeMutableRawPointer = {
  let bytes = UnsafeMutableRawPointer.allocate(byteCount: zeroCount, alignment: 4096)
  unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0, count: zeroCount)
  return unsafe bytes
}()

/// Coherent memory.
extension Defect {
  /// Asks somebody else for memory, who uses the moment.
  static let freesMeanwhile = Defect(mapping: { table in
    unsafe table.allocateCoherent = { core, byteCount, numbers in
      unsafe Meanwhile.run(core)
      return unsafe real(core).allocateCoherent(core, byteCount, numbers)
    }
  })

  /// Coherent memory that the device may only read.
  static let protectsCoherentMemory = Defect(mapping: { table in
    unsafe table.allocateCoherent = { core, byteCount, numbers in
      let status = unsafe real(core).allocateCoherent(core, byteCount, numbers)
      guard status == DMAStatus.success.rawValue else { return status }
      let second = unsafe (numbers[1], numbers[2])
      let mapped = unsafe real(core).map(
        core, UInt(second.0), second.1, byteCount, MappingTraits(.toDevice).rawValue, numbers)
      unsafe (numbers[1], numbers[2]) = second
      return mapped
    }
    // What was mapped twice is not told apart any more.
    unsafe table.freeCoherent = { _, _, _, _, _ in }
  })

  /// Gives an address with an error, and keeps the memory.
  static let failsHalfway = Defect(mapping: { table in
    unsafe table.allocateCoherent = { core, byteCount, numbers in
      let status = unsafe real(core).allocateCoherent(core, byteCount, numbers)
      guard status == DMAStatus.success.rawValue else { return status }
      return DMAStatus.emptyRequest.rawValue
    }
  })

  /// A bus address that is aligned to a cache line and no further.
  static let misalignsCoherentMemory = Defect(mapping: { table in
    unsafe table.allocateCoherent = { core, byteCount, numbers in
      let status = unsafe real(core).allocateCoherent(core, byteCount, numbers)
      unsafe numbers[0] &+= 64
      return status
    }
  })

  /// What was in the memory before is still there.
  static let forgetsToZero = Defect(mapping: { table in
    unsafe table.allocateCoherent = { core, byteCount, numbers in
      let status = unsafe real(core).allocateCoherent(core, byteCount, numbers)
      if status == DMAStatus.success.rawValue {
        let bytes = unsafe UnsafeMutableRawPointer(bitPattern: UInt(numbers[1]))
        unsafe bytes?.storeBytes(of: 0x5a, toByteOffset: byteCount / 2, as: UInt8.self)
      }
      return status
    }
  })

  /// The device gets a copy of its own: bounced coherent memory (R32).
  static let bouncesCoherentMemory = Defect(mapping: { table in
    unsafe table.allocateCoherent = { core, byteCount, numbers in
      let first = unsafe real(core).allocateCoherent(core, byteCount, numbers)
      guard first == DMAStatus.success.rawValue else { return first }
      let address = unsafe numbers[0]
      let status = unsafe real(core).allocateCoherent(core, byteCount, numbers)
      unsafe numbers[0] = address
      return status
    }
    // The pair cannot be told apart any more.
    unsafe table.freeCoherent = { _, _, _, _, _ in }
  })

  /// Frees nothing.
  static let leaksCoherentMemory = Defect(mapping: { table in
    unsafe table.freeCoherent = { _, _, _, _, _ in }
  })
}
