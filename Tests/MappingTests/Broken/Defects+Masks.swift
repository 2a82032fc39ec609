@testable import DMA
import Synchronization

// SAFETY (all closures here): as in Defects.swift.

/// Masks and contexts.
extension Defect {
  /// Says that every mask will do, and maps wherever it likes.
  static let ignoresMasks = Defect(mapping: { table in
    unsafe table.narrowestMask = { _ in 1 }
    unsafe table.map = { core, cpuAddress, physicalAddress, byteCount, traits, numbers in
      let device = unsafe core.assumingMemoryBound(to: DMADeviceCore.self)
      let limit = unsafe device.pointee.streamingLimit
      unsafe device.pointee.streamingLimit = 0xffff_ffff
      defer { unsafe device.pointee.streamingLimit = limit }
      return unsafe real(core).map(
        core, cpuAddress, physicalAddress, byteCount, traits, numbers)
    }
    unsafe table.allocateCoherent = { core, byteCount, numbers in
      let device = unsafe core.assumingMemoryBound(to: DMADeviceCore.self)
      let limit = unsafe device.pointee.coherentLimit
      unsafe device.pointee.coherentLimit = 0xffff_ffff
      defer { unsafe device.pointee.coherentLimit = limit }
      return unsafe real(core).allocateCoherent(core, byteCount, numbers)
    }
  })

  /// Refuses every mask but the widest.
  static let refusesMasks = Defect(mapping: { table in
    unsafe table.narrowestMask = { _ in .max }
  })

  /// Stores a mask when it is only asked for one (T22, PA-RISC in Linux 2.4.4).
  static let storesMaskWhenAsked = Defect(mapping: { table in
    unsafe table.narrowestMask = { core in
      let device = unsafe core.assumingMemoryBound(to: DMADeviceCore.self)
      unsafe device.pointee.streamingMask = 0xffff_ff
      return unsafe real(core).narrowestMask(core)
    }
  })

  /// Needs to wait: in atomic context it has nothing to give.
  static let waits = Defect(mapping: { table in
    unsafe table.map = { core, cpuAddress, physicalAddress, byteCount, traits, numbers in
      guard !ExecutionContext.current.isAtomic else { return DMAStatus.outOfMemory.rawValue }
      return unsafe real(core).map(
        core, cpuAddress, physicalAddress, byteCount, traits, numbers)
    }
    unsafe table.allocateCoherent = { core, byteCount, numbers in
      guard !ExecutionContext.current.isAtomic else { return DMAStatus.outOfMemory.rawValue }
      return unsafe real(core).allocateCoherent(core, byteCount, numbers)
    }
  })

  /// Knows nothing of the offset between bus and memory: what is broken goes through the table.
  static let forgetsOffset = Defect()

  /// Gives devices on different buses addresses from one space.
  static let sharesBuses = Defect(sharesBuses: true)
}

/// What a defect does inside of a mapping's call, by the device that calls.
enum Meanwhile {
  private static let work = Mutex<[UInt: @Sendable () throws(DMAError) -> Void]>([:])
  private static let failures = Mutex<[UInt: DMAError]>([:])

  static func set(_ device: DMADevice, _ body: @escaping @Sendable () throws(DMAError) -> Void) {
    let core = unsafe UInt(bitPattern: device.unsafeCore)
    work.withLock { $0[core] = body }
  }

  /// Whether what was set was done, and why it failed if it did.
  static func result(_ device: DMADevice) -> (isDone: Bool, failure: DMAError?) {
    let core = unsafe UInt(bitPattern: device.unsafeCore)
    return (
      work.withLock { $0.removeValue(forKey: core) == nil },
      failures.withLock { $0.removeValue(forKey: core) }
    )
  }

  static func run(_ core: UnsafeMutableRawPointer) {
    let key = UInt(bitPattern: core)
    guard let body = work.withLock({ $0.removeValue(forKey: key) }) else { return }
    do throws(DMAError) { try body() } catch { failures.withLock { $0[key] = error } }
  }
}
